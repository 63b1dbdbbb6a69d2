import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { connect } from "../../src/migrate/connection.ts";
import { schemaFingerprint } from "../../src/migrate/fingerprint.ts";
import {
  type MigrationFolder,
  type MigrationNotes,
  prismaFolder,
  readMigrations,
} from "../../src/migrate/migrations.ts";
import type { TestCore } from "./core.ts";

export interface Fixture extends MigrationNotes {
  name: string;
  up: string;
  /** Absent for one that is not reversible. */
  down?: string;
}

/** The names of the package's own migrations, oldest first. */
export const shipped = (await readMigrations()).migrations.map(({ name }) => name);
/** The newest of them. */
export const head = shipped.at(-1) ?? "";

/** In one transaction: a column, a check, a table, and a function whose body is full of semicolons. */
export const expand: Fixture = {
  name: "20270101000000_estimates",
  kind: "expand",
  reversible: true,
  transaction: true,
  loses: { up: [], down: ["milestones", "tasks.estimate", "tasks.review_note"] },
  up: `-- How long a task may take; nothing yet.
ALTER TABLE "tasks" ADD COLUMN "estimate" INTEGER;
ALTER TABLE "tasks" ADD COLUMN "review_note" TEXT;
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_estimate_check" CHECK ("estimate" >= 0) NOT VALID;
CREATE TABLE "milestones" ("id" UUID NOT NULL PRIMARY KEY, "name" TEXT NOT NULL DEFAULT 'a;b');
CREATE FUNCTION "halve"("value" integer) RETURNS integer LANGUAGE plpgsql AS $body$
BEGIN
    -- A semicolon; in a comment.
    IF "value" IS NULL THEN RETURN 0; END IF;
    RETURN "value" / 2;
END;
$body$;
`,
  down: `DROP FUNCTION "halve"(integer);
DROP TABLE "milestones";
ALTER TABLE "tasks" DROP CONSTRAINT "tasks_estimate_check";
ALTER TABLE "tasks" DROP COLUMN "review_note";
ALTER TABLE "tasks" DROP COLUMN "estimate";
`,
};

const batches = (set: string, where: string) => `DO $$
DECLARE
    moved integer;
BEGIN
    LOOP
        UPDATE "tasks" SET "estimate" = ${set} WHERE "id" IN (SELECT "id" FROM "tasks" WHERE ${where} LIMIT 5);
        GET DIAGNOSTICS moved = ROW_COUNT;
        EXIT WHEN moved = 0;
        COMMIT;
    END LOOP;
END
$$;`;

/** Statement by statement: two indexes, a backfill that commits in its middle, and a check made valid. */
export const outside: Fixture = {
  name: "20270102000000_estimates_filled",
  kind: "expand",
  reversible: true,
  transaction: false,
  loses: { up: [], down: [] },
  up: `CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_estimate_idx" ON "tasks"("estimate");
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "milestones_name_key" ON "milestones"("name");
${batches("3", '"estimate" IS NULL')}
ALTER TABLE "tasks" VALIDATE CONSTRAINT "tasks_estimate_check";
`,
  down: `DO $$
BEGIN
    ALTER TABLE "tasks" DROP CONSTRAINT IF EXISTS "tasks_estimate_check",
        ADD CONSTRAINT "tasks_estimate_check" CHECK ("estimate" >= 0) NOT VALID;
END
$$;
${batches("NULL", '"estimate" IS NOT NULL')}
DROP INDEX CONCURRENTLY IF EXISTS "milestones_name_key";
DROP INDEX CONCURRENTLY IF EXISTS "tasks_estimate_idx";
`,
};

/** What the release before cannot run on: a column and a table go. */
export const contract: Fixture = {
  name: "20270103000000_no_milestones",
  kind: "contract",
  reversible: true,
  transaction: true,
  loses: { up: ["milestones", "tasks.review_note"], down: [] },
  up: `ALTER TABLE "tasks" DROP COLUMN "review_note";
DROP TABLE "milestones";
`,
  down: `CREATE TABLE "milestones" ("id" UUID NOT NULL PRIMARY KEY, "name" TEXT NOT NULL DEFAULT 'a;b');
CREATE UNIQUE INDEX "milestones_name_key" ON "milestones"("name");
ALTER TABLE "tasks" ADD COLUMN "review_note" TEXT;
`,
};

export const fixtures = [expand, outside, contract];

export interface TestFolder {
  folder: MigrationFolder;
  remove(): Promise<void>;
}

/** The package's migrations and the given ones, in a folder of the caller's own. */
export async function createFolder(added: readonly Fixture[] = fixtures): Promise<TestFolder> {
  const root = await mkdtemp(path.join(tmpdir(), "task-master-pro-migrations-"));
  await cp(path.join(await prismaFolder(), "migrations"), root, { recursive: true });
  await Promise.all(added.map(async (fixture) => await writeFixture(root, fixture)));
  return {
    folder: await readMigrations(root),
    remove: async () => await rm(root, { recursive: true, force: true }),
  };
}

export async function writeFixture(root: string, { name, up, down, ...notes }: Fixture): Promise<void> {
  const folder = path.join(root, name);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "migration.sql"), up);
  if (down !== undefined) await writeFile(path.join(folder, "down.sql"), down);
  await writeFile(path.join(folder, "migration.json"), JSON.stringify(notes));
}

/** Runs one statement, or several without parameters, in a connection of its own. */
export async function query<Row extends object>(
  connectionString: string,
  text: string,
  values?: unknown[],
): Promise<Row[]> {
  const client = await connect(connectionString);
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

export async function fingerprintOf(connectionString: string): Promise<string[]> {
  const client = await connect(connectionString);
  try {
    return await schemaFingerprint(client);
  } finally {
    await client.end();
  }
}

/** Everything that a refusal must leave alone: the schema, Prisma's table and the ledger. */
export async function everything(connectionString: string): Promise<unknown> {
  return {
    schema: await fingerprintOf(connectionString),
    prisma: await query(connectionString, "SELECT * FROM _prisma_migrations ORDER BY started_at, id"),
    ledger: await query(connectionString, "SELECT * FROM migrate.ledger ORDER BY name"),
  };
}

/** What Prisma's table says now, oldest first; the states in Prisma's words. */
export async function prismaHistory(connectionString: string): Promise<string[]> {
  const rows = await query<{ name: string; state: string }>(
    connectionString,
    `SELECT migration_name AS name, CASE WHEN rolled_back_at IS NOT NULL THEN 'rolled back'
       WHEN finished_at IS NULL THEN 'unfinished' ELSE 'applied' END AS state
     FROM _prisma_migrations ORDER BY started_at, migration_name`,
  );
  return rows.map(({ name, state }) => `${name} ${state}`);
}

/**
 * What is in every table: how many rows, and a hash of them that knows neither their order nor the columns' order.
 * Generated columns, and the named tables and columns, are left out.
 */
export async function dataHash(
  connectionString: string,
  without: readonly string[] = [],
): Promise<Record<string, string>> {
  const client = await connect(connectionString);
  try {
    const { rows: tables } = await client.query<{ name: string; generated: string[] }>(
      `SELECT c.relname AS name, array_remove(array_agg(CASE WHEN a.attgenerated <> '' THEN a.attname::text END), NULL) AS generated
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> '_prisma_migrations'
       GROUP BY c.relname ORDER BY c.relname`,
    );
    const hashes: Record<string, string> = {};
    for (const { name, generated } of tables) {
      if (without.includes(name)) continue;
      const own = without
        .filter((one) => one.startsWith(`${name}.`))
        .map((one) => one.slice(name.length + 1));
      // The members of a jsonb stand in an order of its own, whatever the columns' order is.
      const { rows } = await client.query<{ hash: string }>(
        `SELECT count(*) || ' ' || coalesce(md5(string_agg(row, '' ORDER BY row)), '') AS hash
         FROM (SELECT md5((to_jsonb(t) - $1::text[])::text) AS row FROM ${pg.escapeIdentifier(name)} t) hashed`,
        [[...generated, ...own]],
      );
      hashes[name] = rows[0]?.hash ?? "";
    }
    return hashes;
  } finally {
    await client.end();
  }
}

/** Something in every table, made by the use cases. */
export async function fill({ core, owner, addAgent }: TestCore): Promise<void> {
  const once = { ...owner, idempotencyKey: "once" };
  await core.projects.create(owner, { key: "FILL", name: "Fill" });
  for (let i = 1; i <= 12; i += 1) {
    await core.tasks.create(owner, "FILL", "master", {
      title: `Task ${i}; with a semicolon, a 'quote' and an Ü`,
      metadata: { i },
    });
  }
  await core.tasks.create(once, "FILL", "master", { title: "Under a key" });
  await core.tasks.createSubtask(owner, "FILL:master:1", { title: "Subtask" });
  await core.dependencies.add(owner, "FILL:master:2", "FILL:master:1");
  await core.comments.create(owner, "FILL:master:1", { body: "A comment." });
  const agent = await addAgent("worker");
  const claim = await core.claims.claimNext(agent, "FILL", "master", {});
  await core.claims.complete(agent, claim?.id ?? "", { fence: 1, note: "Done." });
  await core.claims.claimNext(agent, "FILL", "master", {});
  await core.links.add(owner, "FILL:master:1", { url: "https://github.com/acme/web/issues/1" });
  await core.receivers.create(owner, { name: "web" });
  const webhook = await core.webhooks.create(owner, { url: "https://example.com/hook" });
  await core.webhooks.test(owner, webhook.id);
  await core.projects.create(owner, { key: "FILE", name: "File" });
  const tasks = [
    { id: 1, title: "Imported", status: "pending", dependencies: [] },
    { id: 2, title: "Imported too", status: "pending", dependencies: [1, 9] },
  ];
  await core.importExport.import(owner, "FILE", JSON.stringify({ master: { tasks } }), {
    mode: "quarantine",
  });
}

import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyMigrations } from "../../../src/migrate/apply.ts";
import type { MigrateProgress } from "../../../src/migrate/connection.ts";
import { openEngine, type PrismaEngine } from "../../../src/migrate/engine.ts";
import type { Migration, MigrationFolder } from "../../../src/migrate/migrations.ts";
import { revertMigrations } from "../../../src/migrate/revert.ts";
import { splitStatements } from "../../../src/migrate/statements.ts";
import { migrationStatus } from "../../../src/migrate/status.ts";
import { createEmptyDatabase, type TestDatabase } from "../../support/database.ts";
import {
  contract,
  createFolder,
  expand,
  fingerprintOf,
  head,
  outside,
  prismaHistory,
  query,
  shipped,
  type TestFolder,
} from "../../support/migrations.ts";

let made: TestFolder;
let folder: MigrationFolder;
let database: TestDatabase;
let engine: PrismaEngine;
const names = [...shipped, expand.name, outside.name, contract.name];
const allowed = { allowContract: true, allowDataLoss: true };

beforeAll(async () => {
  made = await createFolder();
  ({ folder } = made);
  database = await createEmptyDatabase();
  engine = await openEngine(database.connectionString);
});

afterAll(async () => {
  await engine.close();
  await database.drop();
  await made.remove();
});

const status = async () => await migrationStatus(database.connectionString, folder);
/** Of the newest of the package and of those that come after it. */
const states = async () => (await status()).migrations.slice(shipped.length - 1).map(({ state }) => state);

/** What Prisma's own tools make of the database, with the members that matter to them all. */
async function diagnose() {
  const said = await engine.diagnose(folder);
  expect(said).toEqual({
    editedMigrationNames: [],
    failedMigrationNames: [],
    hasMigrationsTable: true,
    history: said.history,
  });
  return said.history ?? null;
}
const behind = (unapplied: string[]) => ({
  diagnostic: "databaseIsBehind",
  unappliedMigrationNames: unapplied,
});

test("a database without migrations has them all pending", async () => {
  expect(await status()).toEqual({
    migrations: names.map((name) => ({
      name,
      state: "pending",
      kind: name === contract.name ? "contract" : "expand",
      revertible: null,
      known: true,
      edited: false,
    })),
    applied: 0,
    pending: names.length,
    invalidIndexes: [],
  });
});

test("many migrators at once apply every migration once, and Prisma's tools agree", async () => {
  const runs = await Promise.all(
    Array.from({ length: 5 }, () => applyMigrations(database.connectionString, { folder, ...allowed })),
  );
  expect(runs.flat()).toEqual(names);
  expect(await status()).toMatchObject({ applied: names.length, pending: 0, invalidIndexes: [] });
  expect(await prismaHistory(database.connectionString)).toEqual(names.map((name) => `${name} applied`));
  expect(await diagnose()).toBeNull();
});

test("Prisma's tools agree after every revert, and after the migrations are applied again", async () => {
  const { connectionString } = database;
  for (const [index, name] of [...names.entries()].slice(shipped.length - 1, -1).reverse()) {
    await revertMigrations(connectionString, { to: name, ...allowed });
    expect(await diagnose()).toEqual(behind(names.slice(index + 1)));
  }
  expect(await applyMigrations(connectionString, { folder, to: outside.name })).toEqual([
    expand.name,
    outside.name,
  ]);
  expect(await diagnose()).toEqual(behind([contract.name]));
  expect(await applyMigrations(connectionString, { folder, ...allowed })).toEqual([contract.name]);
  expect(await diagnose()).toBeNull();
  expect(await prismaHistory(connectionString)).toHaveLength(names.length + 3);
});

test("progress tells of every statement, in both directions", async () => {
  const seen: MigrateProgress[] = [];
  const options = { onProgress: (one: MigrateProgress) => void seen.push(one), ...allowed };
  await revertMigrations(database.connectionString, { to: outside.name, ...options });
  await applyMigrations(database.connectionString, { folder, ...options });
  const common = { event: "statement", migration: contract.name };
  expect(seen).toEqual([
    ...[1, 2, 3].map((statement) => ({ ...common, direction: "down", statement, of: 3 })),
    ...[1, 2].map((statement) => ({ ...common, direction: "up", statement, of: 2 })),
  ]);
});

test("another migrator is waited for by polling, with its name in the progress; and given up on in time", async () => {
  const client = new pg.Client({ ...database, application_name: "prisma migrate deploy" });
  await client.connect();
  await client.query("SELECT pg_advisory_lock(72707369)");
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  const holder = `prisma migrate deploy in the database's process ${rows[0]?.pid}`;
  await expect(
    applyMigrations(database.connectionString, { folder, waitMs: 300, ...allowed }),
  ).rejects.toMatchObject({
    code: "unavailable",
    message: `The schema has been in use by another for more than 300 ms: ${holder}. Wait for it to end, then run this again.`,
  });
  await expect(
    revertMigrations(database.connectionString, { to: head, waitMs: 0, ...allowed }),
  ).rejects.toThrow(holder);

  const seen: MigrateProgress[] = [];
  const waiting = applyMigrations(database.connectionString, {
    folder,
    onProgress: (one) => void seen.push(one),
    ...allowed,
  });
  while (seen.length === 0) await sleep(10);
  expect(seen).toEqual([{ event: "waiting", for: holder, seconds: 0 }]);
  // Who waits inside the database holds a snapshot, which an index that is created concurrently waits for.
  const blocked = await client.query("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
  expect(blocked.rows).toEqual([]);
  await client.query("SELECT pg_advisory_unlock(72707369)");
  expect(await waiting).toEqual([]);
  await client.end();
});

/** As Prisma's `migrate deploy` writes it. */
async function recordAsPrisma({ name, checksum }: Migration, finished: boolean): Promise<void> {
  await query(
    database.connectionString,
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
     VALUES (gen_random_uuid(), $1, $2, now(), CASE WHEN $3 THEN now() END, CASE WHEN $3 THEN 1 ELSE 0 END)`,
    [checksum, name, finished],
  );
}

test("migrations that Prisma's tools applied are adopted by the next run, and can then be taken back", async () => {
  const { connectionString } = database;
  const schema = await fingerprintOf(connectionString);
  await revertMigrations(connectionString, { to: "none", ...allowed });
  expect(await fingerprintOf(connectionString)).toEqual([]);
  await query(connectionString, "DROP SCHEMA migrate CASCADE; DELETE FROM _prisma_migrations");
  for (const migration of folder.migrations.slice(0, shipped.length + 1)) {
    for (const { text } of splitStatements(migration.sql)) await query(connectionString, text);
    await recordAsPrisma(migration, true);
  }
  expect((await status()).migrations.map(({ state, revertible }) => [state, revertible])).toEqual([
    ...shipped.map(() => ["applied", false]),
    ["applied", false],
    ["pending", null],
    ["pending", null],
  ]);
  await expect(revertMigrations(connectionString, { to: head, ...allowed })).rejects.toThrow(
    `The migration ${expand.name} was applied by another tool, so the database keeps no down.sql of it.`,
  );

  expect(await applyMigrations(connectionString, { folder, ...allowed })).toEqual([
    outside.name,
    contract.name,
  ]);
  expect(await fingerprintOf(connectionString)).toEqual(schema);
  expect((await status()).migrations.every(({ revertible }) => revertible)).toBe(true);
  expect(await diagnose()).toBeNull();
  await revertMigrations(connectionString, { to: "none", ...allowed });
  expect(await fingerprintOf(connectionString)).toEqual([]);
  await applyMigrations(connectionString, { folder, ...allowed });
});

test("a run of Prisma's that was cut off begins anew, unless it may have left something", async () => {
  const { connectionString } = database;
  await revertMigrations(connectionString, { to: head, ...allowed });
  const [first, second] = folder.migrations.slice(shipped.length) as [Migration, Migration];
  await recordAsPrisma(first, false);
  expect(await states()).toEqual(["applied", "half applied", "pending", "pending"]);
  const notes: MigrateProgress[] = [];
  expect(
    await applyMigrations(connectionString, {
      folder,
      to: expand.name,
      onProgress: (one) => {
        if (one.event === "note") notes.push(one);
      },
    }),
  ).toEqual([expand.name]);
  expect(notes).toEqual([
    { event: "note", migration: expand.name, text: "another tool's run of it was cut off; it begins anew" },
  ]);
  expect((await prismaHistory(connectionString)).slice(-2)).toEqual([
    `${expand.name} rolled back`,
    `${expand.name} applied`,
  ]);
  expect(await diagnose()).toEqual(behind(names.slice(shipped.length + 1)));

  await recordAsPrisma(second, false);
  await expect(applyMigrations(connectionString, { folder, ...allowed })).rejects.toThrow(
    `The migration ${outside.name} was begun by another tool and did not end`,
  );
  await query(connectionString, "DELETE FROM _prisma_migrations WHERE finished_at IS NULL");
  await applyMigrations(connectionString, { folder, ...allowed });
});

test("a migration that was taken back behind the ledger's back, or went with the schema, is applied again", async () => {
  const { connectionString } = database;
  const schema = await fingerprintOf(connectionString);
  // `prisma migrate resolve --rolled-back`, after somebody took it back by hand.
  await query(connectionString, contract.down ?? "");
  await query(
    connectionString,
    "UPDATE _prisma_migrations SET rolled_back_at = now() WHERE migration_name = $1 AND rolled_back_at IS NULL",
    [contract.name],
  );
  expect(await applyMigrations(connectionString, { folder, ...allowed })).toEqual([contract.name]);
  expect(await fingerprintOf(connectionString)).toEqual(schema);

  // `prisma migrate reset`.
  await query(connectionString, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  expect(await applyMigrations(connectionString, { folder, ...allowed })).toEqual(names);
  expect(await fingerprintOf(connectionString)).toEqual(schema);
  expect(await diagnose()).toBeNull();
});

test("a migration in another form than the program's is told of, and stays", async () => {
  const edited = {
    ...folder,
    migrations: folder.migrations.map((one) =>
      one.name === expand.name ? { ...one, sql: `${one.sql}\n`, checksum: "0".repeat(64) } : one,
    ),
  };
  const notes: string[] = [];
  const onProgress = (one: MigrateProgress) => {
    if (one.event === "note") notes.push(`${one.migration} ${one.text}`);
  };
  expect(await applyMigrations(database.connectionString, { folder: edited, onProgress })).toEqual([]);
  expect(notes).toEqual([
    expect.stringMatching(new RegExp(`^${expand.name} it was applied in another form`)),
  ]);
  const { migrations } = await migrationStatus(database.connectionString, edited);
  expect(migrations.filter((one) => one.edited).map(({ name }) => name)).toEqual([expand.name]);
});

test("a script is cut into statements at no other semicolon than PostgreSQL would", async () => {
  const texts = splitStatements(expand.up).map(({ text }) => text);
  expect(texts).toHaveLength(5);
  expect(texts[0]).toMatch(/ADD COLUMN "estimate" INTEGER$/);
  expect(texts[3]).toContain("'a;b'");
  expect(texts[4]).toMatch(/^CREATE FUNCTION[\s\S]*END;\n\$body\$$/);
  expect(splitStatements("-- Nothing; yet.\n")).toEqual([]);
  expect(splitStatements("\n")).toEqual([]);
  expect(splitStatements("SELECT 'Ü;ü'; SELECT 2").map(({ text }) => text)).toEqual([
    "SELECT 'Ü;ü'",
    "SELECT 2",
  ]);
});

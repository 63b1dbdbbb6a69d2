import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { applyMigrations } from "../../../src/migrate/apply.ts";
import { type MigrationFolder, sha256 } from "../../../src/migrate/migrations.ts";
import { revertMigrations } from "../../../src/migrate/revert.ts";
import { migrationStatus } from "../../../src/migrate/status.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import {
  contract,
  createFolder,
  everything,
  expand,
  type Fixture,
  fingerprintOf,
  head,
  outside,
  query,
  shipped,
  type TestFolder,
} from "../../support/migrations.ts";

let made: TestFolder;
let folder: MigrationFolder;
let database: TestDatabase;
let url: string;

beforeAll(async () => {
  made = await createFolder();
  ({ folder } = made);
});
afterAll(async () => {
  await made.remove();
});
beforeEach(async () => {
  database = await createTestDatabase();
  url = database.connectionString;
});
afterEach(async () => {
  await database.drop();
});

/** What it refuses with; whatever it was asked to do, it must have changed nothing. */
async function refused(work: () => Promise<unknown>): Promise<{ code: unknown; message: string }> {
  const before = await everything(url);
  const error: unknown = await work().then(
    () => new Error("it was not refused"),
    (caught: unknown) => caught,
  );
  expect(await everything(url)).toEqual(before);
  const { code, message } = error as { code: unknown; message: string };
  return { code, message };
}

const addMilestones = async (names: string[]) =>
  await query(url, "INSERT INTO milestones SELECT gen_random_uuid(), unnest($1::text[])", [names]);

/** The folder with one more migration at its end, or with another text of one. */
function withMigration({ up, down, ...notes }: Fixture): MigrationFolder {
  const migration = { ...notes, sql: up, checksum: sha256(up), down: down ?? null };
  const others = folder.migrations.filter(({ name }) => name < notes.name);
  return { ...folder, migrations: [...others, migration] };
}

const plain = (fixture: Partial<Fixture>): Fixture => ({
  name: "20270104000000_plain",
  kind: "expand",
  reversible: true,
  transaction: true,
  loses: { up: [], down: [] },
  up: "",
  down: "",
  ...fixture,
});

describe("up", () => {
  test("refuses a contract step unasked, and says what it loses and how to stop before it", async () => {
    await applyMigrations(url, { folder, to: expand.name });
    await addMilestones(["one", "two"]);
    expect(await refused(async () => await applyMigrations(url, { folder }))).toEqual({
      code: "conflict",
      message:
        `The migration ${contract.name} is a contract step: releases that came before it cannot run on the schema after it. ` +
        "It loses: milestones (2 rows). Once none of them runs any more: --allow-contract --allow-data-loss. " +
        `To stop before it: --to ${outside.name}. Nothing was changed.`,
    });
    expect(await applyMigrations(url, { folder, to: outside.name })).toEqual([outside.name]);
  });

  test("refuses to lose data unasked, and does not ask where there is nothing to lose", async () => {
    await applyMigrations(url, { folder, to: outside.name });
    await addMilestones(["one"]);
    const contracting = async () => await applyMigrations(url, { folder, allowContract: true });
    expect(await refused(contracting)).toEqual({
      code: "conflict",
      message: `The migration ${contract.name} loses data. It loses: milestones (1 row). If that may go: --allow-data-loss. Nothing was changed.`,
    });
    await query(url, "DELETE FROM milestones");
    expect(await contracting()).toEqual([contract.name]);
  });

  test("refuses an unknown name, and lists the known ones", async () => {
    expect(await refused(async () => await applyMigrations(url, { folder, to: "20270101000000" }))).toEqual({
      code: "not_found",
      message: `There is no migration 20270101000000. This program has: ${folder.migrations.map(({ name }) => name).join(", ")}.`,
    });
  });

  test("a statement that fails in a transaction is named with what the database says, and nothing was changed", async () => {
    await applyMigrations(url, { folder, allowContract: true });
    const failing = withMigration(
      plain({
        up: 'CREATE TABLE "a" ("id" INTEGER);\n-- Why.\nALTER TABLE "nowhere" ADD COLUMN "b" TEXT;\n',
      }),
    );
    expect(await refused(async () => await applyMigrations(url, { folder: failing }))).toEqual({
      code: "conflict",
      message:
        '20270104000000_plain/migration.sql, statement 2 of 2: relation "nowhere" does not exist (42P01). Nothing was changed.\n' +
        '  ALTER TABLE "nowhere" ADD COLUMN "b" TEXT',
    });
  });

  test("an error in the SQL is told with its file and statement, and nothing was changed", async () => {
    await applyMigrations(url, { folder, allowContract: true });
    const broken = withMigration(
      plain({ up: "-- Ü\nCREATE TABLE a (id INTEGER);\n\nALTER TABEL a ADD b TEXT;\n" }),
    );
    expect(await refused(async () => await applyMigrations(url, { folder: broken }))).toEqual({
      code: "conflict",
      message:
        '20270104000000_plain/migration.sql, statement 2 of 2: syntax error at or near "TABEL" (42601). Nothing was changed.\n' +
        "  ALTER TABEL a ADD b TEXT",
    });
  });

  test("a statement that fails outside a transaction leaves no invalid index, and the next run goes on from it", async () => {
    await applyMigrations(url, { folder, to: expand.name });
    await addMilestones(["same", "same"]);
    const to = { folder, to: outside.name };
    await expect(applyMigrations(url, to)).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(
        new RegExp(
          `^${outside.name}/migration.sql, statement 2 of 4: could not create unique index "milestones_name_key" \\(23505\\). Mend it, then run this again; it goes on from there.`,
        ),
      ),
    });
    const halfway = await migrationStatus(url, folder);
    expect(halfway).toMatchObject({ applied: shipped.length + 1, pending: 2, invalidIndexes: [] });
    expect(halfway.migrations[shipped.length + 1]).toMatchObject({
      name: outside.name,
      state: "half applied",
    });
    expect(await fingerprintOf(url)).toContainEqual(expect.stringContaining("tasks_estimate_idx"));
    // Where `prisma migrate status` looks for it.
    const [row] = await query<{ logs: string }>(
      url,
      "SELECT logs FROM _prisma_migrations WHERE finished_at IS NULL",
    );
    expect(row?.logs).toContain("could not create unique index");

    const other = withMigration({ ...outside, up: `${outside.up}ANALYZE "tasks";\n` });
    expect(await refused(async () => await applyMigrations(url, { folder: other }))).toEqual({
      code: "conflict",
      message:
        `The migration ${outside.name} is half applied in another form than this program has. Finish it with the release that began it, ` +
        "or take it back by: task-master-pro migrate down.",
    });

    await query(url, "DELETE FROM milestones");
    const statements: number[] = [];
    const onProgress = (one: { event: string; statement?: number }) => {
      if (one.event === "statement") statements.push(one.statement ?? 0);
    };
    expect(await applyMigrations(url, { ...to, onProgress })).toEqual([outside.name]);
    expect(statements).toEqual([2, 3, 4]);
    expect(
      await query(url, "SELECT FROM _prisma_migrations WHERE logs IS NOT NULL OR finished_at IS NULL"),
    ).toEqual([]);
  });

  test("a migration that is half applied can be taken back as well", async () => {
    await applyMigrations(url, { folder, to: expand.name });
    const before = await fingerprintOf(url);
    await addMilestones(["same", "same"]);
    await expect(applyMigrations(url, { folder, to: outside.name })).rejects.toThrow("23505");
    expect(await revertMigrations(url, { to: expand.name })).toEqual([outside.name]);
    expect(await fingerprintOf(url)).toEqual(before);
    expect(await migrationStatus(url, folder)).toMatchObject({ applied: shipped.length + 1, pending: 2 });
  });

  test("one that Prisma's tools were told is rolled back, after it failed, begins anew", async () => {
    await applyMigrations(url, { folder, to: expand.name });
    await addMilestones(["same", "same"]);
    await expect(applyMigrations(url, { folder, to: outside.name })).rejects.toThrow("23505");
    // `prisma migrate resolve --rolled-back`.
    await query(url, "UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL");
    await query(url, "DROP INDEX tasks_estimate_idx; DELETE FROM milestones");
    expect(await applyMigrations(url, { folder, to: outside.name })).toEqual([outside.name]);
    expect(await fingerprintOf(url)).toContainEqual(expect.stringContaining("tasks_estimate_idx"));
  });
});

describe("down", () => {
  test("refuses to lose data unasked, with everything that would go", async () => {
    await applyMigrations(url, { folder, to: outside.name });
    await addMilestones(["one", "two", "three"]);
    const { code, message } = await refused(async () => await revertMigrations(url, { to: head }));
    expect(code).toBe("conflict");
    expect(message).toBe(
      `Taking back ${outside.name}, ${expand.name} loses: milestones (3 rows). ` +
        "Make a backup (task-master-pro backup create), then: --allow-data-loss. Nothing was changed.",
    );
    expect(await revertMigrations(url, { to: head, allowDataLoss: true })).toEqual([
      outside.name,
      expand.name,
    ]);
  });

  test("refuses one that cannot be taken back, before it takes back any other", async () => {
    const { down: _, ...oneWay } = plain({
      up: 'CREATE TABLE "a" ("id" INTEGER);',
      reversible: false,
    });
    const later = plain({ name: "20270105000000_later", up: "", down: "" });
    const both = withMigration(oneWay);
    both.migrations.push(...withMigration(later).migrations.slice(-1));
    await applyMigrations(url, { folder: both, allowContract: true });
    expect(await refused(async () => await revertMigrations(url, { to: head }))).toEqual({
      code: "conflict",
      message:
        "The migration 20270104000000_plain cannot be taken back. The way back is a backup: task-master-pro backup restore.",
    });
    expect(await revertMigrations(url, { to: oneWay.name })).toEqual([later.name]);
  });

  test("refuses one whose script in the database was changed", async () => {
    await applyMigrations(url, { folder, to: expand.name });
    await query(url, `UPDATE migrate.ledger SET down_sql = down_sql || ' DROP TABLE "tasks" CASCADE;'`);
    expect(await refused(async () => await revertMigrations(url, { to: head }))).toEqual({
      code: "conflict",
      message: `The down.sql of ${expand.name} in the database is not what was stored there; somebody changed it. Nothing was changed.`,
    });
  });

  test("does not go on with a revert that was cut off, when its script was changed since", async () => {
    await applyMigrations(url, { folder, to: outside.name });
    await query(
      url,
      `UPDATE migrate.ledger SET state = 'reverting', down_sql = 'DO $$ BEGIN DROP TABLE "tasks" CASCADE; END $$'
       WHERE name = '${outside.name}'`,
    );
    const { message } = await refused(async () => await applyMigrations(url, { folder, to: outside.name }));
    expect(message).toContain("somebody changed it");
  });

  test("refuses one that another tool applied", async () => {
    await query(
      url,
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
       VALUES ('later', 'x', '20270104000000_foreign', now(), 1)`,
    );
    const { code, message } = await refused(async () => await revertMigrations(url, { to: head }));
    expect(code).toBe("conflict");
    expect(message).toContain("The migration 20270104000000_foreign was applied by another tool");
  });

  test("refuses a name that is not applied, and lists those that are", async () => {
    expect(await refused(async () => await revertMigrations(url, { to: expand.name }))).toEqual({
      code: "not_found",
      message: `The migration ${expand.name} is not applied. Applied: ${shipped.join(", ")}.`,
    });
  });

  test("a statement that fails is named, and nothing was changed", async () => {
    const failing = withMigration(
      plain({ up: 'CREATE TABLE "a" ();', down: 'DROP TABLE "a"; DROP TABLE "b";' }),
    );
    await applyMigrations(url, { folder: failing, allowContract: true });
    const { message } = await refused(async () => await revertMigrations(url, { to: contract.name }));
    expect(message).toMatch(
      /^20270104000000_plain\/down.sql, statement 2 of 2: table "b" does not exist \(42P01\)\. Nothing was changed\./,
    );
  });
});

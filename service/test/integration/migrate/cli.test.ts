import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createEmptyDatabase, type TestDatabase } from "../../support/database.ts";
import { everything, fingerprintOf, head, query, shipped } from "../../support/migrations.ts";
import { runCli } from "../../support/program.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createEmptyDatabase();
});
afterAll(async () => {
  await database.drop();
});

/** With DATABASE_URL and nothing else: no session secret is needed to migrate. */
const migrate = async (...args: string[]) =>
  await runCli(["migrate", ...args], { DATABASE_URL: database.connectionString });

const lines = (state: string) => shipped.map((name) => `${state.padEnd(14)}${name}\n`).join("");

test("status exits with 3 while migrations are pending, and up --dry-run prints the SQL and changes nothing", async () => {
  const [status, json, dry] = await Promise.all([
    migrate("status"),
    migrate("status", "--json"),
    migrate("up", "--dry-run"),
  ]);
  expect(status).toEqual({
    code: 3,
    stdout: `${lines("pending")}0 applied, ${shipped.length} pending\n`,
    stderr: "",
  });
  expect(json?.code).toBe(3);
  expect(JSON.parse(json.stdout)).toEqual({
    migrations: shipped.map((name) => ({
      name,
      state: "pending",
      kind: "expand",
      revertible: null,
      known: true,
      edited: false,
    })),
    applied: 0,
    pending: shipped.length,
    invalidIndexes: [],
  });
  expect(dry.code).toBe(0);
  expect(dry.stdout).toMatch(
    new RegExp(`^-- ${shipped[0]}, up\n-- CreateTable\nCREATE TABLE "organizations"`),
  );
  expect(await fingerprintOf(database.connectionString)).toEqual([]);
  expect(await query(database.connectionString, "SELECT to_regclass('migrate.ledger') AS ledger")).toEqual([
    { ledger: null },
  ]);
}, 60_000);

test("up brings the database up to date, says it as JSON, and tells its progress on standard error", async () => {
  const done = await migrate("up", "--json");
  expect(done.code).toBe(0);
  expect(JSON.parse(done.stdout)).toEqual({ applied: shipped });
  const last: unknown = JSON.parse(done.stderr.trim().split("\n").at(-1) ?? "");
  expect(last).toMatchObject({ event: "progress", step: `up ${head}` });
  const [again, status] = await Promise.all([migrate("up"), migrate("status")]);
  expect(again).toEqual({ code: 0, stdout: "Nothing to do: the schema is up to date.\n", stderr: "" });
  expect(status).toEqual({
    code: 0,
    stdout: `${lines("applied")}${shipped.length} applied, 0 pending\n`,
    stderr: "",
  });
}, 60_000);

test("down and redo print with --dry-run what they would run, and change nothing; without it they do it", async () => {
  const { connectionString } = database;
  await query(
    connectionString,
    "INSERT INTO users (id, email, name) VALUES (gen_random_uuid(), 'a@b.c', 'A')",
  );
  const before = await everything(connectionString);
  const [down, redo, refused] = await Promise.all([
    migrate("down", "--to", "none", "--dry-run"),
    migrate("redo", "--dry-run", "--json"),
    migrate("down", "--to", "none"),
  ]);
  expect(down.stdout).toMatch(
    new RegExp(`^-- ${head}, down\n(.|\n)*-- ${shipped[0]}, down\nDROP TABLE "import_runs"`),
  );
  expect(JSON.parse(redo.stdout)).toEqual({
    steps: [
      { name: head, direction: "down", sql: expect.stringContaining("DROP INDEX") },
      { name: head, direction: "up", sql: expect.stringContaining("CREATE INDEX") },
    ],
  });
  expect(refused).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^task-master-pro: Taking back .* loses: users \(1 row\)\./),
  });
  expect(await everything(connectionString)).toEqual(before);

  const redone = await migrate("redo", "--json");
  expect(redone).toMatchObject({ code: 0 });
  expect(JSON.parse(redone.stdout)).toEqual({ redone: head });
  const reverted = await migrate("down", "--to", "none", "--allow-data-loss");
  const steps = [...shipped].reverse().map((name) => `reverted ${name}\n`);
  expect(reverted).toMatchObject({ code: 0, stdout: `${steps.join("")}The schema is empty.\n` });
  expect(await fingerprintOf(connectionString)).toEqual([]);
}, 60_000);

test("what cannot be done is said in a sentence: an unknown option, a wrong number, an unknown name, nobody who answers", async () => {
  const [option, seconds, to, name, nobody] = await Promise.all([
    migrate("up", "--force"),
    migrate("up", "--wait", "long"),
    migrate("down"),
    migrate("up", "--to", "nothing"),
    runCli(["migrate", "status"], { DATABASE_URL: "postgres://nobody@127.0.0.1:1/none" }),
  ]);
  expect(option).toMatchObject({ code: 2, stderr: expect.stringContaining("unknown option '--force'") });
  expect(seconds).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("It takes a number of seconds."),
  });
  expect(to).toMatchObject({ code: 2, stderr: expect.stringContaining("--to <name>") });
  expect(name).toMatchObject({
    code: 1,
    stderr: `task-master-pro: There is no migration nothing. This program has: ${shipped.join(", ")}.\n`,
  });
  expect(nobody).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^task-master-pro: .*ECONNREFUSED 127\.0\.0\.1:1\n$/),
  });
}, 60_000);

test("without DATABASE_URL the embedded database is migrated, and stopped again", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "task-master-pro-migrate-"));
  await chmod(directory, 0o711);
  const env = { TASKMASTER_DATA_DIRECTORY: path.join(directory, "data") };
  try {
    expect(JSON.parse((await runCli(["migrate", "up", "--json"], env)).stdout)).toEqual({
      applied: shipped,
    });
    const status = await runCli(["migrate", "status", "--json"], env);
    expect(status.code).toBe(0);
    expect(JSON.parse(status.stdout)).toMatchObject({ applied: shipped.length, pending: 0 });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}, 60_000);

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyMigrations } from "../../../src/migrate/apply.ts";
import { revertMigrations } from "../../../src/migrate/revert.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { schemaKnown, schemaMinimum } from "../../../src/storage/postgres/window.ts";
import { createEmptyDatabase, type TestDatabase } from "../../support/database.ts";
import { contract, createFolder, expand, query, type TestFolder } from "../../support/migrations.ts";
import { startCli } from "../../support/program.ts";

let made: TestFolder;
let database: TestDatabase;

beforeAll(async () => {
  made = await createFolder([expand, { ...contract, up: 'ALTER TABLE "tasks" DROP COLUMN "review_note";' }]);
  database = await createEmptyDatabase();
});

afterAll(async () => {
  await database.drop();
  await made.remove();
});

const check = async () => {
  const storage = await openPostgres({ ...database, poolSize: 2, statementTimeoutMs: 5_000 });
  try {
    return (await storage.check()).migrations;
  } finally {
    await storage.close();
  }
};

test("a server that starts before its migrations waits, says what to run, and serves once they are there", async () => {
  const server = startCli(["serve"], {
    DATABASE_URL: database.connectionString,
    TASKMASTER_SESSION_SECRET: "a secret for tests, of thirty-two bytes or more",
    PORT: "0",
  });
  const port = await server.until(/http:\/\/127\.0\.0\.1:(\d+)/);
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return {
      status: response.status,
      type: response.headers.get("content-type"),
      text: await response.text(),
    };
  };
  const obstacle = `The database lacks the migration ${schemaMinimum}; run: task-master-pro migrate up`;
  await server.until(/waiting until the server can serve/);
  const ready = await get("/readyz");
  expect(ready.status).toBe(503);
  expect(ready.text).toContain(obstacle);
  const refused = await get("/api/v1/projects");
  expect(refused).toMatchObject({ status: 503, type: expect.stringMatching(/^application\/problem\+json/) });
  expect(refused.text).toContain(obstacle);
  expect((await get("/livez")).status).toBe(200);

  await applyMigrations(database.connectionString);
  const until = Date.now() + 10_000;
  while ((await get("/readyz")).status !== 200 && Date.now() < until) await sleep(50);
  await server.until(/"ready"/);
  expect((await get("/readyz")).status).toBe(200);
  expect((await get("/api/v1/projects")).status).toBe(401);
  server.child.kill("SIGINT");
  expect(await server.ended).toMatchObject({ code: 0 });
});

test("a server that is told to stop while it waits for its migrations ends at once", async () => {
  await revertMigrations(database.connectionString, { to: "none" });
  const server = startCli(["serve"], {
    DATABASE_URL: database.connectionString,
    TASKMASTER_SESSION_SECRET: "a secret for tests, of thirty-two bytes or more",
    PORT: "0",
  });
  await server.until(/waiting until the server can serve/);
  server.child.kill("SIGINT");
  expect(await server.ended).toMatchObject({ code: 0 });
  await applyMigrations(database.connectionString);
});

test("a newer migration that expands is accepted, also one that Prisma's tools applied", async () => {
  expect((await check()).ok).toBe(true);
  await applyMigrations(database.connectionString, { folder: made.folder, to: expand.name });
  expect(await check()).toEqual({
    ok: true,
    detail: `The schema is inside the window that begins with ${schemaMinimum}.`,
  });
  await query(
    database.connectionString,
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
     VALUES ('later', 'x', '99990101000000_later', now(), 1)`,
  );
  expect((await check()).ok).toBe(true);
  await query(database.connectionString, "DELETE FROM _prisma_migrations WHERE id = 'later'");
});

test("a newer contract step is refused with the way out, until it is taken back", async () => {
  await applyMigrations(database.connectionString, { folder: made.folder, allowContract: true });
  expect(await check()).toEqual({
    ok: false,
    detail:
      `The database has the contract step ${contract.name}, which this release does not know; run a newer release, ` +
      `or go back with: task-master-pro migrate down --to ${schemaKnown}`,
  });
  await query(database.connectionString, 'DROP TABLE "milestones"');
  await revertMigrations(database.connectionString, { to: schemaKnown, allowDataLoss: true });
  expect((await check()).ok).toBe(true);
});

test("a migration that was rolled back, or not finished, is not accepted", async () => {
  for (const change of ["rolled_back_at = now()", "finished_at = NULL"]) {
    await query(
      database.connectionString,
      `UPDATE _prisma_migrations SET ${change} WHERE migration_name = '${schemaMinimum}' AND rolled_back_at IS NULL`,
    );
    expect(await check()).toMatchObject({ ok: false, detail: expect.stringContaining("migrate up") });
    await query(
      database.connectionString,
      `UPDATE _prisma_migrations SET rolled_back_at = NULL, finished_at = now() WHERE migration_name = '${schemaMinimum}'`,
    );
    expect((await check()).ok).toBe(true);
  }
});

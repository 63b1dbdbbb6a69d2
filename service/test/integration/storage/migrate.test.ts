import { readFile } from "node:fs/promises";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyMigrations } from "../../../src/migrate/apply.ts";
import { migrationStatus } from "../../../src/migrate/status.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { schemaMinimum } from "../../../src/storage/postgres/window.ts";
import { createEmptyDatabase, type TestDatabase } from "../../support/database.ts";

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createEmptyDatabase();
  client = new pg.Client({ connectionString: database.connectionString });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

const check = async () => {
  const storage = await openPostgres({ ...database, poolSize: 2, statementTimeoutMs: 5_000 });
  try {
    return (await storage.check()).migrations.ok;
  } finally {
    await storage.close();
  }
};

test("migrations apply once however many start at the same time, and readiness follows them", async () => {
  expect(await check()).toBe(false);
  expect(await migrationStatus(database.connectionString)).toEqual({ applied: [], pending: [schemaMinimum] });

  const runs = await Promise.all(Array.from({ length: 3 }, () => applyMigrations(database.connectionString)));
  expect(runs.flat()).toEqual([schemaMinimum]);
  expect(await migrationStatus(database.connectionString)).toEqual({ applied: [schemaMinimum], pending: [] });
  expect(await check()).toBe(true);
});

test("waits by polling for another migrator, and gives up in time", async () => {
  await client.query("SELECT pg_advisory_lock(72707369)");
  await expect(applyMigrations(database.connectionString, { waitMs: 300 })).rejects.toThrow(
    /more than 300 ms/,
  );
  const { rows } = await client.query("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
  expect(rows).toEqual([]);
  await client.query("SELECT pg_advisory_unlock(72707369)");
  expect(await applyMigrations(database.connectionString)).toEqual([]);
});

test("a newer schema is accepted, a rolled back one is not", async () => {
  await client.query(`INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
    VALUES ('later', 'x', '99990101000000_later', now(), 1)`);
  expect(await check()).toBe(true);
  await client.query("DELETE FROM _prisma_migrations WHERE id = 'later'");
  await client.query("UPDATE _prisma_migrations SET rolled_back_at = now()");
  expect(await check()).toBe(false);
  await client.query("UPDATE _prisma_migrations SET rolled_back_at = NULL");
});

test("down.sql takes back all that the migration made, so that it can apply again", async () => {
  const folder = new URL(`../../../../prisma/migrations/${schemaMinimum}/`, import.meta.url);
  await client.query(await readFile(new URL("down.sql", folder), "utf8"));
  const left = await client.query(`
    SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE '_prisma%'
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace`);
  expect(left.rows).toEqual([]);
  await client.query("UPDATE _prisma_migrations SET rolled_back_at = now()");
  expect(await migrationStatus(database.connectionString)).toEqual({ applied: [], pending: [schemaMinimum] });
  expect(await applyMigrations(database.connectionString)).toEqual([schemaMinimum]);
  expect(await check()).toBe(true);
});

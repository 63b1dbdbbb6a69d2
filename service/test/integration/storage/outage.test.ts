import { type AddressInfo, createServer } from "node:net";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppError } from "../../../src/core/errors.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { createGate, createWorld } from "../../support/world.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database.drop();
});

const codeOf = async (promise: Promise<unknown>) =>
  await promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof AppError ? error.code : error),
  );

const open = async (values: { poolSize?: number; statementTimeoutMs?: number } = {}) => {
  const { connectionString } = database;
  return await openPostgres({ connectionString, poolSize: 4, statementTimeoutMs: 20_000, ...values });
};

test("a database that is not there is an outage, not a defect", async () => {
  const url = new URL(database.connectionString);
  url.port = "1";
  const storage = await openPostgres({ connectionString: url.href, poolSize: 2, statementTimeoutMs: 1_000 });
  expect(await codeOf(storage.identity.countOrganizations())).toBe("unavailable");
  expect(await codeOf(storage.transaction("00000000-0000-7000-8000-000000000000", (tx) => tx.now()))).toBe(
    "unavailable",
  );
  expect(await storage.check()).toMatchObject({ database: { ok: false }, migrations: { ok: false } });
  await storage.close();
});

test("one that takes connections and says nothing is given up in two seconds, so that the next attempt may find another", async () => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const url = new URL(database.connectionString);
  url.host = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const storage = await openPostgres({ connectionString: url.href, poolSize: 2, statementTimeoutMs: 20_000 });
  const started = performance.now();
  expect(await codeOf(storage.identity.countOrganizations())).toBe("unavailable");
  expect(performance.now() - started).toBeLessThan(4_000);
  await storage.close();
  silent.close();
});

test("a killed connection fails what ran on it, and what comes next gets a new one", async () => {
  const storage = await open({ poolSize: 1 });
  const world = await createWorld(storage);
  const admin = new pg.Client({ connectionString: database.connectionString });
  await admin.connect();
  const kill = async () =>
    await admin.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'task-master-pro' AND datname = current_database()",
    );

  const outcome = codeOf(
    storage.transaction(world.organizationId, async (tx) => {
      await tx.events.append([world.event({ data: { lost: true } })]);
      await kill();
      await tx.events.append([world.event()]);
    }),
  );
  expect(await outcome).toBe("unavailable");
  const events = await storage
    .reader(world.organizationId)
    .events.audit({ type: "task.updated" }, { limit: 9, after: undefined });
  expect(events).toEqual([]);

  // An idle one: its end must not end the process.
  await kill();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await storage.check()).toMatchObject({ database: { ok: true } });
  await admin.end();
  await storage.close();
});

test("a statement that waits too long is ended by the database", async () => {
  const [storage, other] = [await open({ statementTimeoutMs: 300 }), await open()];
  const world = await createWorld(other);
  const task = await world.addTask();
  const gate = createGate();
  const locked = createGate();
  const holder = other.transaction(world.organizationId, async (tx) => {
    await tx.tasks.lock([task.id]);
    locked.open();
    await gate.opened;
  });
  await locked.opened;
  const update = storage.reader(world.organizationId).tasks.update(task.id, { title: "x" }, 1);
  expect(await codeOf(update)).toBe("unavailable");
  gate.open();
  await holder;
  await storage.close();
  await other.close();
});

test("a pool in full use answers that, instead of waiting for ever", async () => {
  const storage = await open({ poolSize: 1 });
  const world = await createWorld(storage);
  const gate = createGate();
  const holding = createGate();
  const holder = storage.transaction(world.organizationId, async (tx) => {
    await tx.now();
    holding.open();
    await gate.opened;
  });
  await holding.opened;
  const [read, transaction] = [
    codeOf(storage.identity.countOrganizations()),
    codeOf(storage.transaction(world.organizationId, (tx) => tx.now())),
  ];
  expect([await read, await transaction]).toEqual(["unavailable", "unavailable"]);
  gate.open();
  await holder;
  expect(await storage.identity.countOrganizations()).toBeGreaterThan(0);
  await storage.close();
});

test("a cursor or id of a wrong form is the caller's mistake", async () => {
  const storage = await open();
  const world = await createWorld(storage);
  expect(await codeOf(storage.reader(world.organizationId).tasks.find({ id: "no-uuid" }))).toBe(
    "invalid_input",
  );
  await storage.close();
});

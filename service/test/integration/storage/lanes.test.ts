import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppError } from "../../../src/core/errors.ts";
import type { Storage } from "../../../src/core/storage.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { createWorld } from "../../support/world.ts";

let database: TestDatabase;
let admin: pg.Client;
const opened: Storage[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.connectionString });
  await admin.connect();
});

afterAll(async () => {
  for (const storage of opened) await storage.close();
  await admin.end();
  await database.drop();
});

async function open(poolSize: number, applicationName: string) {
  const { connectionString } = database;
  const storage = await openPostgres({
    connectionString,
    poolSize,
    statementTimeoutMs: 20_000,
    applicationName,
  });
  opened.push(storage);
  return storage;
}

const connectionsOf = async (name: string): Promise<number> => {
  const { rows } = await admin.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = $1",
    [name],
  );
  return rows[0]?.count ?? 0;
};

/** How many connections wait for a lock. */
const waitingFor = async (name: string): Promise<number> => {
  const { rows } = await admin.query(
    "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
    [name],
  );
  return rows.length;
};

test("many short reads share a few connections, and each gets its own answer", async () => {
  const world = await createWorld(await open(8, "seeding"));
  const tasks = await Promise.all(Array.from({ length: 40 }, () => world.addTask()));
  const storage = await open(8, "only reads");
  const reader = storage.reader(world.organizationId);
  const found = await Promise.all(tasks.map(({ id }) => reader.tasks.find({ id })));
  expect(found.map((task) => task?.id)).toEqual(tasks.map(({ id }) => id));
  // A quarter of the pool.
  expect(await connectionsOf("only reads")).toBeLessThanOrEqual(2);
});

test("one that fails harms none of those that it shares a connection with", async () => {
  const storage = await open(4, "one fails");
  const world = await createWorld(storage);
  const task = await world.addTask();
  const { tasks } = storage.reader(world.organizationId);
  const answers = await Promise.all(
    [task.id, "no-uuid", task.id, "not one either", task.id].map((id) =>
      tasks.find({ id }).then(
        (found) => found?.id,
        (error: unknown) => (error instanceof AppError ? error.code : error),
      ),
    ),
  );
  expect(answers).toEqual([task.id, "invalid_input", task.id, "invalid_input", task.id]);
});

test("a read does not go before a writer that waits for the only connection", async () => {
  const storage = await open(1, "only one");
  const world = await createWorld(storage);
  const task = await world.addTask();
  const { tasks } = storage.reader(world.organizationId);
  const order: string[] = [];
  const done = (name: string) => () => void order.push(name);
  // Holds up what reads the table.
  await admin.query("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE");
  const first = [
    tasks.find({ id: task.id }).then(done("read")),
    tasks.find({ id: task.id }).then(done("read")),
  ];
  await expect.poll(async () => await waitingFor("only one")).toBe(1);
  const writer = storage.transaction(world.organizationId, (tx) => tx.now()).then(done("write"));
  const later = tasks.find({ id: task.id }).then(done("read behind it"));
  await admin.query("COMMIT");
  await Promise.all([...first, writer, later]);
  expect(order).toEqual(["read", "read", "write", "read behind it"]);
});

test("a connection that is killed fails the reads on it, and the next get another", async () => {
  const storage = await open(1, "killed");
  const world = await createWorld(storage);
  const task = await world.addTask();
  const { tasks } = storage.reader(world.organizationId);
  // Holds up what reads the table, so that the reads are under way when their connection ends.
  await admin.query("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE");
  const reads = Array.from({ length: 3 }, () =>
    tasks.find({ id: task.id }).then(
      () => "found",
      (error: unknown) => (error instanceof AppError ? error.code : error),
    ),
  );
  await expect.poll(async () => await waitingFor("killed")).toBe(1);
  await admin.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'killed'",
  );
  await admin.query("COMMIT");
  expect(await Promise.all(reads)).toEqual(["unavailable", "unavailable", "unavailable"]);
  expect((await tasks.find({ id: task.id }))?.id).toBe(task.id);
});

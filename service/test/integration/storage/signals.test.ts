import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Storage } from "../../../src/core/storage.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { createWorld, type World } from "../../support/world.ts";

let database: TestDatabase;
let writer: Storage;
let watcher: Storage;
let admin: pg.Client;
let world: World;

const open = async () => {
  const { connectionString } = database;
  return await openPostgres({ connectionString, poolSize: 4, statementTimeoutMs: 20_000 });
};

beforeAll(async () => {
  database = await createTestDatabase();
  // Two storages are to each other what two processes are.
  [writer, watcher] = [await open(), await open()];
  admin = new pg.Client({ connectionString: database.connectionString });
  await admin.connect();
  world = await createWorld(writer);
});

afterAll(async () => {
  await Promise.all([writer.close(), watcher.close(), admin.end()]);
  await database.drop();
});

const append = async () =>
  await writer.transaction(world.organizationId, (tx) => tx.events.append([world.event()]));

function watch(): { times: number[]; end(): void } {
  const times: number[] = [];
  const end = watcher.watch(world.projectId, () => void times.push(performance.now()));
  return { times, end };
}

async function until(met: () => boolean, ms: number): Promise<boolean> {
  for (const limit = performance.now() + ms; !met() && performance.now() < limit; ) await sleep(5);
  return met();
}

const listeners = async () =>
  (
    await admin.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'task-master-pro events'`,
    )
  ).rows.map(({ pid }) => pid);

/** Between two looks, so that only a notification can be what wakes. */
async function settle(times: number[]): Promise<void> {
  await until(() => times.length > 0, 5_000);
  await sleep(200);
}

test("a process wakes those of another long before it would look by itself", async () => {
  const { times, end } = watch();
  await settle(times);
  for (let i = 0; i < 5; i += 1) {
    const [count, begun] = [times.length, performance.now()];
    await append();
    expect(await until(() => times.length > count, 1_000)).toBe(true);
    expect(performance.now() - begun).toBeLessThan(1_000);
  }
  end();
});

test("however much a process writes, it notifies the others at most once in 20 ms", async () => {
  const client = new pg.Client({ connectionString: database.connectionString });
  await client.connect();
  await client.query("LISTEN task_master_pro_events");
  let notified = 0;
  client.on("notification", () => {
    notified += 1;
  });
  const { times, end } = watch();
  await settle(times);
  const begun = performance.now();
  const write = async () => {
    for (let i = 0; i < 100; i += 1) await append();
  };
  await Promise.all([write(), write(), write(), write()]);
  await until(() => notified > 0, 5_000);
  await sleep(300);
  expect(notified).toBeGreaterThan(0);
  expect(notified).toBeLessThanOrEqual((performance.now() - begun) / 20 + 1);
  end();
  await client.end();
});

test("a listener that is killed comes back, and wakes for what it may have missed", async () => {
  const { times, end } = watch();
  await settle(times);
  const [pid] = await listeners();
  expect(pid).toBeDefined();
  const count = times.length;
  await admin.query("SELECT pg_terminate_backend($1)", [pid]);
  expect(await until(() => times.length > count, 5_000)).toBe(true);
  expect(await listeners()).not.toContain(pid);

  await sleep(200);
  const again = times.length;
  await append();
  expect(await until(() => times.length > again, 1_000)).toBe(true);
  end();
});

test("events that nobody told of are found by looking", async () => {
  const { times, end } = watch();
  await settle(times);
  const count = times.length;
  // As left by a process that died between its commit and the notification.
  await admin.query(
    `INSERT INTO events (organization_id, project_id, type, actor_id, actor_kind, actor_name, request_id, data)
     VALUES ($1, $2, 'task.updated', $1, 'agent', 'dead', 'test', '{}')`,
    [world.organizationId, world.projectId],
  );
  expect(await until(() => times.length > count, 10_000)).toBe(true);

  await writer.transaction(world.organizationId, (tx) => tx.events.sequence(world.projectId));
  const numbered = times.length;
  // Numbered meanwhile by a reader elsewhere, so that none is waiting any more: the end of the log tells.
  expect(await until(() => times.length > numbered, 10_000)).toBe(true);
  end();
}, 40_000);

test("who never watches keeps no connection for it, and a close ends that of who does", async () => {
  const third = await open();
  const before = (await listeners()).length;
  const end = third.watch(world.projectId, () => {});
  for (let i = 0; i < 500 && (await listeners()).length === before; i += 1) await sleep(10);
  expect((await listeners()).length).toBe(before + 1);
  end();
  await third.close();
  expect((await listeners()).length).toBe(before);
});

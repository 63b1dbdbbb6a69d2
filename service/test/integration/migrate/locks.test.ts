import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyMigrations } from "../../../src/migrate/apply.ts";
import { revertMigrations } from "../../../src/migrate/revert.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";
import {
  createFolder,
  everything,
  expand,
  fill,
  fingerprintOf,
  head,
  type TestFolder,
} from "../../support/migrations.ts";

let core: TestCore;
let made: TestFolder;
let holder: pg.Client;
let pid: number;

beforeAll(async () => {
  made = await createFolder([expand]);
  core = await openTestCore();
  await fill(core);
  holder = new pg.Client({ connectionString: core.connectionString, application_name: "a long report" });
  await holder.connect();
  pid = (await holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]?.pid ?? 0;
});

afterAll(async () => {
  await holder.end();
  await core.close();
  await made.remove();
});

const open = async () => {
  const client = new pg.Client({ connectionString: core.connectionString });
  await client.connect();
  return client;
};

/** Writes to the table, one statement after the other, until told to stop; fails when one has to wait for long. */
async function write(go: () => boolean): Promise<number> {
  const client = await open();
  let count = 0;
  await client.query("SET statement_timeout = '1200ms'");
  while (go()) {
    await client.query("UPDATE tasks SET details = 'written' WHERE segment = '12'");
    count += 1;
    await sleep(5);
  }
  await client.end();
  return count;
}

interface Waits {
  seen: number;
  /** In milliseconds. */
  longest: number;
}

/** Counts the waits for the lock that makes everybody else wait. */
async function watch(found: Waits, go: () => boolean): Promise<void> {
  const client = await open();
  while (go()) {
    const { rows } = await client.query<{ ms: number }>(
      `SELECT (extract(epoch FROM clock_timestamp() - waitstart) * 1000)::float AS ms FROM pg_locks
       WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND NOT granted AND mode = 'AccessExclusiveLock' AND waitstart IS NOT NULL`,
    );
    for (const { ms } of rows) {
      found.seen += 1;
      found.longest = Math.max(found.longest, ms);
    }
  }
  await client.end();
}

test.each([
  ["up", async () => await applyMigrations(core.connectionString, { folder: made.folder })],
  ["down", async () => await revertMigrations(core.connectionString, { to: head, allowDataLoss: true })],
])(
  "while a long transaction holds a table, a migration %s makes no other writer wait for it, and succeeds in the end",
  async (_, migrate) => {
    await holder.query("BEGIN; UPDATE tasks SET details = 'held' WHERE segment = '11'");
    const begun = Date.now();
    const waits: Waits = { seen: 0, longest: 0 };
    let migrated = false;
    const migrating = migrate().then((names) => {
      migrated = true;
      return names;
    });
    const go = () => Date.now() - begun < 1_500 || (waits.seen === 0 && Date.now() - begun < 10_000);
    const [written] = await Promise.all([write(go), watch(waits, go)]);
    expect(migrated).toBe(false);
    await holder.query("COMMIT");
    expect(await migrating).toEqual([expand.name]);

    // 25 ms by design, and much more only on a machine that has too much to do. Waiting for the lock without end, it
    // would have been the whole time, and the first to write after it would have waited as long.
    expect(waits.seen).toBeGreaterThan(0);
    expect(waits.longest).toBeLessThan(1_000);
    expect(written).toBeGreaterThan(10);
  },
  30_000,
);

test("when the locks are never free in time, the error names who holds them, and nothing was changed", async () => {
  expect(await fingerprintOf(core.connectionString)).not.toContainEqual(
    expect.stringContaining("milestones"),
  );
  await holder.query("BEGIN; UPDATE tasks SET details = 'held' WHERE segment = '11'");
  const before = await everything(core.connectionString);
  const retries: string[] = [];
  await expect(
    applyMigrations(core.connectionString, {
      folder: made.folder,
      waitMs: 800,
      onProgress: (one) => {
        if (one.event === "retry") retries.push(one.because);
      },
    }),
  ).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringMatching(
      new RegExp(
        `^${expand.name}/migration.sql: the locks it needs were not free within 800 ms. ` +
          `The longest transactions: process ${pid} \\(a long report\\) for \\d+ s: BEGIN; UPDATE tasks`,
      ),
    ),
  });
  expect(await everything(core.connectionString)).toEqual(before);
  await holder.query("ROLLBACK");
  expect(await applyMigrations(core.connectionString, { folder: made.folder })).toEqual([expand.name]);
  for (const retry of retries) expect(retry).toContain(`process ${pid}`);
});

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createCore } from "../../../src/core/create.ts";
import type { Storage } from "../../../src/core/storage.ts";
import { createLog } from "../../../src/log.ts";
import { buildApp } from "../../../src/rest/app.ts";
import type { App } from "../../../src/rest/http.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { createGate } from "../../support/world.ts";
import { api, callApp, openTestApp, type TestApp, testKey } from "./harness.ts";

let test: TestApp;
let storage: Storage;
let app: App;

beforeAll(async () => {
  test = await openTestApp();
  storage = await openPostgres({
    connectionString: test.connectionString,
    poolSize: 2,
    statementTimeoutMs: 20_000,
  });
  app = await buildApp({
    core: await createCore(storage, "a secret for tests, of thirty-two bytes or more"),
    config: test.config,
    log: createLog({ logLevel: "info" }, { write: () => {} }),
    sessionKey: testKey,
    lifecycle: { draining: false, obstacle: null },
    version: "0",
    // So that a request asks the database for nothing but what it is about, however long ago its token was looked for.
    only: await test.core.access.fromAccessToken(test.token),
  });
});
afterAll(async () => {
  await app.close();
  await storage.close();
  await test.close();
});

const ask = async (url: string) => {
  const started = performance.now();
  const { status, headers, body } = await callApp(app, "GET", url);
  return {
    status,
    code: body.code,
    retryAfter: headers["retry-after"],
    seconds: (performance.now() - started) / 1000,
  };
};
const projects = `${api}/projects`;

/** The work while so many requests wait for one of the pool's two connections, and what they were answered in the end. */
async function whileWaiting(count: number, work: () => Promise<unknown>): Promise<number[]> {
  const gate = createGate();
  const holders = Array.from({ length: 2 }, async () => {
    await storage.transaction(test.owner.organizationId, async (tx) => {
      await tx.now();
      await gate.opened;
    });
  });
  await expect.poll(() => storage.connections()?.used).toBe(2);
  const waiting: Promise<number>[] = [];
  for (let n = 1; n <= count; n += 1) {
    waiting.push(ask(projects).then(({ status }) => status));
    // As they come from sockets: not all of them before the first is looked at.
    if (n % 20 === 0) await sleep(1);
  }
  await sleep(600);
  await work();
  gate.open();
  await Promise.all(holders);
  return await Promise.all(waiting);
}

it("refuses at once what comes when many have waited for long, does what they wait for, and stays ready", async () => {
  const answered = await whileWaiting(60, async () => {
    const behind = await ask(projects);
    expect(behind).toMatchObject({ status: 503, code: "unavailable", retryAfter: "1" });
    // It would wait until they are done, which is not before it has its answer.
    expect(behind.seconds).toBeLessThan(2);
    expect((await ask("/livez")).status).toBe(200);
  });
  expect(answered).toEqual(Array(60).fill(200));
  expect((await ask("/readyz")).status).toBe(200);
  expect((await ask(projects)).status).toBe(200);
});

it("refuses nobody behind a few, who wait for a database that stands still for a moment", async () => {
  let later: ReturnType<typeof ask> | undefined;
  const answered = await whileWaiting(40, async () => {
    later = ask(projects);
  });
  expect(answered).toEqual(Array(40).fill(200));
  expect((await later)?.status).toBe(200);
});

it("refuses those who come at once when they are far too many", async () => {
  const answered = await whileWaiting(400, async () => {});
  const [done, refused] = [200, 503].map((status) => answered.filter((one) => one === status).length);
  expect((done ?? 0) + (refused ?? 0)).toBe(400);
  expect(done).toBeGreaterThanOrEqual(200);
  expect(refused).toBeGreaterThan(100);
});

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
  });
});
afterAll(async () => {
  await app.close();
  await storage.close();
  await test.close();
});

const timed = async (url: string) => {
  const started = performance.now();
  const { status, headers, body } = await callApp(app, "GET", url, { token: test.token });
  return {
    status,
    code: body.code,
    retryAfter: headers["retry-after"],
    seconds: (performance.now() - started) / 1000,
  };
};

it("refuses within a second what it cannot do in time, and at once what comes behind that", async () => {
  const gate = createGate();
  const holders = Array.from({ length: 2 }, async () => {
    await storage.transaction(test.owner.organizationId, async (tx) => {
      await tx.now();
      await gate.opened;
    });
  });
  await expect.poll(() => storage.connections()?.used).toBe(2);

  const ready = timed("/readyz");
  const first = timed(`${api}/me`);
  await sleep(600);
  const behind = await timed(`${api}/me`);
  expect(behind).toMatchObject({ status: 503, code: "unavailable", retryAfter: "1" });
  expect(behind.seconds).toBeLessThan(0.3);
  expect((await timed("/livez")).status).toBe(200);
  const waited = await first;
  expect(waited).toMatchObject({ status: 503, code: "unavailable" });
  expect(waited.seconds).toBeGreaterThan(0.9);
  expect(waited.seconds).toBeLessThan(1.5);

  gate.open();
  await Promise.all(holders);
  // To be asked for all that while does not make a server unready.
  expect((await ready).status).toBe(200);
  expect((await timed(`${api}/me`)).status).toBe(200);
});

import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { api, callApp, openTestApp, type TestApp } from "../integration/rest/harness.ts";

const url = process.env.TEST_REDIS_URL;
if (url === undefined)
  throw new Error("Set TEST_REDIS_URL; service/test/redis.sh starts a Redis and does so.");

let test: TestApp;
let redis: Redis;
beforeAll(async () => {
  redis = new Redis(url);
  await redis.flushall();
  test = await openTestApp();
});
afterAll(async () => {
  await test.close();
  redis.disconnect();
});

describe("the rate limit of three servers that share a Redis", () => {
  it("lets a token make exactly its number of requests, whichever server it asks", async () => {
    const settings = { REDIS_URL: url, TASKMASTER_RATE_LIMIT_MAX: "90" };
    const servers = await Promise.all([
      test.another(settings),
      test.another(settings),
      test.another(settings),
    ]);
    const answers = await Promise.all(
      Array.from({ length: 150 }, (_, i) => {
        const server = servers[i % 3];
        if (server === undefined) throw new Error("there are three servers");
        return callApp(server, "GET", `${api}/me`, { token: test.token });
      }),
    );
    const count = (status: number) => answers.filter((answer) => answer.status === status).length;
    expect([count(200), count(429)]).toEqual([90, 60]);
    for (const answer of answers.filter((one) => one.status === 429)) {
      expect(answer.body).toMatchObject({ code: "rate_limited" });
      expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    }
  });

  it("counts each server by itself without a Redis, which shows that it is the Redis that counts", async () => {
    const settings = { TASKMASTER_RATE_LIMIT_MAX: "10" };
    const servers = await Promise.all([test.another(settings), test.another(settings)]);
    let allowed = 0;
    for (let i = 0; i < 30; i += 1) {
      const server = servers[i % 2];
      if (server === undefined) throw new Error("there are two servers");
      const answer = await callApp(server, "GET", `${api}/me`, { token: test.token });
      if (answer.status === 200) allowed += 1;
    }
    expect(allowed).toBe(20);
  });
});

import { setTimeout as sleep } from "node:timers/promises";
import { EventSource } from "eventsource";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCore } from "../../../src/core/create.ts";
import type { Core } from "../../../src/core/index.ts";
import { createLog } from "../../../src/log.ts";
import { buildApp } from "../../../src/rest/app.ts";
import type { App } from "../../../src/rest/http.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { testSecret } from "../../support/core.ts";
import { query } from "../../support/migrations.ts";
import { openStream } from "../../support/streams.ts";
import { addMembers, addOrganization, api, type TestApp, testKey } from "./harness.ts";
import { range, useStreams } from "./streaming.ts";

const streaming = useStreams();
const { makeProject, urlOf, stream, write } = streaming;
let test: TestApp;
beforeAll(() => {
  ({ test } = streaming);
});
// Behind the hooks of the streams, and so run before them: the app is closed there.
afterAll(() => {
  // The real client's pool may hold a connection that was never used.
  test.app.server.closeAllConnections();
});

/** Another process's worth of server on the same database. */
async function openReplica(): Promise<{ app: App; core: Core; at: string; close(): Promise<void> }> {
  const { connectionString } = test;
  const storage = await openPostgres({ connectionString, poolSize: 10, statementTimeoutMs: 20_000 });
  const core = await createCore(storage, testSecret);
  const lifecycle = { draining: false, obstacle: null };
  const log = createLog({ logLevel: "silent" }, { write: () => {} });
  const app = await buildApp({
    core,
    config: test.config,
    log,
    sessionKey: testKey,
    lifecycle,
    version: "0.0.0",
  });
  return {
    app,
    core,
    at: await app.listen({ port: 0 }),
    async close() {
      await app.close();
      await storage.close();
    },
  };
}

describe("a stream", () => {
  it("gives a real client what the list gives, as it happens, and takes it up again", async () => {
    const key = await makeProject();
    const asked: (string | null)[] = [];
    const source = new EventSource(urlOf(key, "?after=0"), {
      fetch: async (url, init) => {
        const headers = new Headers(init.headers);
        asked.push(headers.get("last-event-id"));
        headers.set("authorization", `Bearer ${test.token}`);
        return await fetch(url, { ...init, headers });
      },
    });
    const got: { type: string; id: string; data: unknown }[] = [];
    for (const type of ["project.created", "task.created"]) {
      source.addEventListener(type, ({ data, lastEventId }) => {
        got.push({ type, id: lastEventId, data: JSON.parse(data) });
      });
    }
    const until = async (count: number) => {
      for (let i = 0; i < 1_000 && got.length < count; i += 1) await sleep(10);
    };
    await until(1);
    await write(key, "one");
    await until(2);
    test.app.server.closeAllConnections();
    await write(key, "while away");
    await until(3);
    source.close();
    const list = await test.call<{ items: { type: string; sequence: number }[] }>(
      "GET",
      `${api}/projects/${key}/events`,
    );
    expect(got).toEqual(
      list.body.items.map((event) => ({ type: event.type, id: String(event.sequence), data: event })),
    );
    expect(got.map(({ id }) => id)).toEqual(["1", "2", "3"]);
    expect(asked).toEqual([null, "2"]);
  });

  it("is what proxies let through as it comes, and no cache keeps", async () => {
    const { status, headers } = await stream(await makeProject());
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
      "x-content-type-options": "nosniff",
    });
    expect(headers["content-encoding"]).toBeUndefined();
    expect(headers["x-request-id"]).toBeTruthy();
  });

  it("begins now when no place is named, and says where that is", async () => {
    const key = await makeProject();
    await write(key, "before");
    const opened = await stream(key);
    expect(await opened.until("start")).toMatchObject({ id: 2, data: { last: 2 } });
    expect(opened.blocks[0]?.retry).toBeGreaterThanOrEqual(1_000);
  });

  it("goes on behind Last-Event-ID, which wins over after", async () => {
    const key = await makeProject();
    for (const title of ["a", "b", "c"]) await write(key, title);
    await test.call("GET", `${api}/projects/${key}/events`);
    const opened = await stream(key, { query: "?after=0", headers: { "last-event-id": "3" } });
    await opened.until(1);
    expect(opened.events().map(({ sequence }) => sequence)).toEqual([4]);
    const other = await stream(key, { query: "?after=2" });
    await other.until(2);
    expect(other.events().map(({ sequence }) => sequence)).toEqual([3, 4]);
    expect(other.blocks.some(({ event }) => event === "start" || event === "reset")).toBe(false);
  });

  it("names what is wrong with a place that cannot be one", async () => {
    const key = await makeProject();
    for (const value of ["x", "-1", "1.5", "9007199254740993", "1,2"]) {
      const answer = await test.call<{ code: string; errors: { pointer: string }[] }>(
        "GET",
        `${api}/projects/${key}/events/stream`,
        { headers: { "last-event-id": value } },
      );
      expect([value, answer.status, answer.body.code]).toEqual([value, 400, "invalid_input"]);
      expect(answer.body.errors[0]?.pointer).toBe("/headers/last-event-id");
      const query = await test.call<{ errors: { pointer: string }[] }>(
        "GET",
        `${api}/projects/${key}/events/stream?after=${encodeURIComponent(value)}`,
      );
      expect([value, query.status, query.body.errors[0]?.pointer]).toEqual([value, 400, "/query/after"]);
    }
    expect((await test.call("HEAD", `${api}/projects/${key}/events/stream`)).status).toBe(405);
  });

  it("is for those who may read the project, and for others there is none", async () => {
    const key = await makeProject();
    const stranger = await addOrganization(test.storage, "stranger");
    const strangers = await addMembers(test.core, stranger, "stranger");
    expect((await stream(key, { token: strangers.owner.token })).status).toBe(404);
    expect((await stream(key, { token: "tmp_nobody" })).status).toBe(401);
    const { token } = await test.core.tokens.create(test.owner, { name: "claims only", scopes: ["claim"] });
    expect((await stream(key, { token })).status).toBe(403);
  });
});

describe("the log", () => {
  it("comes whole, in order and once, however often the line is cut, the writers write and the replicas change", async () => {
    const key = await makeProject();
    const replica = await openReplica();
    try {
      const writers = Array.from({ length: 6 }, async (_, writer) => {
        for (let i = 0; i < 25; i += 1)
          await write(key, `${writer}.${i}`, writer % 2 ? replica.core : test.core);
      });
      const total = 1 + 6 * 25;
      const reader = async (seed: number) => {
        const got: number[] = [];
        for (let turn = seed; got.length < total; turn += 1) {
          const opened = await openStream(
            urlOf(key, "?after=0", turn % 2 ? replica.at : undefined),
            test.token,
            {
              ...(got.length === 0 ? {} : { "last-event-id": String(got.at(-1)) }),
            },
          );
          // At whatever moment: before anything came, in the middle of a burst, or when all is there.
          await Promise.race([
            sleep(Math.random() * 120),
            opened.until(total - got.length, 30_000).catch(() => {}),
          ]);
          await opened.leave();
          got.push(...opened.events().map(({ sequence }) => sequence));
        }
        return got;
      };
      const [first, second] = await Promise.all([reader(0), reader(1), ...writers]);
      expect(first).toEqual(range(1, total));
      expect(second).toEqual(range(1, total));
    } finally {
      await replica.close();
    }
  }, 60_000);

  it("is streamed by one process when another writes", async () => {
    const key = await makeProject();
    const replica = await openReplica();
    try {
      const opened = await stream(key, { at: replica.at });
      await opened.until("start");
      await sleep(300);
      for (const i of range(1, 5)) {
        const begun = performance.now();
        await write(key, `${i}`);
        await opened.until(i);
        // Told, and not only found by looking, which is every five seconds.
        expect(performance.now() - begun).toBeLessThan(2_000);
      }
      expect(opened.events().map(({ type }) => type)).toEqual(range(1, 5).map(() => "task.created"));
      await opened.leave();
    } finally {
      await replica.close();
    }
  });

  it("goes on when the database ends the connection that listens", async () => {
    const key = await makeProject();
    const replica = await openReplica();
    try {
      const opened = await stream(key, { at: replica.at });
      await opened.until("start");
      await sleep(300);
      await query(
        test.connectionString,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'task-master-pro events'`,
      );
      await write(key, "meanwhile");
      await opened.until(1);
      await sleep(500);
      await write(key, "afterwards");
      await opened.until(2);
      expect(opened.events().map(({ data }) => data.title)).toEqual(["meanwhile", "afterwards"]);
      await opened.leave();
    } finally {
      await replica.close();
    }
  });

  it("begins anew, and says so, for a place that is ahead of it", async () => {
    const key = await makeProject();
    await write(key, "one");
    const opened = await stream(key, { headers: { "last-event-id": "99" } });
    expect(await opened.until("reset")).toMatchObject({ id: 2, data: { last: 2 } });
    await write(key, "two");
    await opened.until(1);
    expect(opened.events().map(({ sequence }) => sequence)).toEqual([3]);
  });

  it("that is set back while it is followed ends the stream, which then begins anew", async () => {
    const key = await makeProject();
    for (const title of ["a", "b"]) await write(key, title);
    const opened = await stream(key, { query: "?after=0" });
    await opened.until(3);
    // As a restore of an older backup leaves it.
    await query(
      test.connectionString,
      `WITH p AS (UPDATE projects SET event_sequence = 1 WHERE key = $1 RETURNING id)
       DELETE FROM events USING p WHERE project_id = p.id AND sequence > 1`,
      [key],
    );
    expect(await opened.until("end", 12_000)).toMatchObject({ data: { code: "conflict" } });
    expect(await opened.closed).toBe("ended");
    const again = await stream(key, { headers: { "last-event-id": "3" } });
    expect(await again.until("reset")).toMatchObject({ id: 1 });
  }, 30_000);

  it("ends with its project: all of it, then a last word, and then there is none", async () => {
    const key = await makeProject();
    const opened = await stream(key, { query: "?after=0" });
    await opened.until(1);
    await test.core.projects.delete(test.owner, key, 1);
    expect(await opened.until("end")).toMatchObject({ id: undefined, data: { code: "not_found" } });
    expect(await opened.closed).toBe("ended");
    expect((await stream(key)).status).toBe(404);
  });
});

import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics/create.ts";
import { listen } from "../../../src/metrics/listen.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import type { Scrape } from "../../support/metrics.ts";
import { api, startWatchedServer, type WatchedServer } from "../../support/watched-server.ts";

const log = createLog({ logLevel: "silent" });

let database: TestDatabase;
let server: WatchedServer;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startWatchedServer(database);
  await server.call("POST", "/projects", { key: "DEMO", name: "Demo" });
  await server.call("POST", "/projects/DEMO/tags", { name: "work" });
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

const addTask = async (title: string) =>
  (await server.call("POST", "/projects/DEMO/tags/work/tasks", { title })).body;
const increase = async (name: string, labels: Record<string, string>, work: () => Promise<unknown>) => {
  const before = (await server.scrape()).find(name, labels) ?? 0;
  await work();
  return ((await server.scrape()).find(name, labels) ?? 0) - before;
};

test("requests are counted by their route's template, method and status", async () => {
  const of = {
    http_request_method: "GET",
    http_route: "/api/v1/projects/:key",
    http_response_status_code: "200",
  };
  const get = () => server.call("GET", "/projects/DEMO");
  expect(
    await increase("http_server_request_duration_seconds_count", of, async () => {
      for (let i = 0; i < 3; i += 1) expect((await get()).status).toBe(200);
    }),
  ).toBe(3);
  const missing = { ...of, http_response_status_code: "404" };
  expect(
    await increase("http_server_request_duration_seconds_count", missing, () =>
      server.call("GET", "/projects/NONE"),
    ),
  ).toBe(1);
  const found = await server.scrape();
  const bounds = [...found.samples.keys()]
    .filter((series) => series.startsWith("http_server_request_duration_seconds_bucket"))
    .filter((series) => Object.entries(of).every(([label, value]) => series.includes(`${label}="${value}"`)))
    .map((series) => /le="([^"]+)"/.exec(series)?.[1]);
  expect(bounds).toEqual("0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.3 0.5 0.75 1 2.5 5 7.5 10 +Inf".split(" "));
  expect(found.find("http_server_active_requests", { http_request_method: "GET" })).toBe(0);
});

test("a request that its client leaves is under way until then, and ends once", async () => {
  const route = { http_route: "/api/v1/projects/:key/events/stream" };
  const stop = new AbortController();
  const { body: token } = await server.call("POST", "/tokens", { name: "stream" });
  const response = await fetch(`${server.url}${api}/projects/DEMO/events/stream?after=0`, {
    headers: { authorization: `Bearer ${token.token}`, accept: "text/event-stream" },
    signal: stop.signal,
  });
  expect(response.status).toBe(200);
  const active = async () =>
    (await server.scrape()).find("http_server_active_requests", { http_request_method: "GET" });
  expect(await active()).toBe(1);
  expect((await server.scrape()).find("http_server_request_duration_seconds_count", route)).toBeUndefined();
  stop.abort();
  await expect.poll(active).toBe(0);
  expect((await server.scrape()).find("http_server_request_duration_seconds_count", route)).toBe(1);
});

test("10,000 addresses that nobody has add no series, and methods that there are not only those of _OTHER", async () => {
  const names = (found: Scrape) =>
    // Kinds of garbage collections are as many as there are, and come when they come.
    new Set([...found.samples.keys()].filter((series) => !/_bucket|^nodejs_gc_/.test(series)));
  await server.call("GET", "/nowhere");
  const before = names(await server.scrape());
  const count = { http_request_method: "GET", http_route: "", http_response_status_code: "404" };
  const lines = Array.from(
    { length: 10_000 },
    (_, i) => `/${i % 2 ? "api/v1/" : ""}${crypto.randomUUID()}?q=${i}`,
  );
  // Many on one connection: ten thousand of them are then a second's work.
  expect(
    await increase("http_server_request_duration_seconds_count", count, async () => {
      await pipeline(
        server.url,
        lines.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`),
      );
    }),
  ).toBe(10_000);
  expect([...names(await server.scrape())].filter((series) => !before.has(series))).toEqual([]);

  await pipeline(
    server.url,
    ["PROPFIND", "MKCOL", "QUERY"].map((method) => `${method} /${method} HTTP/1.1\r\nHost: a\r\n\r\n`),
  );
  const added = [...names(await server.scrape())].filter((series) => !before.has(series));
  expect(added.every((series) => series.includes('http_request_method="_OTHER"'))).toBe(true);
  expect(added).toHaveLength(3);
});

/** Sends requests in one go and waits for as many answers. */
async function pipeline(url: string, requests: string[]): Promise<void> {
  const { hostname, port } = new URL(url);
  for (let from = 0; from < requests.length; from += 500) {
    const some = requests.slice(from, from + 500);
    await new Promise<void>((resolve, reject) => {
      const socket = connect(Number(port), hostname);
      let text = "";
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        text += chunk.toString();
        if (text.split("HTTP/1.1 ").length - 1 === some.length) {
          socket.end();
          resolve();
        }
      });
      socket.write(some.join(""));
    });
  }
  // The last answer is here before its request is counted.
  await new Promise((resolve) => setTimeout(resolve, 100));
}

test("claims: granted, refused and why, ended and how; and the tasks that are ready", async () => {
  const ready = async () => (await server.scrape()).find("taskmaster_tasks_ready") ?? Number.NaN;
  const before = await server.scrape();
  const first = await ready();
  const [one, two] = [await addTask("one"), await addTask("two")];
  await server.call("PUT", `/tasks/${two.id}/dependencies/${one.id}`);
  expect(await ready()).toBe(first + 1);

  const { body: claim, status } = await server.call("POST", `/tasks/${one.id}/claims`, {});
  expect(status).toBe(201);
  expect(await ready()).toBe(first);
  expect((await server.call("POST", `/tasks/${one.id}/claims`, {})).status).toBe(409);
  expect((await server.call("POST", `/tasks/${two.id}/claims`, {})).status).toBe(409);
  expect((await server.call("POST", "/projects/DEMO/tags/work/claims", {})).status).toBe(204);
  const end = (fence: unknown) => server.call("POST", `/claims/${claim.id}/complete`, { fence });
  expect((await end(Number(claim.fence) + 1)).status).toBe(409);
  expect((await end(claim.fence)).status).toBe(200);
  expect((await end(claim.fence)).status).toBe(409);
  expect(await ready()).toBe(first + 1);

  await server.call("POST", `/tasks/${two.id}/claims`, { ttlSeconds: 1 });
  await expect.poll(() => server.core.claims.expire(), { timeout: 5_000, interval: 200 }).toBe(1);
  const after = await server.scrape();
  const grown = (name: string, labels = {}) =>
    (after.find(name, labels) ?? 0) - (before.find(name, labels) ?? 0);
  expect(grown("taskmaster_claims_granted_total")).toBe(2);
  expect(grown("taskmaster_claims_refused_total", { reason: "claimed" })).toBe(1);
  expect(grown("taskmaster_claims_refused_total", { reason: "conflict" })).toBe(1);
  expect(grown("taskmaster_claims_refused_total", { reason: "nothing_ready" })).toBe(1);
  expect(grown("taskmaster_claims_refused_total", { reason: "stale_fence" })).toBe(1);
  expect(grown("taskmaster_claims_refused_total", { reason: "claim_ended" })).toBe(1);
  expect(grown("taskmaster_claims_ended_total", { outcome: "completed" })).toBe(1);
  expect(grown("taskmaster_claims_ended_total", { outcome: "expired" })).toBe(1);
  expect(grown("taskmaster_events_total", { type: "claim.created" })).toBe(2);
  expect(grown("taskmaster_transactions_total", { kind: "change", outcome: "rolled_back" })).toBe(5);
});

test("the webhooks' queue, and what came of an attempt", async () => {
  expect((await server.scrape()).find("taskmaster_webhook_deliveries_pending")).toBe(0);
  const made = await server.call("POST", "/webhooks", {
    url: "https://example.com/",
    events: ["task.created"],
  });
  expect(made.status).toBe(201);
  await addTask("told");
  const waiting = await server.scrape();
  expect(waiting.find("taskmaster_webhook_deliveries_pending")).toBe(1);
  expect(waiting.find("taskmaster_webhook_delivery_oldest_age_seconds")).toBeGreaterThan(0);
  const [message] = await server.core.webhooks.take({ limit: 1, underWay: [], leaseSeconds: 60 });
  if (message === undefined) throw new Error("there is one");
  await server.core.webhooks.settle(message, {
    kind: "answered",
    status: 204,
    retryAfterSeconds: null,
    durationMs: 30,
  });
  const sent = await server.scrape();
  expect(sent.find("taskmaster_webhook_deliveries_pending")).toBe(0);
  expect(sent.find("taskmaster_webhook_delivery_oldest_age_seconds")).toBe(0);
  expect(sent.find("taskmaster_webhook_attempt_duration_seconds_sum", { outcome: "delivered" })).toBe(0.03);
});

test("the process, the pool, the release and the schema", async () => {
  const found = await server.scrape();
  expect(found.find("taskmaster_build_info", { version: "1.2.3" })).toBe(1);
  expect(found.find("taskmaster_migration_info", { migration: "20261127050100_edges_out_of_order" })).toBe(1);
  expect(found.find("taskmaster_database_connections_max")).toBe(7);
  expect(found.find("taskmaster_database_connections_waiting")).toBe(0);
  expect(
    (found.find("taskmaster_database_connections", { state: "idle" }) ?? 0) +
      (found.find("taskmaster_database_connections", { state: "used" }) ?? 0),
  ).toBeGreaterThan(0);
  expect(found.find("nodejs_eventloop_lag_p99_seconds")).toBeGreaterThan(0);
  expect(found.find("nodejs_heap_size_used_bytes")).toBeGreaterThan(1e6);
  expect(found.types.get("nodejs_gc_duration_seconds")).toBe("histogram");
});

test("nothing but /metrics is there, and only to be read", async () => {
  const of = (path: string, method = "GET") => fetch(new URL(path, server.metrics.address), { method });
  expect((await of("/")).status).toBe(404);
  expect((await of("/api/v1/projects")).status).toBe(404);
  expect((await of("/metrics", "POST")).status).toBe(405);
  const head = await of("/metrics?x=1", "HEAD");
  expect([head.status, head.headers.get("content-type")]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  const { port } = new URL(server.metrics.address);
  await expect(
    listen(createMetrics({ version: "1" }), { host: "127.0.0.1", port: Number(port), log }),
  ).rejects.toThrow("set TASKMASTER_METRICS_PORT");
});

test("two servers in one process count each their own", async () => {
  const other = await startWatchedServer(database);
  try {
    const before = (await other.scrape()).samples;
    await addTask("elsewhere");
    const after = await other.scrape();
    expect(after.find("taskmaster_claims_granted_total")).toBe(0);
    expect([...after.samples.keys()].filter((series) => series.startsWith("http_"))).toEqual(
      [...before.keys()].filter((series) => series.startsWith("http_")),
    );
  } finally {
    await other.close();
  }
});

test("without its database a server's scrape has all the rest, and says what it could not read", async () => {
  const gone = await createTestDatabase();
  const alone = await startWatchedServer(gone);
  try {
    const up = await alone.scrape();
    for (const reading of ["ready_tasks", "webhook_queue", "migration"]) {
      expect(up.find("taskmaster_reading_success", { reading })).toBe(1);
    }
    expect(up.find("taskmaster_tasks_ready")).toBe(0);
    await gone.drop();
    const down = await alone.scrape();
    for (const reading of ["ready_tasks", "webhook_queue", "migration"]) {
      expect(down.find("taskmaster_reading_success", { reading })).toBe(0);
    }
    expect(down.find("taskmaster_tasks_ready")).toBeUndefined();
    expect(down.find("taskmaster_webhook_deliveries_pending")).toBeUndefined();
    expect(down.find("taskmaster_migration_info")).toBeUndefined();
    expect(down.find("taskmaster_database_connections_max")).toBe(7);
    expect(down.find("nodejs_heap_size_used_bytes")).toBeGreaterThan(1e6);
  } finally {
    await alone.close();
  }
});

test("docs/observability.md has every metric with its type and labels, and no other", async () => {
  const text = await readFile(new URL("../../../../docs/observability.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `([a-z_0-9]+)` *\| (\w+) *\| ([^|]*)\|/gm)];
  const labelsOf = new Map(
    rows.map(([, name, , labels]) => [
      name,
      [...(labels ?? "").matchAll(/`(\w+)`/g)].map(([, label]) => label),
    ]),
  );
  const { types, samples } = await server.scrape();
  // What the kernel tells of a process, Linux alone tells.
  const here = ([name = ""]: [string | undefined, ...unknown[]]) =>
    process.platform === "linux" || !/^process_(open_fds|max_fds|(virtual_memory|heap)_bytes)$/.test(name);
  const documented = rows.map(([, name, type]): [string | undefined, string | undefined] => [name, type]);
  expect(new Map(documented.filter(here))).toEqual(new Map([...types].filter(here)));
  expect(rows).toHaveLength(labelsOf.size);
  for (const series of samples.keys()) {
    const [name = "", rest = ""] = series.split("{", 2);
    const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, "");
    const labels = [...rest.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)].map(([, label]) => label);
    expect(
      labels.filter((label) => label !== "le"),
      series,
    ).toEqual(labelsOf.get(family));
  }
});

test("OpenMetrics is written for who asks for it, and leaves the older form as it was", async () => {
  const prometheus =
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5";
  const get = async (accept: string) => {
    const response = await fetch(server.metrics.address, { headers: { accept } });
    return { type: response.headers.get("content-type"), text: await response.text() };
  };
  const before = await server.scrape();
  const [open, plain, again] = await Promise.all([get(prometheus), get("text/plain"), get(prometheus)]);
  for (const { type, text } of [open, again]) {
    expect(type).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(text).toMatch(/^# TYPE taskmaster_claims_granted counter$/m);
    expect(text).toMatch(/^taskmaster_claims_granted_total \d+$/m);
    expect(text).toMatch(/\n# EOF\n$/);
  }
  expect(plain.type).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(plain.text).toMatch(/^# TYPE taskmaster_claims_granted_total counter$/m);
  expect([...(await server.scrape()).types]).toEqual([...before.types]);
  // Nothing is traced here.
  expect(open.text).not.toContain("trace_id");
});

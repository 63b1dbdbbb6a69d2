import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request as send } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Collector, openCollector, type ReceivedSpan } from "../../support/collector.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { startTraced, type TracedServer } from "./harness.ts";

const api = "/api/v1";
let database: TestDatabase;
let collector: Collector;
let server: TracedServer;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await openCollector();
  server = await startTraced(database, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: "x-collector-key=s%20ecret",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=staging",
    OTEL_TRACES_SAMPLER: "parentbased_always_on",
  });
  await server.call("POST", `${api}/projects`, { body: { key: "DEMO", name: "Demo" } });
  await server.call("POST", `${api}/projects/DEMO/tags`, { body: { name: "work" } });
});
afterAll(async () => {
  await server.close();
  await collector.close();
  await database.drop();
});

const newTrace = (sampled = true) => {
  const traceId = randomBytes(16).toString("hex");
  const parentId = randomBytes(8).toString("hex");
  return { traceId, parentId, headers: { traceparent: `00-${traceId}-${parentId}-0${Number(sampled)}` } };
};
const childrenOf = (spans: ReceivedSpan[], parent: ReceivedSpan | undefined) =>
  spans.filter(({ parentId }) => parentId === parent?.spanId).sort((a, b) => (a.start < b.start ? -1 : 1));

test("a request is one trace: HTTP, then the use case, its transaction, and each SQL statement", async () => {
  const { traceId, parentId, headers } = newTrace();
  const title = "Tell nobody of this title";
  const made = await server.call("POST", `${api}/projects/DEMO/tags/work/tasks`, {
    body: { title },
    headers,
  });
  expect(made.status).toBe(201);
  const root = await rootOf(traceId);
  const spans = collector.spans.filter((span) => span.traceId === traceId);

  expect(root).toMatchObject({
    parentId,
    kind: "server",
    name: "POST /api/v1/projects/:key/tags/:tag/tasks",
    failed: false,
    attributes: {
      "http.request.method": "POST",
      "http.route": "/api/v1/projects/:key/tags/:tag/tasks",
      "http.response.status_code": 201,
      "url.scheme": "http",
    },
  });
  const cases = childrenOf(spans, root);
  expect(cases.map(({ name, kind }) => [name, kind])).toEqual([
    ["access.fromAccessToken", "internal"],
    ["tasks.create", "internal"],
  ]);
  const transactions = childrenOf(spans, cases[1]).filter(({ name }) => name === "transaction");
  expect(transactions).toHaveLength(1);
  const statements = childrenOf(spans, transactions[0]);
  const names = statements.map(({ name }) => name);
  expect(names[0]).toBe("BEGIN");
  expect(names.at(-1)).toBe("COMMIT");
  expect(names).toContain("INSERT tasks");
  expect(names).toContain("INSERT events INSERT deliveries");
  for (const { kind, attributes } of statements) {
    expect(kind).toBe("client");
    expect(attributes["db.system.name"]).toBe("postgresql");
    expect(attributes["db.operation.name"]).toMatch(/^[A-Z]+$/);
  }
  const insert = statements.find(({ name }) => name === "INSERT tasks");
  expect(insert?.attributes["db.query.text"]).toMatch(/^INSERT INTO tasks .*\$1/);
  // Each inside the one that it is a part of, and nothing beside the tree.
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  for (const span of spans) {
    if (span === root) continue;
    const parent = byId.get(span.parentId);
    if (parent === undefined) throw new Error(`${span.name} has no parent that came`);
    // Starts are told in whole milliseconds, and the ends are counted from them.
    expect(span.start >= parent.start - 1_000_000n && span.end <= parent.end + 1_000_000n).toBe(true);
  }
});

/** The request's own span, which comes last. */
async function rootOf(traceId: string): Promise<ReceivedSpan> {
  let root: ReceivedSpan | undefined;
  await expect
    .poll(
      () => {
        root = collector.spans.find((span) => span.traceId === traceId && span.kind === "server");
        return root !== undefined;
      },
      { timeout: 10_000 },
    )
    .toBe(true);
  return root as ReceivedSpan;
}

test("requests at the same time stay apart", async () => {
  const traces = Array.from({ length: 40 }, () => newTrace());
  await Promise.all(
    traces.map(({ headers }, i) =>
      i % 2 === 0
        ? server.call("GET", `${api}/projects/DEMO`, { headers })
        : server.call("POST", `${api}/projects/DEMO/tags/work/tasks`, {
            body: { title: `Task ${i}` },
            headers,
          }),
    ),
  );
  for (const { traceId } of traces) {
    const root = await rootOf(traceId);
    const spans = collector.spans.filter((span) => span.traceId === traceId);
    const cases = childrenOf(spans, root).map(({ name }) => name);
    expect(cases).toEqual([
      "access.fromAccessToken",
      root.attributes["http.request.method"] === "GET" ? "projects.get" : "tasks.create",
    ]);
    const begins = spans.filter(({ name }) => name === "BEGIN");
    expect(begins).toHaveLength(root.attributes["http.request.method"] === "GET" ? 0 : 1);
    const ids = new Set(spans.map(({ spanId }) => spanId));
    expect(spans.filter((span) => span !== root && !ids.has(span.parentId))).toEqual([]);
  }
});

test("a body that comes later than its request belongs to the same trace", async () => {
  const { traceId, headers } = newTrace();
  const sending = send(`${server.url}${api}/projects/DEMO/tags/work/tasks`, {
    method: "POST",
    headers: { ...headers, authorization: `Bearer ${server.token}`, "content-type": "application/json" },
  });
  sending.write('{"title":');
  await new Promise((resolve) => setTimeout(resolve, 300));
  sending.end('"late"}');
  const [response] = (await once(sending, "response")) as [IncomingMessage];
  response.resume();
  expect(response.statusCode).toBe(201);
  const root = await rootOf(traceId);
  const spans = collector.spans.filter((span) => span.traceId === traceId);
  expect(childrenOf(spans, root).map(({ name }) => name)).toEqual(["access.fromAccessToken", "tasks.create"]);
});

test("a refusal names its code and is no failure; an address that no route has is told of without itself", async () => {
  const refused = newTrace();
  expect((await server.call("GET", `${api}/projects/NONE`, { headers: refused.headers })).status).toBe(404);
  const root = await rootOf(refused.traceId);
  expect(root.failed).toBe(false);
  expect(root.attributes["http.response.status_code"]).toBe(404);
  const spans = collector.spans.filter(({ traceId }) => traceId === refused.traceId);
  expect(spans.find(({ name }) => name === "projects.get")).toMatchObject({
    failed: false,
    attributes: { "error.type": "not_found" },
  });

  const lost = newTrace();
  expect((await server.call("GET", "/alice@example.com?q=secret", { headers: lost.headers })).status).toBe(
    404,
  );
  const missing = await rootOf(lost.traceId);
  expect(missing.name).toBe("GET");
  expect(missing.attributes).toEqual({
    "http.request.method": "GET",
    "url.scheme": "http",
    "http.response.status_code": 404,
  });
});

test("a caller's trace that is not kept is none here, and a traceparent that is none begins a new one", async () => {
  const unkept = newTrace(false);
  await server.call("GET", `${api}/projects`, { headers: unkept.headers });
  const before = collector.spans.length;
  await server.call("GET", `${api}/projects`, { headers: { traceparent: "00-nonsense" } });
  await expect.poll(() => collector.spans.length, { timeout: 10_000 }).toBeGreaterThan(before);
  expect(collector.spans.filter(({ traceId }) => traceId === unkept.traceId)).toEqual([]);
});

test("health is not traced, nor is work that no request asks for", async () => {
  server.startUpkeep();
  const before = collector.spans.length;
  for (const path of ["/livez", "/readyz", "/startupz"]) {
    expect((await server.call("GET", path)).status).toBe(200);
  }
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  const { traceId, headers } = newTrace();
  await server.call("GET", `${api}/projects`, { headers });
  await rootOf(traceId);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(collector.spans.slice(before).filter((span) => span.traceId !== traceId)).toEqual([]);
});

test("a stream is one span; what it reads while it is open belongs to no trace", async () => {
  const { traceId, headers } = newTrace();
  const opening = send(`${server.url}${api}/projects/DEMO/events/stream`, {
    agent: false,
    headers: { ...headers, authorization: `Bearer ${server.token}` },
  });
  opening.on("error", () => {});
  opening.end();
  const [stream] = (await once(opening, "response")) as [IncomingMessage];
  for (let i = 0; i < 3; i += 1) {
    const unkept = newTrace(false);
    await server.call("POST", `${api}/projects/DEMO/tags/work/tasks`, {
      body: { title: `Streamed ${i}` },
      headers: unkept.headers,
    });
  }
  let text = "";
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.split("event: task.created").length === 4) break;
  }
  opening.destroy();
  const root = await rootOf(traceId);
  expect(root).toMatchObject({ name: "GET /api/v1/projects/:key/events/stream", failed: false });
  const spans = collector.spans.filter((span) => span.traceId === traceId && span !== root);
  expect(childrenOf(spans, root).map(({ name }) => name)).toEqual(["access.fromAccessToken"]);
});

test("log lines of a request name its trace and span", async () => {
  const { traceId, headers } = newTrace();
  await server.call("GET", `${api}/projects`, { headers });
  const root = await rootOf(traceId);
  const line = server.lines.find(({ trace_id }) => trace_id === traceId);
  expect(line).toMatchObject({ msg: "request", trace_id: traceId, span_id: root.spanId });
  expect(server.lines.filter(({ msg, trace_id }) => msg === "request" && trace_id === undefined)).toSatisfy(
    (lines: { route: string }[]) => lines.every(({ route }) => /^\/(live|ready|startup)z$/.test(route)),
  );
});

test("so do those of requests that were sent at once, of which one is answered behind the other", async () => {
  const traces = [newTrace(), newTrace()];
  const paths = [`${api}/projects/DEMO/tags/work/next`, `${api}/projects/DEMO`];
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.write(
    traces
      .map(
        ({ headers }, i) =>
          `GET ${paths[i]} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.token}\r\ntraceparent: ${headers.traceparent}\r\n` +
          `${i === 1 ? "connection: close\r\n" : ""}\r\n`,
      )
      .join(""),
  );
  socket.resume();
  await once(socket, "close");
  for (const [i, { traceId }] of traces.entries()) {
    await expect
      .poll(() => server.lines.filter(({ trace_id }) => trace_id === traceId).map(({ route }) => route))
      .toEqual([["/api/v1/projects/:key/tags/:tag/next", "/api/v1/projects/:key"][i]]);
  }
});

test("the collector gets its headers and who it is that sends; nothing that it gets is secret or written by people", async () => {
  const [request] = collector.requests;
  expect(request?.path).toBe("/v1/traces");
  expect(request?.headers["x-collector-key"]).toBe("s ecret");
  expect(request?.headers["content-type"]).toBe("application/x-protobuf");
  expect(collector.resources[0]).toMatchObject({
    "service.name": "task-master-pro",
    "service.version": "1.2.3",
    "deployment.environment.name": "staging",
  });
  const all = Buffer.concat(collector.requests.map(({ bytes }) => bytes)).toString("latin1");
  expect(all.length).toBeGreaterThan(10_000);
  const { password } = new URL(database.connectionString);
  for (const secret of [
    server.token,
    server.token.slice(4),
    "s ecret",
    "Tell nobody",
    "alice@example",
    password,
  ]) {
    if (secret !== "") expect(all).not.toContain(secret);
  }
});

test("the histogram of requests names a trace that is kept as an example, in OpenMetrics alone", async () => {
  const unkept = newTrace(false);
  await server.call("GET", `${api}/projects/DEMO/tags`, { headers: unkept.headers });
  const { traceId, headers } = newTrace();
  await server.call("GET", `${api}/projects/DEMO`, { headers });
  const root = await rootOf(traceId);
  const { text } = await server.metrics.text("openmetrics");
  const example = new RegExp(
    `^http_server_request_duration_seconds_bucket\\{.*http_route="/api/v1/projects/:key".*\\} \\d+ # \\{trace_id="${traceId}",span_id="${root.spanId}"\\} [\\d.e-]+ [\\d.]+$`,
    "m",
  );
  expect(text).toMatch(example);
  expect(text).not.toContain(unkept.traceId);
  expect((await server.metrics.text("prometheus")).text).not.toContain("trace_id");
});

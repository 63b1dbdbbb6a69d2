import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type Collector, openCollector } from "../../support/collector.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { connectTo } from "../mcp/harness.ts";
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
    OTEL_TRACES_SAMPLER_ARG: "0.5",
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(async () => {
  await server.close();
  await collector.close();
  await database.drop();
});

test("nothing in a request that the sampler does not take begins a trace by itself, or names one", async () => {
  // The draw is lost; a trace that began in spite of it would have an id that the sampler takes.
  const draw = vi.spyOn(Math, "random").mockReturnValue(0.99);
  const made = await server.call("POST", `${api}/projects`, { body: { key: "DEMO", name: "Demo" } });
  expect(made.status).toBe(201);
  await server.call("POST", `${api}/projects/DEMO/tags`, { body: { name: "work" } });
  const client = await connectTo(server.url, server.token);
  await client.callTool({ name: "add_task", arguments: { project: "DEMO", tag: "work", title: "One" } });
  await client.close();
  const untraced = server.lines.filter(({ msg }) => msg === "request");
  expect(untraced.length).toBeGreaterThan(3);
  expect(untraced.filter(({ trace_id, span_id }) => trace_id !== undefined || span_id !== undefined)).toEqual(
    [],
  );

  draw.mockReturnValue(0.49);
  expect((await server.call("GET", `${api}/projects/DEMO`)).status).toBe(200);
  await expect.poll(() => collector.spans.length, { timeout: 10_000 }).toBeGreaterThan(0);
  expect(collector.spans.filter(({ parentId }) => parentId === "").map(({ name }) => name)).toEqual([
    "GET /api/v1/projects/:key",
  ]);
  expect(new Set(collector.spans.map(({ traceId }) => traceId)).size).toBe(1);
});

test("nor does one on the connection of a request that is traced belong to that one's trace", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.99);
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  const ask = (path: string, ...headers: string[]) =>
    [`GET ${path} HTTP/1.1`, "host: x", `authorization: Bearer ${server.token}`, ...headers, "", ""].join(
      "\r\n",
    );
  const before = server.lines.length;
  const traced = ask(`${api}/projects/DEMO/tags/work/next`, `traceparent: 00-${traceId}-00f067aa0ba902b7-01`);
  socket.write(traced + ask(`${api}/projects/DEMO`) + traced);
  socket.write(ask(`${api}/projects/DEMO`, "connection: close"));
  socket.resume();
  await once(socket, "close");
  const lines = server.lines.slice(before).filter(({ msg }) => msg === "request");
  const traceOf = (route: string) =>
    lines.filter((line) => line.route === `${api}${route}`).map(({ trace_id }) => trace_id);
  expect(traceOf("/projects/:key/tags/:tag/next")).toEqual([traceId, traceId]);
  expect(traceOf("/projects/:key")).toEqual([undefined, undefined]);
  await expect
    .poll(() => collector.spans.filter((span) => span.traceId === traceId && span.kind === "server").length, {
      timeout: 10_000,
    })
    .toBe(2);
  const of = collector.spans.filter((span) => span.traceId === traceId).map(({ name }) => name);
  expect(of.filter((name) => name.startsWith("projects."))).toEqual([]);
});

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

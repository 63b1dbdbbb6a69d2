import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Collector, openCollector, type ReceivedSpan } from "../../support/collector.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { type ModelServer, numbered, openModelServer, says } from "../../support/model-server.ts";
import { type Receiver, startReceiver } from "../../support/receiver.ts";
import { connectTo } from "../mcp/harness.ts";
import { startTraced, type TracedServer } from "./harness.ts";

const api = "/api/v1";
let database: TestDatabase;
let collector: Collector;
let receiver: Receiver;
let model: ModelServer;
let server: TracedServer;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await openCollector();
  receiver = await startReceiver();
  model = await openModelServer();
  server = await startTraced(database, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_TRACES_SAMPLER: "parentbased_always_on",
    TASKMASTER_WEBHOOK_ALLOW_HTTP: "true",
    TASKMASTER_WEBHOOK_ALLOWED_NETWORKS: "127.0.0.0/8",
    TASKMASTER_LLM_BASE_URL: model.url,
    TASKMASTER_LLM_MODEL: "planner",
    TASKMASTER_LLM_API_KEY: "sk-hush",
  });
  server.startUpkeep();
  await server.call("POST", `${api}/projects`, { body: { key: "DEMO", name: "Demo" } });
  await server.call("POST", `${api}/projects/DEMO/tags`, { body: { name: "work" } });
});
afterAll(async () => {
  await server.close();
  for (const one of [collector, receiver, model]) await one.close();
  await database.drop();
});

const newTrace = () => {
  const traceId = randomBytes(16).toString("hex");
  const parentId = randomBytes(8).toString("hex");
  return { traceId, parentId, traceparent: `00-${traceId}-${parentId}-01` };
};
const addTask = (title: string, headers: Record<string, string> = {}) =>
  server.call("POST", `${api}/projects/DEMO/tags/work/tasks`, { body: { title }, headers });

async function find(what: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan> {
  await expect.poll(() => collector.spans.some(what), { timeout: 10_000 }).toBe(true);
  return collector.spans.find(what) as ReceivedSpan;
}
const spanById = (id: string) => find(({ spanId }) => spanId === id);

test("a webhook message goes on with the trace of the request that it tells of, and its receiver may as well", async () => {
  const made = await server.call("POST", `${api}/webhooks`, {
    body: { url: `${receiver.origin}/hook/hush-path`, events: ["task.created"] },
  });
  expect(made.status).toBe(201);
  const { traceId, traceparent } = newTrace();
  expect((await addTask("told", { traceparent })).status).toBe(201);
  const [message] = await receiver.until(1);
  const [, sentTrace, sentSpan, flags] = String(message?.headers.traceparent).split("-");
  expect([sentTrace, flags]).toEqual([traceId, "01"]);
  // What is sent is of the event alone.
  expect(JSON.parse(message?.body ?? "").data).not.toHaveProperty("trace");

  const sending = await find(({ spanId }) => spanId === sentSpan);
  const { hostname, port } = new URL(receiver.origin);
  expect(sending).toMatchObject({
    traceId,
    name: "POST",
    kind: "client",
    failed: false,
    attributes: {
      "http.request.method": "POST",
      "http.response.status_code": 204,
      "server.address": hostname,
      "server.port": Number(port),
    },
  });
  const chain: string[] = [];
  for (let span = await spanById(sending.parentId); ; span = await spanById(span.parentId)) {
    chain.push(span.name);
    if (span.kind === "server") break;
  }
  expect(chain).toEqual(["transaction", "tasks.create", "POST /api/v1/projects/:key/tags/:tag/tasks"]);
});

test("a message of what nobody traced begins a trace of its own", async () => {
  const count = receiver.received.length;
  const traceId = randomBytes(16).toString("hex");
  await addTask("not kept", { traceparent: `00-${traceId}-${randomBytes(8).toString("hex")}-00` });
  const unkept = (await receiver.until(count + 1))[count];
  expect(unkept?.headers.traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
  const { body } = await server.call("GET", `${api}/webhooks`);
  const [webhook] = (body as { items: { id: string }[] }).items;
  await server.call("POST", `${api}/webhooks/${webhook?.id}/test`);
  const tested = (await receiver.until(count + 2))[count + 1];
  const [, , spanId] = String(tested?.headers.traceparent).split("-");
  expect(await find((span) => span.spanId === spanId)).toMatchObject({ parentId: "", kind: "client" });
  expect(collector.spans.filter((span) => span.traceId === traceId)).toEqual([]);
});

test("an MCP call is a span between its request and its use cases", async () => {
  const client = await connectTo(server.url, server.token);
  try {
    const { isError } = await client.callTool({
      name: "get_tasks",
      arguments: { project: "DEMO", tag: "work" },
    });
    expect(isError).toBeUndefined();
    const call = await find(({ name }) => name === "tools/call get_tasks");
    expect(call).toMatchObject({
      kind: "server",
      failed: false,
      attributes: {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "get_tasks",
        "gen_ai.operation.name": "execute_tool",
      },
    });
    expect(await spanById(call.parentId)).toMatchObject({ name: "POST /mcp", kind: "server" });
    const useCase = await find(({ parentId, name }) => parentId === call.spanId && name === "tasks.list");
    await find(({ parentId, name }) => parentId === useCase.spanId && name.startsWith("SELECT"));

    const refused = await client.callTool({
      name: "get_task",
      arguments: { project: "DEMO", tag: "work", id: "999" },
    });
    expect(refused.isError).toBe(true);
    expect(await find(({ name }) => name === "tools/call get_task")).toMatchObject({
      failed: false,
      attributes: { "error.type": "tool_error" },
    });
  } finally {
    await client.close();
  }
});

test("an MCP client that names its trace in the call is gone on with, and the request that carried it is linked", async () => {
  const client = await connectTo(server.url, server.token);
  try {
    const { traceId, parentId, traceparent } = newTrace();
    await client.callTool({
      name: "next_task",
      arguments: { project: "DEMO", tag: "work" },
      _meta: { traceparent },
    });
    const call = await find((span) => span.traceId === traceId && span.kind === "server");
    expect(call).toMatchObject({ name: "tools/call next_task", parentId });
    const [link] = call.links;
    expect(await spanById(link?.spanId ?? "")).toMatchObject({ name: "POST /mcp", traceId: link?.traceId });
  } finally {
    await client.close();
  }
});

test("a question to the language model is a span, which the model's server may go on with", async () => {
  model.answer(says({ subtasks: numbered({ 1: [], 2: [1] }) }));
  const { body: task } = await addTask("to be broken down");
  const { traceId, traceparent } = newTrace();
  const path = `${api}/tasks/${task.id}/expand`;
  const expanded = await server.call("POST", path, { body: { count: 2 }, headers: { traceparent } });
  expect(expanded.status).toBe(200);
  const [, sentTrace, sentSpan] = String(model.requests[0]?.headers.traceparent).split("-");
  expect(sentTrace).toBe(traceId);
  const asked = await find(({ spanId }) => spanId === sentSpan);
  expect(asked).toMatchObject({
    kind: "client",
    name: "chat planner",
    attributes: { "gen_ai.operation.name": "chat", "gen_ai.request.model": "planner" },
  });
  expect((await spanById(asked.parentId)).name).toBe("planning.expandTask");
});

test("none of it says a secret", () => {
  const all = Buffer.concat(collector.requests.map(({ bytes }) => bytes)).toString("latin1");
  for (const secret of ["hush", "whsec_", server.token.slice(4), "to be broken down"]) {
    expect(all).not.toContain(secret);
  }
});

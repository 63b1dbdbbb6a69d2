import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { type ModelServer, numbered, openModelServer, says, sends } from "../../support/model-server.ts";
import { api, openTestApp, type TestApp } from "./harness.ts";

let test: TestApp;
let model: ModelServer;

beforeAll(async () => {
  model = await openModelServer();
  test = await openTestApp({}, { languageModel: model.model() });
  await test.core.projects.create(test.owner, { key: "DEMO", name: "Demo" });
});
afterAll(async () => {
  await test.close();
  await model.close();
});
beforeEach(async () => {
  const { version } = await test.core.tags.get(test.owner, "DEMO", "master");
  await test.core.tags.delete(test.owner, "DEMO", "master", version);
  await test.core.tags.create(test.owner, "DEMO", { name: "master" });
});

const tag = `${api}/projects/DEMO/tags/master`;

it("plans from a document down to subtasks, and keeps scores", async () => {
  model.answer(says({ tasks: numbered({ 1: [], 2: [1] }, { priority: "medium" }) }));
  const parsed = await test.call<{ tasks: { id: string }[] }>("POST", `${tag}/parse-prd`, {
    body: { text: "A shop." },
    headers: { "idempotency-key": "parse" },
  });
  expect([parsed.status, parsed.body.tasks.length]).toEqual([200, 2]);
  const repeated = await test.call("POST", `${tag}/parse-prd`, {
    body: { text: "A shop." },
    headers: { "idempotency-key": "parse" },
  });
  expect([repeated.text, model.requests.length]).toEqual([parsed.text, 1]);
  const id = parsed.body.tasks[0]?.id;

  model.answer(says({ subtasks: numbered({ 1: [], 2: [1] }) }));
  const expanded = await test.call("POST", `${api}/tasks/${id}/expand`, { body: { count: 2 } });
  expect([expanded.status, expanded.body]).toMatchObject([
    200,
    { task: { id }, subtasks: [{ parent: id }, { parent: id }] },
  ]);

  const verdict = { recommendedSubtasks: 3, expansionPrompt: "", reasoning: "Because" };
  const { items } = await test.core.tasks.list(test.owner, "DEMO", "master", { level: "task" });
  model.answer(says({ tasks: items.map(({ localId }) => ({ id: localId, score: 6, ...verdict })) }));
  const analyzed = await test.call("POST", `${tag}/analyze-complexity`);
  expect([analyzed.status, analyzed.body]).toMatchObject([200, { skipped: [], scored: [{}, {}] }]);

  model.answer(says({ title: "New", description: "", details: "", testStrategy: "", priority: "high" }));
  const drafted = await test.call("POST", `${tag}/draft-task`, { body: { prompt: "Something new" } });
  expect([drafted.status, drafted.headers.location, drafted.body]).toMatchObject([
    201,
    `${api}/tasks/${drafted.body.id}`,
    { title: "New", priority: "high" },
  ]);

  model.answer(says({ title: "Newer", description: "", details: "", testStrategy: "" }));
  const url = `${api}/tasks/${drafted.body.id}/revise`;
  const body = { prompt: "Newer" };
  expect((await test.call("POST", url, { body })).status).toBe(428);
  expect((await test.call("POST", url, { body, headers: { "if-match": '"9"' } })).status).toBe(412);
  const revised = await test.call("POST", url, { body, headers: { "if-match": '"1"' } });
  expect([revised.status, revised.headers.etag, revised.body.title]).toEqual([200, '"2"', "Newer"]);
});

it("says what the model's server said, and when to come back", async () => {
  await test.core.tasks.create(test.owner, "DEMO", "master", { title: "One" });
  model.answer(sends(429, { error: { message: "slow down" } }, { "retry-after": "17" }));
  const answer = await test.call("POST", `${tag}/analyze-complexity`);
  expect([answer.status, answer.headers["retry-after"], answer.body]).toMatchObject([
    502,
    "17",
    { code: "llm_failed", cause: "rate_limited", retryAfterSeconds: 17 },
  ]);
});

it("waits for the model as long as is configured, and longer than for anything else", async () => {
  const app = await test.another({
    TASKMASTER_REQUEST_TIMEOUT_SECONDS: "1",
    TASKMASTER_LLM_BASE_URL: model.url,
    TASKMASTER_LLM_MODEL: "planner",
    TASKMASTER_LLM_TIMEOUT_SECONDS: "5",
  });
  await test.core.tasks.create(test.owner, "DEMO", "master", { title: "One" });
  model.answer(async (response, request) => {
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await says({ title: "Late", description: "", details: "", testStrategy: "", priority: "low" })(
      response,
      request,
    );
  });
  const request = {
    method: "POST" as const,
    headers: { authorization: `Bearer ${test.token}` },
    payload: { prompt: "Late" },
  };
  expect((await app.inject({ ...request, url: `${tag}/draft-task` })).statusCode).toBe(201);
  const call = { name: "add_task", arguments: { prompt: "Late" } };
  const overMcp = await app.inject({
    ...request,
    url: "/mcp",
    headers: { ...request.headers, accept: "application/json, text/event-stream" },
    payload: { jsonrpc: "2.0", id: 1, method: "tools/call", params: call },
  });
  expect(overMcp.json()).toMatchObject({ result: { structuredContent: { task: { title: "Late" } } } });
});

import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { LoggingMessageNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ModelServer, numbered, openModelServer, says, sends } from "../../support/model-server.ts";
import { ask, type McpTest, openMcp, refusedBy, seed } from "./harness.ts";

let test: McpTest;
let model: ModelServer;
let client: Client;

beforeAll(async () => {
  model = await openModelServer();
  test = await openMcp({ TASKMASTER_MCP_MODE: "all" }, model.model());
  await seed(test.core, test.owner, "DEMO");
  client = await test.connect(test.token);
});
afterAll(async () => {
  await test.close();
  await model.close();
});

it("breaks a task down, tells how far it is, and warns of an answer that was of no use", async () => {
  const warnings: unknown[] = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    warnings.push(params);
  });
  model.answer(says("Sure!"), says({ subtasks: numbered({ 1: [], 2: [1] }) }));
  const progress: { progress: number; message?: string | undefined }[] = [];
  const result = await client.callTool({ name: "expand_task", arguments: { id: "1", num: "2" } }, undefined, {
    onprogress: (one) => void progress.push(one),
  });
  expect(result.structuredContent).toMatchObject({
    project: "DEMO",
    tag: "master",
    task: { localId: "1" },
    total: 2,
    subtasks: [{ localId: "1.1" }, { localId: "1.2", dependencies: ["1.1"] }],
  });
  expect(progress.map(({ progress: value }) => value)).toEqual([1, 2, 3]);
  expect(progress[1]?.message).toContain("asked again");
  expect(warnings).toMatchObject([{ level: "warning", data: expect.stringContaining("asked again") }]);
  expect(await refusedBy(client, "expand_task", { id: "1" })).toBe("conflict");
  model.answer(says({ subtasks: numbered({ 1: [] }) }));
  expect(await ask(client, "expand_task", { id: "1", force: true, prompt: "Fewer" })).toMatchObject({
    subtasks: [{ localId: "1.3" }],
  });
});

it("makes tasks of a document's text, and not of its name", async () => {
  const plan = says({ tasks: numbered({ 1: [] }, { priority: "low" }) });
  model.answer(plan);
  expect(await refusedBy(client, "parse_prd", { input: "docs/prd.txt" })).toBe("invalid_input");
  expect(await refusedBy(client, "parse_prd", { input: "A shop." })).toBe("conflict");
  const input = { input: "A shop.", append: true, numTasks: 1, idempotencyKey: "parse" };
  const first = await ask(client, "parse_prd", input);
  expect(first).toMatchObject({ tag: "master", total: 1, tasks: [{ localId: "5" }] });
  expect(await ask(client, "parse_prd", input)).toEqual(first);
  await test.core.tags.create(test.owner, "DEMO", { name: "fresh" });
  await ask(client, "parse_prd", { input: "A shop.", tag: "fresh" });
  expect(await ask(client, "parse_prd", { input: "A shop.", tag: "fresh", force: true })).toMatchObject({
    tag: "fresh",
    tasks: [{ localId: "2" }],
  });
});

it("scores tasks, which the report then shows", async () => {
  const verdict = { recommendedSubtasks: 3, expansionPrompt: "Look", reasoning: "Hard" };
  model.answer(says({ tasks: [{ id: "2", score: 9, ...verdict }] }));
  const analysis = await ask(client, "analyze_project_complexity", { ids: "2", threshold: "8" });
  expect(analysis).toMatchObject({ scored: [{ localId: "2" }], recommended: ["2"], skipped: [] });
  expect(await ask(client, "complexity_report")).toMatchObject({
    items: [{ localId: "2", complexity: { score: 9 } }],
  });
  expect(await refusedBy(client, "analyze_project_complexity", { threshold: "11" })).toBe("invalid_input");
  expect(await refusedBy(client, "analyze_project_complexity", { ids: "99" })).toBe("invalid_input");
});

it("writes and revises tasks as a prompt asks", async () => {
  const words = { title: "Passkeys", description: "Sign in", details: "How", testStrategy: "Try" };
  model.answer(says({ ...words, priority: "low" }));
  const added = await ask(client, "add_task", { prompt: "Passkeys", priority: "high", dependencies: "1" });
  expect(added.task).toMatchObject({ title: "Passkeys", priority: "high", dependencies: ["1"] });
  const { localId, version } = added.task as { localId: string; version: number };
  model.answer(says({ ...words, title: "Passkeys!" }));
  expect((await ask(client, "update_task", { id: localId, prompt: "Louder", version })).task).toMatchObject({
    title: "Passkeys!",
  });
  const stale = { id: localId, prompt: "Louder", version };
  expect(await refusedBy(client, "update_task", stale)).toBe("version_mismatch");
  model.answer(says({ note: "Tried." }));
  await ask(client, "update_subtask", { id: localId, prompt: "Note that it was tried" });
  expect((await ask(client, "get_task", { id: localId })).tasks).toMatchObject([
    { details: "How\n\nTried." },
  ]);
});

it("says why the model gave no answer, and lets go of a call that is taken back", async () => {
  model.answer(sends(401, { error: { message: "bad key" } }));
  const refused = await client.callTool({ name: "expand_task", arguments: { id: "4" } });
  expect(refused).toMatchObject({
    isError: true,
    structuredContent: { code: "llm_failed", details: { cause: "unauthorized" } },
  });
  let gone: () => void = () => {};
  const closed = new Promise<void>((resolve) => {
    gone = resolve;
  });
  const asked = new Promise<void>((resolve) => {
    model.answer((response) => {
      response.on("close", gone);
      resolve();
    });
  });
  const controller = new AbortController();
  const call = client.callTool({ name: "expand_task", arguments: { id: "4" } }, undefined, {
    signal: controller.signal,
  });
  await asked;
  controller.abort();
  await expect(call).rejects.toThrow();
  await closed;
  expect((await ask(client, "get_task", { id: "4" })).subtasks).toEqual([]);
});

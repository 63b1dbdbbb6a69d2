import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { api } from "../rest/harness.ts";
import { type McpTest, openMcp, seed } from "./harness.ts";

let test: McpTest;
let client: Client;

beforeAll(async () => {
  test = await openMcp({ TASKMASTER_MCP_MODE: "all" });
  await seed(test.core, test.owner, "REST");
  await seed(test.core, test.owner, "MCP");
  client = await test.connect(test.token);
});
afterAll(async () => {
  await test.close();
});

interface Outcome {
  code: string;
  detail: string;
}

async function overRest(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await test.call<Outcome>(method, `${api}${path}`, { body, headers });
  return answer.status < 400 ? "ok" : { code: answer.body.code, detail: answer.body.detail };
}

async function overMcp(name: string, input: Record<string, unknown>) {
  const result = await client.callTool({ name, arguments: { project: "MCP", ...input } });
  if (!result.isError) return "ok";
  const { code } = result.structuredContent as { code: string };
  const [{ text = "" } = {}] = result.content as { text?: string }[];
  return { code, detail: text.slice(code.length + 2) };
}

/** What differs by nature: whose project it is, and the ids and times of its rows. */
function comparable(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value)
      .replaceAll(/"(MCP|REST)\b/g, '"KEY')
      .replaceAll(/\\"(MCP|REST)\b/g, '\\"KEY')
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "uuid")
      .replaceAll(/\d{4}-\d\d-\d\dT[0-9:.]+Z/g, "time"),
  );
}

async function stateOf(key: string): Promise<unknown> {
  const tags = await test.core.tags.list(test.owner, key);
  const tasks = [];
  for (const { name } of tags) {
    tasks.push((await test.core.tasks.list(test.owner, key, name, { limit: 200 })).items);
  }
  const { items } = await test.core.events.list(test.owner, key, { limit: 200 });
  const events = items.map(({ type, data }) => ({ type, data }));
  return comparable({ tags: tags.map(({ name, version }) => ({ name, version })), tasks, events });
}

const tag = "/projects/REST/tags/master";
const key = { "idempotency-key": "once" };

it.each<[string, () => Promise<unknown>, () => Promise<unknown>]>([
  [
    "add a task",
    () => overRest("POST", `${tag}/tasks`, { title: "Five", priority: "high", dependencies: ["1", "2"] }),
    () => overMcp("add_task", { title: "Five", priority: "high", dependencies: "1,2" }),
  ],
  [
    "add one twice under a key",
    async () => [
      await overRest("POST", `${tag}/tasks`, { title: "Six" }, key),
      await overRest("POST", `${tag}/tasks`, { title: "Six" }, key),
      await overRest("POST", `${tag}/tasks`, { title: "Seven" }, key),
    ],
    async () => {
      // The key is the principal's, whatever edge and project it is used at.
      const idempotencyKey = "once over MCP";
      return [
        await overMcp("add_task", { title: "Six", idempotencyKey }),
        await overMcp("add_task", { title: "Six", idempotencyKey }),
        await overMcp("add_task", { title: "Seven", idempotencyKey }),
      ];
    },
  ],
  [
    "set a status at the version seen",
    () => overRest("PATCH", "/tasks/REST:master:4", { status: "review" }, { "if-match": '"1"' }),
    () => overMcp("set_task_status", { id: "4", status: "review", version: 1 }),
  ],
  [
    "set a status at an old version",
    () => overRest("PATCH", "/tasks/REST:master:4", { status: "done" }, { "if-match": '"1"' }),
    () => overMcp("set_task_status", { id: "4", status: "done", version: 1 }),
  ],
  [
    "change words",
    () => overRest("PATCH", "/tasks/REST:master:2", { details: "More" }, { "if-match": '"1"' }),
    () => overMcp("update_task", { id: "2", details: "More", version: 1 }),
  ],
  [
    "add a subtask, also to a subtask",
    async () => [
      await overRest("POST", "/tasks/REST:master:3/subtasks", { title: "Sub" }),
      await overRest("POST", "/tasks/REST:master:3.1/subtasks", { title: "Sub" }),
    ],
    async () => [
      await overMcp("add_subtask", { id: "3", title: "Sub" }),
      await overMcp("add_subtask", { id: "3.1", title: "Sub" }),
    ],
  ],
  [
    "add a dependency, and one that makes a cycle",
    async () => [
      await overRest("PUT", "/tasks/REST:master:4/dependencies/2"),
      await overRest("PUT", "/tasks/REST:master:1/dependencies/4"),
    ],
    async () => [
      await overMcp("add_dependency", { id: "4", dependsOn: "2" }),
      await overMcp("add_dependency", { id: "1", dependsOn: "4" }),
    ],
  ],
  [
    "remove a dependency, twice",
    async () => [
      await overRest("DELETE", "/tasks/REST:master:4/dependencies/2"),
      await overRest("DELETE", "/tasks/REST:master:4/dependencies/2"),
    ],
    async () => [
      await overMcp("remove_dependency", { id: "4", dependsOn: "2" }),
      await overMcp("remove_dependency", { id: "4", dependsOn: "2" }),
    ],
  ],
  [
    "a subtask's status, which recomputes the parent's",
    () => overRest("PATCH", "/tasks/REST:master:3.1", { status: "done" }, { "if-match": '"1"' }),
    () => overMcp("set_task_status", { id: "3.1", status: "done", version: 1 }),
  ],
  [
    "remove a task that others wait for",
    () => overRest("DELETE", "/tasks/REST:master:1", undefined, { "if-match": '"1"' }),
    () => overMcp("remove_task", { id: "1", version: 1 }),
  ],
  [
    "copy a tag, and delete one that is not there",
    async () => [
      await overRest("POST", `${tag}/copy`, { name: "copy" }),
      await overRest("DELETE", "/projects/REST/tags/nowhere", undefined, { "if-match": '"1"' }),
    ],
    async () => [
      await overMcp("copy_tag", { sourceName: "master", targetName: "copy" }),
      await overMcp("delete_tag", { name: "nowhere" }),
    ],
  ],
  [
    "claim the next task, write under a stale fence, and complete",
    async () => {
      const { body } = await test.call<{ id: string; fence: number }>("POST", `${api}${tag}/claims`, {
        body: { ttlSeconds: 60 },
      });
      return [
        await overRest("POST", `/claims/${body.id}/heartbeat`, { fence: body.fence + 7 }),
        await overRest("POST", `/claims/${body.id}/complete`, { fence: body.fence, note: "Done." }),
        await overRest("POST", `/claims/${body.id}/complete`, { fence: body.fence, note: "Done." }),
      ];
    },
    async () => {
      const result = await client.callTool({
        name: "claim_next",
        arguments: { project: "MCP", ttlSeconds: 60 },
      });
      const { claim } = result.structuredContent as { claim: { id: string; fence: number } };
      const held = { project: undefined, claimId: claim.id };
      return [
        await overMcp("heartbeat", { ...held, fence: claim.fence + 7 }),
        await overMcp("complete_claim", { ...held, fence: claim.fence, note: "Done." }),
        await overMcp("complete_claim", { ...held, fence: claim.fence, note: "Done." }),
      ];
    },
  ],
  [
    "link a task, to the same twice, and to nothing",
    async () => [
      await overRest("POST", "/tasks/REST:master:1/links", { url: "https://github.com/acme/web/pull/1" }),
      await overRest("POST", "/tasks/REST:master:1/links", { url: "https://github.com/acme/web/pull/1#x" }),
      await overRest("POST", "/tasks/REST:master:1/links", { url: "https://github.com/acme" }),
    ],
    async () => [
      await overMcp("add_link", { id: "1", url: "https://github.com/acme/web/pull/1" }),
      await overMcp("add_link", { id: "1", url: "https://github.com/acme/web/pull/1#x" }),
      await overMcp("add_link", { id: "1", url: "https://github.com/acme" }),
    ],
  ],
])("REST and MCP: %s", async (_what, rest, mcp) => {
  expect(comparable(await mcp())).toEqual(comparable(await rest()));
  expect(await stateOf("MCP")).toEqual(await stateOf("REST"));
});

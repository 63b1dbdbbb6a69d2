import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fingerprint } from "../rest/harness.ts";
import { ask, connectTo, listTools, type McpTest, openMcp, refusedBy, seed } from "./harness.ts";

let test: McpTest;
let client: Client;

beforeAll(async () => {
  test = await openMcp({ TASKMASTER_MCP_MODE: "all" });
  await seed(test.core, test.owner, "DEMO");
  client = await test.connect(test.token);
});
afterAll(async () => {
  await test.close();
});

async function namesIn(url: string): Promise<string[]> {
  const one = await connectTo(url, test.token);
  const { tools } = await one.listTools();
  await one.close();
  return tools.map(({ name }) => name);
}

describe("the list of tools", () => {
  it("grows with the mode, and every tool says what it is", async () => {
    const urls: string[] = [];
    for (const mode of ["core", "standard"]) {
      const app = await test.another({ TASKMASTER_MCP_MODE: mode });
      urls.push(await app.listen({ host: "127.0.0.1", port: 0 }));
    }
    const [core = [], standard = []] = await Promise.all(urls.map(namesIn));
    // So many that they are two answers.
    expect((await client.listTools()).nextCursor).toEqual(expect.any(String));
    const tools = await listTools(client);
    const all = tools.map(({ name }) => name);
    expect([core.length, standard.length, all.length]).toEqual([12, 28, 35]);
    expect(standard).toEqual(expect.arrayContaining(core));
    expect(all).toEqual(expect.arrayContaining(standard));
    expect(core).toEqual(expect.arrayContaining(["next_task", "claim_next", "complete_claim"]));
    expect(standard).not.toContain("delete_tag");
    for (const tool of tools) {
      expect(tool.description?.length).toBeGreaterThan(40);
      expect(tool.outputSchema?.type).toBe("object");
      expect(tool.inputSchema.properties).toHaveProperty("projectRoot");
    }
  });

  it("says of each what clients ask people about before they let it run", async () => {
    const tools = await listTools(client);
    const having = (hint: "readOnlyHint" | "destructiveHint" | "idempotentHint" | "openWorldHint") =>
      tools
        .filter(({ annotations }) => annotations?.[hint] === true)
        .map(({ name }) => name)
        .sort();
    // Written out a second time, so that a tool that is let run without a question is a decision and no slip.
    const readOnly = [
      "complexity_report",
      "get_events",
      "get_links",
      "get_task",
      "get_tasks",
      "list_tags",
      "next_task",
      "validate_dependencies",
    ];
    expect(having("readOnlyHint")).toEqual(readOnly);
    expect(having("destructiveHint")).toEqual([
      "clear_subtasks",
      "delete_tag",
      "expand_task",
      "fix_dependencies",
      "parse_prd",
      "remove_link",
      "remove_subtask",
      "remove_task",
    ]);
    // What is written goes to a model that may be anywhere.
    expect(having("openWorldHint")).toEqual(["analyze_project_complexity", "expand_task", "parse_prd"]);
    const again = tools.map(({ name }) => name).filter((name) => !having("idempotentHint").includes(name));
    expect(again.sort()).toEqual([
      "add_link",
      "add_subtask",
      "add_tag",
      "add_task",
      "analyze_project_complexity",
      "claim_next",
      "copy_tag",
      "expand_task",
      "move_task",
      "parse_prd",
      "update_subtask",
      "update_task",
    ]);
    for (const { annotations } of tools) expect(Object.keys(annotations ?? {})).toHaveLength(4);
    // An event gets its place in the log when somebody first asks.
    await ask(client, "get_events");
    const before = await fingerprint(test.connectionString);
    for (const name of readOnly) await ask(client, name, /^get_(task|links)$/.test(name) ? { id: "3" } : {});
    expect(await fingerprint(test.connectionString)).toBe(before);
  });

  it("does not run a tool that the mode leaves out", async () => {
    const app = await test.another({ TASKMASTER_MCP_MODE: "core" });
    const one = await connectTo(await app.listen({ host: "127.0.0.1", port: 0 }), test.token);
    await expect(one.callTool({ name: "delete_tag", arguments: { name: "master" } })).rejects.toThrow(
      "Unknown tool: delete_tag",
    );
    await one.close();
  });
});

describe("reading", () => {
  it("lists tasks by page, filter and fields", async () => {
    const first = await ask(client, "get_tasks", { limit: 3, projectRoot: "/x", file: "y" });
    expect(first).toMatchObject({ project: "DEMO", tag: "master" });
    const rest = await ask(client, "get_tasks", { limit: 3, cursor: first.nextCursor });
    const ids = [...(first.items as []), ...(rest.items as [])].map(({ localId }) => localId);
    expect([ids, rest.nextCursor]).toEqual([["1", "2", "3", "4"], null]);
    const all = await ask(client, "get_tasks", { withSubtasks: true, fields: "localId" });
    expect(all.items).toHaveLength(6);
    expect(all.items).toContainEqual({ localId: "3.2" });
    expect((await ask(client, "get_tasks", { status: "done,review" })).items).toEqual([]);
    expect(await refusedBy(client, "get_tasks", { status: "finished" })).toBe("invalid_input");
    expect(await refusedBy(client, "get_tasks", { fields: "colour" })).toBe("invalid_input");
    expect(await refusedBy(client, "get_tasks", { cursor: "AAAA" })).toBe("invalid_input");
    expect(await refusedBy(client, "get_tasks", { tag: "nowhere" })).toBe("not_found");
    expect(await refusedBy(client, "get_tasks", { project: "OTHER" })).toBe("not_found");
  });

  it("reads one task with its subtasks, a subtask, and several", async () => {
    const three = await ask(client, "get_task", { id: "3" });
    expect(three.tasks).toMatchObject([{ localId: "3", title: "Three" }]);
    expect(three.subtasks).toMatchObject([{ localId: "3.1" }, { localId: "3.2" }]);
    expect((await ask(client, "get_task", { id: "3.1" })).tasks).toMatchObject([{ title: "Three one" }]);
    expect((await ask(client, "get_task", { id: "1, 3.2", fields: "title" })).tasks).toEqual([
      { title: "One" },
      { title: "Three two" },
    ]);
    expect(await refusedBy(client, "get_task", { id: "99" })).toBe("not_found");
  });

  it("says what is next, and what happened", async () => {
    expect(await ask(client, "next_task")).toMatchObject({ tag: "master", task: { localId: "1" } });
    expect(await refusedBy(client, "next_task", { tag: "nowhere" })).toBe("not_found");
    const events = await ask(client, "get_events", { limit: 2 });
    expect(events).toMatchObject({ more: true, items: [{ sequence: 1 }, { sequence: 2 }] });
    expect(await refusedBy(client, "get_events", { project: "OTHER" })).toBe("not_found");
    expect(await ask(client, "complexity_report")).toMatchObject({ items: [], nextCursor: null });
    expect(await refusedBy(client, "complexity_report", { tag: "nowhere" })).toBe("not_found");
  });

  it("gives a task as a prompt and as a resource", async () => {
    const { messages } = await client.getPrompt({ name: "next_task" });
    expect(messages[0]?.content).toMatchObject({
      text: expect.stringMatching(/^Task 1 One[\s\S]*claim_next/),
    });
    await expect(client.getPrompt({ name: "other" })).rejects.toThrow("Unknown prompt");
    const { contents } = await client.readResource({ uri: "task://DEMO/master/3.1" });
    expect(JSON.parse(String((contents[0] as { text: string }).text))).toMatchObject({ title: "Three one" });
    await expect(client.readResource({ uri: "task://DEMO/master/99" })).rejects.toMatchObject({
      code: -32002,
    });
    await expect(client.readResource({ uri: "task://DEMO/%zz/1" })).rejects.toMatchObject({ code: -32002 });
    expect((await client.listResourceTemplates()).resourceTemplates).toHaveLength(2);
  });
});

describe("changing", () => {
  const at = (more: Record<string, unknown>) => ({ project: "WORK", ...more });
  beforeAll(async () => {
    await seed(test.core, test.owner, "WORK");
  });

  it("wants a project's name where there are several", async () => {
    const result = await client.callTool({ name: "get_tasks", arguments: {} });
    expect(result).toMatchObject({ isError: true, structuredContent: { errors: [{ pointer: "/project" }] } });
  });

  it("adds a task, once under a key", async () => {
    const input = at({ title: "Five", dependencies: "1,2", priority: "high", idempotencyKey: "five" });
    const first = await ask(client, "add_task", input);
    expect(first.task).toMatchObject({ localId: "5", dependencies: ["1", "2"], priority: "high" });
    expect(await ask(client, "add_task", input)).toEqual(first);
    expect(await refusedBy(client, "add_task", { ...input, title: "Six" })).toBe("idempotency_mismatch");
    expect(await refusedBy(client, "add_task", at({ prompt: "Make a page" }))).toBe("llm_not_configured");
    expect(await refusedBy(client, "add_task", at({}))).toBe("invalid_input");
    expect(await refusedBy(client, "add_task", at({ title: "X", dependencies: "77" }))).toBe("invalid_input");
  });

  it("sets one status, or several at once", async () => {
    const one = await ask(client, "set_task_status", at({ id: "4", status: "review" }));
    expect(one.tasks).toMatchObject([{ localId: "4", status: "review", version: 2 }]);
    const both = await ask(client, "set_task_status", at({ id: "3.1,3", status: "in-progress" }));
    expect(both.tasks).toHaveLength(2);
    const stale = at({ id: "4", status: "done", version: 1 });
    expect(await refusedBy(client, "set_task_status", stale)).toBe("version_mismatch");
    expect(await refusedBy(client, "set_task_status", at({ id: "4,99", status: "done" }))).toBe("not_found");
    const keyed = at({ id: "4", status: "done", idempotencyKey: "k" });
    expect(await refusedBy(client, "set_task_status", keyed)).toBe("invalid_input");
  });

  it("changes words, and adds to the details", async () => {
    await ask(client, "update_task", at({ id: "4", details: "First." }));
    await ask(client, "update_task", at({ id: "4", details: "Second.", append: true, title: "Four!" }));
    const { tasks } = await ask(client, "get_task", at({ id: "4" }));
    expect(tasks).toMatchObject([{ details: "First.\n\nSecond.", title: "Four!" }]);
    expect(await refusedBy(client, "update_task", at({ id: "4", prompt: "x" }))).toBe("llm_not_configured");
    expect(await refusedBy(client, "update_task", at({ id: "4" }))).toBe("invalid_input");
    await ask(client, "update_subtask", at({ id: "3.1", details: "A" }));
    await ask(client, "update_subtask", at({ id: "3.1", details: "B" }));
    expect((await ask(client, "get_task", at({ id: "3.1" }))).tasks).toMatchObject([{ details: "A\n\nB" }]);
    const keyed = at({ id: "3.1", details: "C", version: 5, idempotencyKey: "c" });
    expect(await refusedBy(client, "update_subtask", keyed)).toBe("invalid_input");
    expect(await refusedBy(client, "update_subtask", at({ id: "3.1", prompt: "x" }))).toBe(
      "llm_not_configured",
    );
  });

  it("adds, adopts, converts, removes and clears subtasks", async () => {
    const { task } = await ask(client, "add_subtask", at({ id: "1", title: "Sub" }));
    expect(task).toMatchObject({ localId: "1.1" });
    const old = at({ id: "1", taskId: "4", version: 1 });
    expect(await refusedBy(client, "add_subtask", old)).toBe("version_mismatch");
    expect(await ask(client, "add_subtask", at({ id: "1", taskId: "4" }))).toMatchObject({
      task: { localId: "1.2" },
    });
    expect(await refusedBy(client, "add_subtask", at({ id: "1.1", title: "Deeper" }))).toBe("conflict");
    expect(await ask(client, "remove_subtask", at({ id: "1.2", convert: true }))).toMatchObject({
      converted: [{ localId: "6" }],
    });
    expect(await refusedBy(client, "remove_subtask", at({ id: "6" }))).toBe("invalid_input");
    expect((await ask(client, "remove_subtask", at({ id: "1.1" }))).removed).toEqual(["1.1"]);
    expect((await ask(client, "clear_subtasks", at({ id: "3" }))).removed).toHaveLength(2);
    expect(await refusedBy(client, "clear_subtasks", at({}))).toBe("invalid_input");
  });

  it("moves and removes tasks", async () => {
    const moved = await ask(client, "move_task", at({ from: "6", to: "3.1" }));
    expect(moved.task).toMatchObject({ localId: "3.3" });
    expect(await ask(client, "move_task", at({ from: "3.3", to: "9" }))).toMatchObject({
      task: { localId: "7" },
    });
    expect(await refusedBy(client, "move_task", at({ from: "7" }))).toBe("invalid_input");
    expect(await refusedBy(client, "move_task", at({ from: "7", toTag: "nowhere" }))).toBe("not_found");
    expect((await ask(client, "remove_task", at({ id: "7" }))).removed).toEqual(["7"]);
    expect(await refusedBy(client, "remove_task", at({ id: "7" }))).toBe("not_found");
  });

  it("changes dependencies, and names a cycle's path", async () => {
    expect((await ask(client, "add_dependency", at({ id: "3", dependsOn: "2" }))).dependsOn).toMatchObject([
      { localId: "2" },
    ]);
    const cycle = await client.callTool({
      name: "add_dependency",
      arguments: at({ id: "1", dependsOn: "3" }),
    });
    expect(cycle).toMatchObject({ isError: true, structuredContent: { code: "cycle" } });
    await ask(client, "remove_dependency", at({ id: "3", dependsOn: "2" }));
    expect(await refusedBy(client, "remove_dependency", at({ id: "3", dependsOn: "2" }))).toBe("not_found");
    expect(await ask(client, "validate_dependencies", at({}))).toMatchObject({ valid: true, total: 0 });
    expect(await refusedBy(client, "validate_dependencies", at({ tag: "x" }))).toBe("not_found");
    expect(await ask(client, "fix_dependencies", at({}))).toMatchObject({ activated: [], removed: [] });
    expect(await refusedBy(client, "fix_dependencies", at({ tag: "x" }))).toBe("not_found");
  });

  it("keeps tags", async () => {
    await ask(client, "add_tag", at({ name: "beta" }));
    expect(await refusedBy(client, "add_tag", at({ name: "beta" }))).toBe("already_exists");
    expect(await ask(client, "copy_tag", at({ sourceName: "master", targetName: "copy" }))).toMatchObject({
      tag: "copy",
    });
    expect(await refusedBy(client, "copy_tag", at({ sourceName: "x", targetName: "y" }))).toBe("not_found");
    expect(await ask(client, "rename_tag", at({ oldName: "beta", newName: "gamma" }))).toMatchObject({
      tag: "gamma",
    });
    expect(await refusedBy(client, "rename_tag", at({ oldName: "beta", newName: "z" }))).toBe("not_found");
    expect(await ask(client, "use_tag", at({ name: "gamma" }))).toMatchObject({ pass: { tag: "gamma" } });
    expect(await refusedBy(client, "use_tag", at({ name: "beta" }))).toBe("not_found");
    const first = await ask(client, "list_tags", at({ limit: 2 }));
    const rest = await ask(client, "list_tags", at({ limit: 2, cursor: first.nextCursor }));
    const names = [...(first.items as []), ...(rest.items as [])].map(({ name }) => name);
    expect(names.sort()).toEqual(["copy", "gamma", "master"]);
    expect(await refusedBy(client, "list_tags", at({ cursor: "x" }))).toBe("invalid_input");
    await ask(client, "delete_tag", at({ name: "gamma" }));
    expect(await refusedBy(client, "delete_tag", at({ name: "gamma" }))).toBe("not_found");
  });

  it.each([
    ["parse_prd", { input: "The kitchen sees new orders." }],
    ["expand_task", { id: "1" }],
    ["analyze_project_complexity", {}],
  ])("%s says that there is no language model, and what to do instead", async (name, input) => {
    const result = await client.callTool({ name, arguments: at(input) });
    expect(result).toMatchObject({
      isError: true,
      structuredContent: { code: "llm_not_configured" },
      content: [{ text: expect.stringMatching(/add_task|add_subtask|get_tasks/) }],
    });
  });

  it("answers arguments that are none with the protocol's error", async () => {
    const bad = [
      ["get_task", {}],
      ["get_task", { id: "1", colour: "red" }],
      ["set_task_status", { id: "1", status: "finished" }],
      ["get_tasks", { limit: 201 }],
    ] as const;
    for (const [name, input] of bad) {
      await expect(client.callTool({ name, arguments: input })).rejects.toMatchObject({ code: -32602 });
    }
    await expect(client.callTool({ name: "no_tool" })).rejects.toMatchObject({ code: -32602 });
  });
});

describe("claims", () => {
  beforeAll(async () => {
    await seed(test.core, test.owner, "CLAIM");
  });
  const at = (more: Record<string, unknown> = {}) => ({ project: "CLAIM", ...more });

  it("are made, kept and ended by their fence", async () => {
    const { claim } = (await ask(client, "claim_next", at({ ttlSeconds: 60 }))) as unknown as {
      claim: { id: string; fence: number };
    };
    const held = { claimId: claim.id, fence: claim.fence };
    expect(await ask(client, "heartbeat", held)).toMatchObject({ project: "CLAIM", tag: "master" });
    expect(await refusedBy(client, "heartbeat", { ...held, fence: 9 })).toBe("stale_fence");
    expect(await refusedBy(client, "set_task_status", at({ id: "1", status: "done" }))).toBe("claimed");
    expect(await refusedBy(client, "claim_next", at({ id: "1" }))).toBe("claimed");
    expect(await ask(client, "complete_claim", { ...held, note: "Done." })).toMatchObject({
      claim: { outcome: "completed" },
    });
    expect(await refusedBy(client, "complete_claim", { claimId: "x", fence: 1 })).toBe("not_found");
    for (const [tool, outcome] of [
      ["release_claim", "released"],
      ["fail_claim", "failed"],
    ] as const) {
      const next = (await ask(client, "claim_next", at({ id: "4" }))) as unknown as { claim: typeof claim };
      const mine = { claimId: next.claim.id, fence: next.claim.fence, note: "Later." };
      expect(await refusedBy(client, tool, { ...mine, fence: 99 })).toBe("stale_fence");
      expect(await ask(client, tool, mine)).toMatchObject({ claim: { outcome } });
    }
  });

  it("never give a task to two clients at once", async () => {
    await test.core.projects.create(test.owner, { key: "RACE", name: "Race" });
    for (let i = 0; i < 20; i++) {
      await test.core.tasks.create(test.owner, "RACE", "master", { title: `Task ${i}` });
    }
    const agents = await Promise.all(
      ["a", "b"].map(async (name) => {
        const agent = await test.core.agents.create(test.owner, { name });
        return test.connect((await test.core.tokens.create(test.owner, { name, agent: agent.id })).token);
      }),
    );
    const claims = await Promise.all(
      agents.flatMap((agent) =>
        Array.from({ length: 10 }, () => ask(agent, "claim_next", { project: "RACE" })),
      ),
    );
    const taken = claims.map(({ claim }) => (claim as { localId: string } | null)?.localId);
    expect(new Set(taken).size).toBe(20);
    expect(await ask(agents[0] ?? client, "claim_next", { project: "RACE" })).toMatchObject({ claim: null });
  });
});

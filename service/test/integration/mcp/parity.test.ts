import { afterAll, beforeAll, expect, it } from "vitest";
import { type ModelServer, numbered, openModelServer, says } from "../../support/model-server.ts";
import { type McpTest, openMcp, seed } from "./harness.ts";
import { type Edge, type Inputs, mcpEdge, restEdge, type UseCase } from "./parity-edges.ts";

let test: McpTest;
let model: ModelServer;
/** Every way in to the same core; another one is another object here. */
const edges: Edge[] = [];
let tools: string[];

beforeAll(async () => {
  model = await openModelServer();
  test = await openMcp({ TASKMASTER_MCP_MODE: "all" }, model.model());
  const client = await test.connect(test.token);
  tools = (await client.listTools()).tools.map(({ name }) => name);
  edges.push(restEdge(test, "REST"), mcpEdge(client, "MCP"));
  for (const { project } of edges) await seed(test.core, test.owner, project);
  model.answer((response, { body }) => {
    const { name } = body.response_format.json_schema;
    const data = JSON.parse(body.messages[1]?.content ?? "") as { tasks?: { id: string }[] };
    return says(answers[name as keyof typeof answers](data.tasks ?? []))(response, undefined as never);
  });
});
afterAll(async () => {
  await test.close();
  await model.close();
});

/** What the model says, by what it is asked for: the same to every edge. */
const words = { title: "Written", description: "By a model", details: "How", testStrategy: "Try" };
const answers = {
  subtasks: () => ({ subtasks: numbered({ 1: [], 2: [1] }) }),
  tasks: () => ({ tasks: numbered({ 1: [], 2: [1] }, { priority: "low" }) }),
  task: () => words,
  draft: () => ({ ...words, priority: "high" }),
  complexity: (asked: { id: string }[]) => ({
    tasks: asked.map(({ id }, index) => ({
      id,
      score: index + 4,
      recommendedSubtasks: 2,
      expansionPrompt: "Look",
      reasoning: "So",
    })),
  }),
};

/** What has no other edge to be the same as. */
const alone: Record<string, string> = { use_tag: "what one MCP session remembers" };

type Step = { [U in UseCase]: [U, Inputs[U]] }[UseCase];

const scenes: [string, Step[]][] = [
  [
    "look",
    [
      ["get_tasks", {}],
      ["get_tasks", { status: "done" }],
      ["get_tasks", { tag: "nowhere" }],
      ["get_task", { id: "3.2" }],
      ["get_task", { id: "99" }],
      ["next_task", {}],
      ["next_task", { mode: "smart" }],
      ["next_task", { tag: "nowhere" }],
      ["list_tags", {}],
      ["validate_dependencies", {}],
      ["validate_dependencies", { tag: "nowhere" }],
      ["complexity_report", {}],
      ["get_events", { after: 0 }],
    ],
  ],
  [
    "add tasks, once under a key, and none that waits for what is not there",
    [
      ["add_task", { title: "Five", priority: "high", dependencies: ["1", "2"] }],
      ["add_task", { title: "Six", key: "once" }],
      ["add_task", { title: "Six", key: "once" }],
      ["add_task", { title: "Seven", key: "once" }],
      ["add_task", { title: "Seven", dependencies: ["77"] }],
    ],
  ],
  [
    "change at the version that was seen, at an old one, and several at once",
    [
      ["set_task_status", { ids: ["4"], status: "review", version: 1 }],
      ["set_task_status", { ids: ["4"], status: "done", version: 1 }],
      ["set_task_status", { ids: ["4", "5"], status: "deferred" }],
      ["set_task_status", { ids: ["99"], status: "done", version: 1 }],
      ["update_task", { id: "2", details: "More", version: 2 }],
      ["update_task", { id: "2", details: "Even more", version: 2 }],
      ["update_subtask", { id: "3.1", details: "Noted" }],
      ["update_subtask", { id: "3.1", details: "Noted again" }],
    ],
  ],
  [
    "subtasks, of which a parent takes its status, and no subtask of a subtask",
    [
      ["add_subtask", { id: "3", title: "Sub" }],
      ["add_subtask", { id: "3.1", title: "Sub" }],
      ["set_task_status", { ids: ["3.1"], status: "done" }],
      ["get_task", { id: "3" }],
      ["remove_subtask", { id: "3.3" }],
      ["clear_subtasks", { id: "3" }],
      ["get_task", { id: "3.1" }],
    ],
  ],
  [
    "dependencies, and none that makes a cycle",
    [
      ["add_dependency", { id: "4", dependsOn: "2" }],
      ["add_dependency", { id: "1", dependsOn: "4" }],
      ["remove_dependency", { id: "4", dependsOn: "2" }],
      ["remove_dependency", { id: "4", dependsOn: "2" }],
      ["fix_dependencies", {}],
      ["fix_dependencies", { tag: "nowhere" }],
    ],
  ],
  [
    "claims, a late write, and every end",
    [
      ["claim_next", { ttlSeconds: 60 }],
      ["claim_next", { id: "99" }],
      ["heartbeat", {}],
      ["heartbeat", { late: true }],
      ["release_claim", { note: "Not today." }],
      ["release_claim", { note: "Not today." }],
      ["claim_next", { id: "1" }],
      ["fail_claim", { note: "Broken." }],
      ["claim_next", { id: "1" }],
      ["complete_claim", { note: "Done." }],
      ["complete_claim", { note: "Done." }],
      ["next_task", {}],
    ],
  ],
  [
    "tags",
    [
      ["add_tag", { name: "beta" }],
      ["add_tag", { name: "beta" }],
      ["copy_tag", { from: "master", to: "copy" }],
      ["copy_tag", { from: "nowhere", to: "other" }],
      ["rename_tag", { from: "beta", to: "gamma" }],
      ["rename_tag", { from: "beta", to: "delta" }],
      ["delete_tag", { name: "gamma" }],
      ["delete_tag", { name: "gamma" }],
      ["list_tags", {}],
    ],
  ],
  [
    "move and remove",
    [
      ["move_task", { id: "6", before: "1" }],
      ["move_task", { id: "6", parent: "3" }],
      ["move_task", { id: "5", tag: "nowhere" }],
      ["move_task", { id: "5", tag: "copy" }],
      ["remove_task", { id: "1", version: 1 }],
      ["remove_task", { id: "1" }],
      ["remove_task", { id: "1" }],
    ],
  ],
  [
    "plan with the language model",
    [
      ["parse_prd", { text: "A shop." }],
      ["parse_prd", { text: "A shop.", append: true }],
      ["expand_task", { id: "2", count: 2 }],
      ["expand_task", { id: "2" }],
      ["expand_task", { id: "2.1" }],
      ["expand_task", { id: "99" }],
      ["analyze_project_complexity", { ids: ["2", "4"] }],
      ["analyze_project_complexity", { ids: ["99"] }],
      ["complexity_report", {}],
      ["add_task", { prompt: "Something new", priority: "high" }],
      ["update_task", { id: "4", prompt: "Better", version: 1 }],
      ["update_task", { id: "4", prompt: "Better", version: 6 }],
    ],
  ],
  ["and what happened is the same", [["get_events", { after: 0 }]]],
];

/** What differs by nature: whose project it is, and the ids and times of its rows. */
function comparable(value: unknown, { project }: Edge): unknown {
  return JSON.parse(
    JSON.stringify(value ?? null)
      .replaceAll(new RegExp(`"${project}\\b`, "g"), '"KEY')
      .replaceAll(new RegExp(`\\\\"${project}\\b`, "g"), '\\"KEY')
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "uuid")
      .replaceAll(/\d{4}-\d\d-\d\dT[0-9:.]+Z/g, "time"),
  );
}

/** All that storage holds of the edge's project. */
async function stateOf(edge: Edge): Promise<unknown> {
  const tags = await test.core.tags.list(test.owner, edge.project);
  const tasks = [];
  for (const { name } of tags) {
    tasks.push((await test.core.tasks.list(test.owner, edge.project, name, { limit: 200 })).items);
  }
  const { items } = await test.core.events.list(test.owner, edge.project, { limit: 200 });
  const events = items.map(({ type, data }) => ({ type, data }));
  return comparable({ tags: tags.map(({ name, version }) => ({ name, version })), tasks, events }, edge);
}

function run<U extends UseCase>(edge: Edge, use: U, input: Inputs[U]): Promise<unknown> {
  return edge.uses[use](input);
}

it("there is a line for every tool, and every line is walked", () => {
  const walked = new Set(scenes.flatMap(([, steps]) => steps.map(([use]) => use as string)));
  expect([...walked, ...Object.keys(alone)].sort()).toEqual([...tools].sort());
  for (const { name, uses } of edges)
    expect([name, Object.keys(uses).sort()]).toEqual([name, [...walked].sort()]);
});

it.each(scenes)("the same over every edge: %s", async (_what, steps) => {
  const walks = [];
  for (const edge of edges) {
    const outcomes = [];
    for (const [use, input] of steps) {
      outcomes.push({ use, input, outcome: comparable(await run(edge, use, input as never), edge) });
    }
    walks.push({ outcomes, state: await stateOf(edge) });
  }
  const [first, ...others] = walks;
  for (const other of others) expect(other).toEqual(first);
});

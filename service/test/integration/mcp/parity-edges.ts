import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { api, type TestApp } from "../rest/harness.ts";

/** Every use case that agents have, under its tool's name, and what it is asked with. Ids are local to the tag. */
export interface Inputs {
  get_tasks: { status?: string; tag?: string };
  get_task: { id: string };
  next_task: { mode?: "compat" | "smart"; tag?: string };
  set_task_status: { ids: string[]; status: string; version?: number };
  add_task: { title?: string; prompt?: string; priority?: string; dependencies?: string[]; key?: string };
  update_task: { id: string; details?: string; prompt?: string; version: number };
  update_subtask: { id: string; details: string };
  remove_task: { id: string; version?: number };
  move_task: { id: string; before?: string; parent?: string; tag?: string };
  add_subtask: { id: string; title: string };
  remove_subtask: { id: string };
  clear_subtasks: { id: string };
  /** The claim is remembered for the steps that follow. */
  claim_next: { id?: string; ttlSeconds?: number };
  /** `late` shows the fence of an earlier claim. */
  heartbeat: { late?: boolean };
  release_claim: { note?: string };
  complete_claim: { note?: string };
  fail_claim: { note: string };
  add_dependency: { id: string; dependsOn: string };
  remove_dependency: { id: string; dependsOn: string };
  validate_dependencies: { tag?: string };
  fix_dependencies: { tag?: string };
  list_tags: object;
  add_tag: { name: string };
  copy_tag: { from: string; to: string };
  rename_tag: { from: string; to: string };
  delete_tag: { name: string };
  complexity_report: object;
  get_events: { after: number };
  parse_prd: { text: string; append?: boolean };
  expand_task: { id: string; count?: number };
  analyze_project_complexity: { ids?: string[] };
}
export type UseCase = keyof Inputs;

/** One way in, working on a project of its own. What it answers is in the form that all of them can give. */
export interface Edge {
  name: string;
  project: string;
  uses: { [U in UseCase]: (input: Inputs[U]) => Promise<unknown> };
}

/** A refusal, as every edge gives it. */
export interface Refused {
  code: string;
  detail: string;
}

interface Shown {
  localId: string;
  title: string;
  status: string;
  priority: string | null;
  dependencies: string[];
  version: number;
}

const task = (one: unknown) => {
  const { localId, title, status, priority, dependencies, version } = one as Shown;
  return { localId, title, status, priority, dependencies, version };
};
const tasks = (list: unknown) => (list as unknown[]).map(task);
const names = (list: unknown, name: string) =>
  (list as Record<string, unknown>[]).map((one) => one[name]).sort();
const claimed = (one: unknown) => {
  const { localId, fence, outcome } = one as { localId: string; fence: number; outcome: string | null };
  return { localId, fence, outcome };
};
const event = (one: unknown) => {
  const { sequence, type, actor } = one as { sequence: number; type: string; actor: { name: string } };
  return [sequence, type, actor.name];
};

interface Held {
  id: string;
  fence: number;
}

export function restEdge(test: TestApp, project: string): Edge {
  let held: Held = { id: "", fence: 0 };
  const tagUrl = (tag = "master") => `${api}/projects/${project}/tags/${encodeURIComponent(tag)}`;
  const taskUrl = (id: string) => `${api}/tasks/${project}:master:${id}`;

  /** What the answer shows; or the refusal. */
  async function ask<T>(
    method: string,
    url: string,
    show: (body: never) => T,
    { body, version, key }: { body?: unknown; version?: number | undefined; key?: string | undefined } = {},
  ): Promise<T | Refused> {
    const headers = {
      ...(version === undefined ? {} : { "if-match": `"${version}"` }),
      ...(key === undefined ? {} : { "idempotency-key": `REST-${key}` }),
    };
    const answer = await test.call<Refused>(method, url, { body, headers });
    if (answer.status < 400) return show(answer.body as never);
    return { code: answer.body.code, detail: answer.body.detail };
  }
  const versionAt = async (url: string) =>
    Number((await test.call<{ version?: number }>("GET", url)).body.version ?? 1);
  const keep = (claim: Held) => {
    held = { id: claim.id, fence: claim.fence };
    return claimed(claim);
  };
  const end = (how: string, body: object) =>
    ask("POST", `${api}/claims/${held.id}/${how}`, claimed, { body });
  const batch = (operations: object[]) =>
    ask("POST", `${tagUrl()}/tasks:batch`, ({ results }: { results: unknown[] }) => results.filter(Boolean), {
      body: { operations },
    });
  const gone = (id: string) => () => [id];

  return {
    name: "REST",
    project,
    uses: {
      get_tasks: ({ status, tag }) =>
        ask(
          "GET",
          `${tagUrl(tag)}/tasks?level=task${status === undefined ? "" : `&status=${status}`}`,
          ({ items }: { items: unknown[] }) => tasks(items),
        ),
      get_task: ({ id }) => ask("GET", taskUrl(id), task),
      next_task: ({ mode = "compat", tag }) =>
        ask(
          "GET",
          `${tagUrl(tag)}/next?mode=${mode}`,
          ({ task: next }: { task: unknown }) => next && task(next),
        ),
      async set_task_status({ ids, status, version }) {
        const [id = "", ...others] = ids;
        if (others.length === 0) {
          const seen = version ?? (await versionAt(taskUrl(id)));
          return ask("PATCH", taskUrl(id), (one) => [task(one)], { body: { status }, version: seen });
        }
        const operations = [];
        for (const one of ids)
          operations.push({
            op: "update",
            task: one,
            version: await versionAt(taskUrl(one)),
            patch: { status },
          });
        const results = await batch(operations);
        return Array.isArray(results) ? tasks(results) : results;
      },
      add_task: ({ key, prompt, ...body }) =>
        prompt === undefined
          ? ask("POST", `${tagUrl()}/tasks`, task, { body, key })
          : ask("POST", `${tagUrl()}/draft-task`, task, { body: { prompt, ...body }, key }),
      update_task: ({ id, version, prompt, ...body }) =>
        prompt === undefined
          ? ask("PATCH", taskUrl(id), task, { body, version })
          : ask("POST", `${taskUrl(id)}/revise`, task, { body: { prompt }, version }),
      async update_subtask({ id, details }) {
        const { body } = await test.call<{ details: string; version: number }>("GET", taskUrl(id));
        const appended = body.details === "" ? details : `${body.details}\n\n${details}`;
        return ask("PATCH", taskUrl(id), task, { body: { details: appended }, version: body.version });
      },
      async remove_task({ id, version }) {
        const seen = version ?? (await versionAt(taskUrl(id)));
        return ask("DELETE", taskUrl(id), gone(id), { version: seen });
      },
      move_task: async ({ id, tag, before, parent }) =>
        ask("POST", `${taskUrl(id)}/move`, task, {
          body: {
            ...(tag === undefined ? {} : { tag }),
            ...(before === undefined ? {} : { before: `${project}:master:${before}` }),
            ...(parent === undefined ? {} : { parent: `${project}:master:${parent}` }),
          },
          version: await versionAt(taskUrl(id)),
        }),
      add_subtask: ({ id, title }) => ask("POST", `${taskUrl(id)}/subtasks`, task, { body: { title } }),
      remove_subtask: async ({ id }) =>
        ask("DELETE", taskUrl(id), gone(id), { version: await versionAt(taskUrl(id)) }),
      async clear_subtasks({ id }) {
        const { body } = await test.call<{ items: Shown[] }>("GET", `${taskUrl(id)}/subtasks`);
        // What waits for another goes before it.
        const last = [...body.items].reverse();
        const results = await batch(
          last.map(({ localId, version }) => ({ op: "delete", task: localId, version })),
        );
        return Array.isArray(results) ? names(last, "localId") : results;
      },
      claim_next: ({ id, ttlSeconds }) =>
        ask("POST", id === undefined ? `${tagUrl()}/claims` : `${taskUrl(id)}/claims`, keep, {
          body: ttlSeconds === undefined ? {} : { ttlSeconds },
        }),
      heartbeat: ({ late = false }) => end("heartbeat", { fence: held.fence + (late ? 7 : 0) }),
      release_claim: (input) => end("release", { fence: held.fence, ...input }),
      complete_claim: (input) => end("complete", { fence: held.fence, ...input }),
      fail_claim: (input) => end("fail", { fence: held.fence, ...input }),
      add_dependency: ({ id, dependsOn }) =>
        ask("PUT", `${taskUrl(id)}/dependencies/${dependsOn}`, (body: { dependsOn: unknown }) =>
          names(body.dependsOn, "localId"),
        ),
      remove_dependency: ({ id, dependsOn }) =>
        ask("DELETE", `${taskUrl(id)}/dependencies/${dependsOn}`, () => "removed"),
      validate_dependencies: ({ tag }) =>
        ask(
          "GET",
          `${tagUrl(tag)}/validate`,
          ({ valid, problems }: { valid: boolean; problems: unknown[] }) => ({
            valid,
            problems: names(problems, "problem"),
          }),
        ),
      fix_dependencies: ({ tag }) =>
        ask("POST", `${tagUrl(tag)}/fix`, (body: { activated: unknown[]; removed: unknown[] }) => ({
          activated: body.activated.length,
          removed: body.removed.length,
        })),
      list_tags: () =>
        ask("GET", `${api}/projects/${project}/tags`, ({ items }: { items: unknown }) =>
          names(items, "name"),
        ),
      add_tag: (body) =>
        ask("POST", `${api}/projects/${project}/tags`, ({ name }: { name: string }) => name, { body }),
      copy_tag: ({ from, to }) =>
        ask("POST", `${tagUrl(from)}/copy`, ({ name }: { name: string }) => name, { body: { name: to } }),
      rename_tag: async ({ from, to }) =>
        ask("PATCH", tagUrl(from), ({ name }: { name: string }) => name, {
          body: { name: to },
          version: await versionAt(tagUrl(from)),
        }),
      delete_tag: async ({ name }) =>
        ask("DELETE", tagUrl(name), () => name, { version: await versionAt(tagUrl(name)) }),
      complexity_report: () =>
        ask("GET", `${tagUrl()}/tasks?level=task`, ({ items }: { items: { complexity: unknown }[] }) =>
          names(
            items.filter(({ complexity }) => complexity !== null),
            "localId",
          ),
        ),
      get_events: ({ after }) =>
        ask(
          "GET",
          `${api}/projects/${project}/events?after=${after}&limit=200`,
          (list: { items: unknown[] }) => list.items.map(event),
        ),
      parse_prd: ({ text, append = false }) =>
        ask("POST", `${tagUrl()}/parse-prd`, (body: { tasks: unknown }) => tasks(body.tasks), {
          body: { text, ...(append ? { existing: "append" } : {}) },
        }),
      expand_task: ({ id, count }) =>
        ask("POST", `${taskUrl(id)}/expand`, (body: { subtasks: unknown }) => tasks(body.subtasks), {
          body: count === undefined ? {} : { count },
        }),
      analyze_project_complexity: ({ ids }) =>
        ask(
          "POST",
          `${tagUrl()}/analyze-complexity`,
          (body: { scored: unknown; recommended: unknown }) => [
            names(body.scored, "localId"),
            body.recommended,
          ],
          { body: ids === undefined ? {} : { tasks: ids } },
        ),
    },
  };
}

export function mcpEdge(client: Client, project: string): Edge {
  let held: Held = { id: "", fence: 0 };

  async function ask<T>(name: string, input: object, show: (content: never) => T): Promise<T | Refused> {
    const args = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
    const result = (await client.callTool({ name, arguments: args })) as CallToolResult;
    if (!result.isError) return show(result.structuredContent as never);
    const { code } = result.structuredContent as { code: string };
    const [{ text = "" } = {}] = result.content as { text?: string }[];
    return { code, detail: text.slice(code.length + 2) };
  }
  const here = <I extends object>(input: I) => ({ project, ...input });
  const listed = (ids: string[] | undefined) => ids?.join(",");
  const one = (content: { task: unknown }) => task(content.task);
  const keyOf = (key: string | undefined) => (key === undefined ? undefined : `MCP-${key}`);
  const end = (name: string, input: object) =>
    ask(name, { claimId: held.id, fence: held.fence, ...input }, ({ claim }: { claim: unknown }) =>
      claimed(claim),
    );
  const removed = (content: { removed: string[] }) => [...content.removed].sort();

  return {
    name: "MCP",
    project,
    uses: {
      get_tasks: (input) =>
        ask(
          "get_tasks",
          here({ ...input, fields: "localId,title,status,priority,dependencies,version" }),
          ({ items }) => tasks(items),
        ),
      get_task: (input) =>
        ask("get_task", here(input), (content: { tasks: unknown[] }) => task(content.tasks[0])),
      next_task: (input) =>
        ask("next_task", here(input), ({ task: next }: { task: unknown }) => next && task(next)),
      set_task_status: ({ ids, ...input }) =>
        ask("set_task_status", here({ id: listed(ids), ...input }), (content: { tasks: unknown }) =>
          tasks(content.tasks),
        ),
      add_task: ({ dependencies, key, ...input }) =>
        ask(
          "add_task",
          here({ ...input, dependencies: listed(dependencies), idempotencyKey: keyOf(key) }),
          one,
        ),
      update_task: (input) => ask("update_task", here(input), one),
      update_subtask: (input) => ask("update_subtask", here(input), one),
      remove_task: (input) => ask("remove_task", here(input), removed),
      move_task: ({ id, parent, before, tag }) =>
        ask(
          "move_task",
          here({ from: id, before, toTag: tag, to: parent === undefined ? undefined : `${parent}.1` }),
          one,
        ),
      add_subtask: (input) => ask("add_subtask", here(input), one),
      remove_subtask: (input) => ask("remove_subtask", here(input), removed),
      clear_subtasks: (input) => ask("clear_subtasks", here(input), removed),
      claim_next: (input) =>
        ask("claim_next", here(input), ({ claim }: { claim: Held }) => {
          held = { id: claim.id, fence: claim.fence };
          return claimed(claim);
        }),
      heartbeat: ({ late = false }) => end("heartbeat", { fence: held.fence + (late ? 7 : 0) }),
      release_claim: (input) => end("release_claim", input),
      complete_claim: (input) => end("complete_claim", input),
      fail_claim: (input) => end("fail_claim", input),
      add_dependency: (input) =>
        ask("add_dependency", here(input), (content: { dependsOn: unknown }) =>
          names(content.dependsOn, "localId"),
        ),
      remove_dependency: (input) => ask("remove_dependency", here(input), () => "removed"),
      validate_dependencies: (input) =>
        ask("validate_dependencies", here(input), (content: { valid: boolean; problems: unknown }) => ({
          valid: content.valid,
          problems: names(content.problems, "problem"),
        })),
      fix_dependencies: (input) =>
        ask("fix_dependencies", here(input), ({ totals }: { totals: object }) => totals),
      list_tags: () => ask("list_tags", here({}), ({ items }) => names(items, "name")),
      add_tag: (input) => ask("add_tag", here(input), ({ tag }) => tag),
      copy_tag: ({ from, to }) =>
        ask("copy_tag", here({ sourceName: from, targetName: to }), ({ tag }) => tag),
      rename_tag: ({ from, to }) => ask("rename_tag", here({ oldName: from, newName: to }), ({ tag }) => tag),
      delete_tag: (input) => ask("delete_tag", here(input), ({ deleted }) => deleted),
      complexity_report: () => ask("complexity_report", here({}), ({ items }) => names(items, "localId")),
      get_events: (input) =>
        ask("get_events", here({ ...input, limit: 200 }), (content: { items: unknown[] }) =>
          content.items.map(event),
        ),
      parse_prd: ({ text, append }) =>
        ask("parse_prd", here({ input: text, append }), (content: { tasks: unknown }) =>
          tasks(content.tasks),
        ),
      expand_task: ({ id, count }) =>
        ask("expand_task", here({ id, num: count }), (content: { subtasks: unknown }) =>
          tasks(content.subtasks),
        ),
      analyze_project_complexity: ({ ids }) =>
        ask(
          "analyze_project_complexity",
          here({ ids: listed(ids) }),
          (content: { scored: unknown; recommended: unknown }) => [
            names(content.scored, "localId"),
            content.recommended,
          ],
        ),
    },
  };
}

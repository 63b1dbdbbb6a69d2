import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../cli/harness.ts";
import type { McpTest } from "./harness.ts";
import { claimed, type Edge, names, type Refused, restEdge, task, tasks } from "./parity-edges.ts";

interface Page {
  items: unknown[];
}

/**
 * The command line, as a person or a script types it. What it has no words for goes over REST, so that what follows
 * finds the same: an explicit version or key (it reads the one and makes the other by itself), links, and events, which
 * it follows without an end. Of a claim that has ended it speaks in words of its own, since it knows claims by their
 * tasks.
 */
export async function cliEdge(test: McpTest, project: string): Promise<Edge> {
  const folder = await mkdtemp(join(tmpdir(), "task-master-pro-parity-"));
  const env = { XDG_CONFIG_HOME: folder, TASKMASTER_SERVER: test.url, TASKMASTER_TOKEN: test.token };
  const rest = restEdge(test, project).uses;
  let held = { localId: "", fence: 0, ended: true };

  async function ask<T>(args: string[], show: (answer: never) => T, stdin = ""): Promise<T | Refused> {
    const { code, out, err } = await run([...args, "--project", project, "--json"], {
      env,
      cwd: folder,
      stdin,
    });
    // Nothing ready and problems found are answers, with exit codes that a script can tell apart.
    if (out !== "" && [0, 7, 8].includes(code)) return show(JSON.parse(out) as never);
    const { code: why, detail } = JSON.parse(err) as Refused;
    // Behind what core says it may name the command that helps.
    return { code: why, detail: detail.replace(/ See "[^"]+" for .*$/, "") };
  }
  const option = (name: string, value: string | number | undefined) =>
    value === undefined ? [] : [`--${name}`, String(value)];
  /** One task is answered as itself. */
  const listOf = (answer: Page | object) => ("items" in answer ? answer.items : [answer]);
  const gone = (answer: Page | object) => names(listOf(answer), "localId");
  const name = (tag: { name: string }) => tag.name;

  async function end(how: "release" | "complete" | "fail", note: string | undefined): Promise<unknown> {
    const answer = await ask(["claim", how, held.localId, ...option("note", note)], claimed);
    held = { ...held, ended: true };
    return answer;
  }

  return {
    name: "the command line",
    project,
    close: () => rm(folder, { recursive: true }),
    uses: {
      ...rest,
      get_tasks: ({ status, tag }) =>
        ask(["list", ...option("status", status), ...option("tag", tag)], ({ items }: Page) => tasks(items)),
      get_task: ({ id }) => ask(["show", id], task),
      next_task: ({ mode, tag }) =>
        ask(["next", ...option("mode", mode), ...option("tag", tag)], (next: { task: unknown }) =>
          next.task === null ? null : task(next.task),
        ),
      set_task_status: (input) =>
        input.version === undefined
          ? ask(["set-status", input.ids.join(","), input.status], (answer: Page | object) =>
              tasks(listOf(answer)),
            )
          : rest.set_task_status(input),
      add_task: (input) => {
        const { key, prompt, title, priority, dependencies } = input;
        if (key !== undefined || (prompt === undefined && title === undefined)) return rest.add_task(input);
        const options = [...option("priority", priority), ...option("depends", dependencies?.join(","))];
        return ask(["add", ...option("title", title), ...option("prompt", prompt), ...options], task);
      },
      remove_task: (input) =>
        input.version === undefined ? ask(["remove", input.id], gone) : rest.remove_task(input),
      remove_subtask: ({ id }) => ask(["remove", id], gone),
      move_task: ({ id, tag, before, parent }) =>
        ask(
          ["move", id, ...option("before", before), ...option("parent", parent), ...option("to-tag", tag)],
          task,
        ),
      add_subtask: ({ id, title }) => ask(["add", title, "--parent", id], task),
      claim_next: ({ id, ttlSeconds }) =>
        ask(
          [...["claim", ...(id === undefined ? [] : [id])], ...option("ttl", ttlSeconds && `${ttlSeconds}s`)],
          (claim: { localId: string; fence: number }) => {
            held = { localId: claim.localId, fence: claim.fence, ended: false };
            return claimed(claim);
          },
        ),
      heartbeat: ({ late = false }) =>
        ask(["claim", "heartbeat", held.localId, ...option("fence", held.fence + (late ? 7 : 0))], claimed),
      release_claim: ({ note }) => end("release", note),
      complete_claim: ({ note }) => end("complete", note),
      fail_claim: ({ note }) => end("fail", note),
      add_dependency: ({ id, dependsOn }) =>
        ask(["depend", id, "--on", dependsOn], (body: { dependsOn: unknown }) =>
          names(body.dependsOn, "localId"),
        ),
      remove_dependency: ({ id, dependsOn }) => ask(["undepend", id, "--on", dependsOn], () => "removed"),
      validate_dependencies: ({ tag }) =>
        ask(["validate", ...option("tag", tag)], (body: { valid: boolean; problems: unknown }) => ({
          valid: body.valid,
          problems: names(body.problems, "problem"),
        })),
      fix_dependencies: ({ tag }) =>
        ask(["fix", ...option("tag", tag)], (body: { activated: unknown[]; removed: unknown[] }) => ({
          activated: body.activated.length,
          removed: body.removed.length,
        })),
      list_tags: () => ask(["tags", "list"], ({ items }: Page) => names(items, "name")),
      add_tag: (input) => ask(["tags", "add", input.name], name),
      copy_tag: ({ from, to }) => ask(["tags", "copy", from, to], name),
      rename_tag: ({ from, to }) => ask(["tags", "rename", from, to], name),
      delete_tag: (input) => ask(["tags", "delete", input.name], () => input.name),
      parse_prd: ({ text, append = false }) =>
        ask(
          ["parse-prd", "-", ...(append ? ["--append"] : [])],
          (body: { tasks: unknown }) => tasks(body.tasks),
          text,
        ),
      expand_task: ({ id, count }) =>
        ask(["expand", id, ...option("count", count)], (body: { subtasks: unknown }) => tasks(body.subtasks)),
      analyze_project_complexity: ({ ids = [] }) =>
        ask(["analyze-complexity", ...ids], (body: { scored: unknown; recommended: unknown }) => [
          names(body.scored, "localId"),
          body.recommended,
        ]),
    },
  };
}

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Claim, Event, Page, Task } from "../../../src/core/index.ts";
import { run } from "../cli/harness.ts";
import { addMembers } from "../rest/harness.ts";
import { ask, type McpTest, openMcp } from "./harness.ts";

const samples = process.env.SAMPLES_DIR ?? resolve(import.meta.dirname, "../../../../../shared/samples");
const sample = join(samples, "bare-list-tag.json");
const example = resolve(import.meta.dirname, "../../../examples/tasks.json");

let test: McpTest;
let home: string;
const transcript: string[] = [];
const say = (who: string, what: string) => void transcript.push(`${who.padEnd(9)} ${what}`);

beforeAll(async () => {
  test = await openMcp();
  home = await mkdtemp(join(tmpdir(), "task-master-pro-at-work-"));
});
afterAll(async () => {
  await test.close();
  await rm(home, { recursive: true });
  await mkdir("coverage", { recursive: true });
  await writeFile("coverage/at-work.txt", `${transcript.join("\n")}\n`);
});

/** The person's shell. */
async function shell<T>(
  args: string[],
  { json = false } = {},
): Promise<{ code: number; answer: T; out: string }> {
  const env = { XDG_CONFIG_HOME: home, TASKMASTER_SERVER: test.url, TASKMASTER_TOKEN: test.token };
  const { code, out, err } = await run(json ? [...args, "--json"] : args, { env, cwd: home });
  return { code, out: out + err, answer: (json && out !== "" ? JSON.parse(out) : null) as T };
}

async function allDone(): Promise<boolean> {
  const { answer } = await shell<Page<Task>>(["list", "--with-subtasks"], { json: true });
  return answer.items.every(({ status }) => status === "done");
}

/** Claims, works and hands over until everything is done. */
async function agent(name: string, client: Client, done: { count: number; left: string | undefined }) {
  while (!(await allDone())) {
    const dies = name === "agent-2" && done.left === undefined;
    const ttlSeconds = dies ? 1 : 60;
    const { claim, task } = (await ask(client, "claim_next", { project: "WORK", ttlSeconds })) as unknown as {
      claim: Claim | null;
      task: Task;
    };
    if (claim === null) {
      await sleep(20);
      continue;
    }
    say(name, `claim_next -> ${claim.localId} (fence ${claim.fence}): ${task.title.slice(0, 60)}`);
    if (dies) {
      // It dies over its first task: what it held comes back by itself, and a late word of it is refused.
      done.left = claim.id;
      say(name, `dies over ${claim.localId}`);
      return;
    }
    // A task that is claimed brings its subtasks with it.
    const { subtasks } = await ask(client, "get_task", { project: "WORK", id: claim.localId });
    const open = (subtasks as Task[]).filter(({ status }) => status !== "done").map(({ localId }) => localId);
    for (const id of open) {
      const { fence } = claim;
      await ask(client, "set_task_status", { project: "WORK", id, status: "done", fence });
    }
    if (open.length > 0) say(name, `set_task_status ${open.join(" ")} done`);
    await ask(client, "complete_claim", { claimId: claim.id, fence: claim.fence, note: `${name} was here.` });
    say(name, `complete_claim ${claim.localId}`);
    done.count += 1;
  }
}

async function person(done: { count: number }) {
  while (!(await allDone())) {
    const claimed = await shell<Claim>(["claim"], { json: true });
    if (claimed.code === 8) {
      await sleep(20);
      continue;
    }
    expect(claimed.code).toBe(0);
    const { localId } = claimed.answer;
    say("person", `$ task-master-pro claim -> ${localId}`);
    const { answer } = await shell<Page<Task>>(["list", "--with-subtasks"], { json: true });
    const open = answer.items.filter((one) => one.localId.startsWith(`${localId}.`) && one.status !== "done");
    if (open.length > 0) {
      const ids = open.map((one) => one.localId).join(",");
      expect((await shell(["set-status", ids, "done"])).code).toBe(0);
      say("person", `$ task-master-pro set-status ${ids} done`);
    }
    const completed = await shell(["claim", "complete", localId, "--note", "By hand."]);
    expect([completed.code, completed.out]).toEqual([0, expect.any(String)]);
    say("person", `$ task-master-pro claim complete ${localId}`);
    done.count += 1;
    if (done.count === 1) {
      const added = await shell<Task>(["add", "Tell everybody"], { json: true });
      expect((await shell(["comment", added.answer.localId, "Once all is done."])).code).toBe(0);
      say("person", `$ task-master-pro add "Tell everybody" -> ${added.answer.localId}`);
    }
  }
}

it("two agents and a person work an imported project down to done, at the same time", async () => {
  const file = existsSync(sample) ? sample : example;
  if (file === example)
    console.warn(`left out: the real file (${sample} is not there); the example stands for it`);
  const members = await addMembers(test.core, test.owner, "one");
  const others = await addMembers(test.core, test.owner, "two");
  expect((await shell(["projects", "add", "WORK"])).code).toBe(0);
  const imported = await shell(["import", file, "--mode", "quarantine"]);
  expect([imported.code, imported.out]).toEqual([0, expect.any(String)]);
  expect((await shell(["fix"])).code).toBe(0);
  say("person", `$ task-master-pro import FILE --mode quarantine\n${imported.out.trimEnd()}`);

  const [first, second, third] = await Promise.all(
    [members.agent, others.agent, others.agent].map(({ token }) => test.connect(token)),
  );
  if (first === undefined || second === undefined || third === undefined) throw new Error("three were made");
  const one = { count: 0, left: "nobody" };
  const two: { count: number; left: string | undefined } = { count: 0, left: undefined };
  const hands = { count: 0 };
  const again = async () => {
    await agent("agent-2", second, two);
    const left = (two.left ?? "") as string;
    const held = await test.core.claims.get(test.owner, left);
    // What the server does every second, or whoever finds the task before it does.
    while ((await test.core.claims.get(test.owner, left)).endedAt === null) {
      await test.core.claims.expire();
      await sleep(100);
    }
    say("server", `the claim on ${held.localId} expired, the task is free again`);
    const late = await third.callTool({
      name: "complete_claim",
      arguments: { claimId: left, fence: held.fence, note: "Late." },
    });
    expect(late).toMatchObject({ isError: true, structuredContent: { code: "claim_ended" } });
    say("agent-2", "complete_claim, too late -> claim_ended");
    await agent("agent-2", third, two);
  };
  await Promise.all([agent("agent-1", first, one), again(), person(hands)]);

  const { answer } = await shell<Page<Task>>(["list", "--with-subtasks"], { json: true });
  expect(answer.items.filter(({ status }) => status !== "done")).toEqual([]);
  // The second agent may find nothing left when it is back.
  for (const { count } of [one, hands]) expect(count).toBeGreaterThan(0);
  // Whatever was acknowledged is in the log, once.
  const events: Event[] = [];
  for (let after = 0, more = true; more; ) {
    const list = await test.core.events.list(test.owner, "WORK", { after, limit: 200 });
    events.push(...list.items);
    ({ last: after, more } = list);
  }
  const completed = events.filter(({ type }) => type === "claim.completed").map(({ task }) => task);
  expect(completed).toHaveLength(one.count + two.count + hands.count);
  expect(new Set(completed).size).toBe(completed.length);
  expect(events.filter(({ type }) => type === "claim.expired")).toHaveLength(1);
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
  say(
    "server",
    `${events.length} events; agent-1 ${one.count}, agent-2 ${two.count}, person ${hands.count} tasks; all done`,
  );
}, 180_000);

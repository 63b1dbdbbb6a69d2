import { readdir } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { runFileChild, text } from "../../../support/file-children.ts";
import { createFolder, openFolderCore, type TestFolder } from "../../../support/folder.ts";

let folder: TestFolder;
beforeEach(async () => {
  folder = await createFolder(text);
});
afterEach(async () => {
  await folder.remove();
});

/** What there is now: every acknowledged change, perhaps the one that was on its way, and never half of one. */
async function check(least: number, most = least + 1): Promise<number> {
  const { core, owner, key, close } = await openFolderCore(folder.directory);
  try {
    const task = await core.tasks.get(owner, `${key}:master:1`);
    const count = Number(task.title);
    expect(count).toBeGreaterThanOrEqual(least);
    expect(count).toBeLessThanOrEqual(most);
    expect(task.version).toBe(count + 1);
    const comments = (await core.comments.list(owner, task.id, { limit: 200 })).items;
    expect(comments.map(({ body }) => Number(body))).toEqual(Array.from({ length: count }, (_, i) => i + 1));
    const { items } = await core.events.list(owner, key, { limit: 200 });
    expect(items.map(({ sequence }) => sequence)).toEqual(items.map((_, i) => i + 1));
    expect(items.filter(({ data }) => data.next !== undefined).length).toBe(count);
    expect(await folder.read()).toBe(text.replace('"0"', `"${count}"`));
    return count;
  } finally {
    await close();
  }
}

it("killed before any step of its writing, and in the middle of every write, leaves all of a change or nothing", async () => {
  const whole = await runFileChild(folder.directory, 2, { step: 1_000_000 });
  expect([whole.code, whole.acknowledged]).toEqual([0, [1, 2]]);
  const steps = Number(/steps (\d+)/.exec(whole.output)?.[1]);
  expect(steps).toBeGreaterThan(20);
  let count = await check(2, 2);
  const outcomes = new Set<number>();
  // The second change's steps are the first one's again.
  for (let step = 1; step <= steps / 2 + 1; step += 1) {
    const killed = await runFileChild(folder.directory, 2, { step });
    expect([step, killed.signal, killed.errors]).toEqual([step, "SIGKILL", ""]);
    const now = await check(killed.acknowledged.at(-1) ?? count);
    outcomes.add(now - (killed.acknowledged.at(-1) ?? count));
    count = now;
    // What is committed stays: a process that did not see the crash agrees.
    await check(count, count);
  }
  // Both came to pass: a change that was undone, and one that was carried through without its process.
  expect([...outcomes].sort()).toEqual([0, 1]);
  const left = await readdir(path.dirname(folder.file));
  expect(left.filter((name) => name !== "tasks.json" && name !== "tasks.json.draft")).toEqual([]);
}, 300_000);

it("killed at any time loses nothing that was acknowledged", async () => {
  let count = 0;
  for (let round = 0; round < 6; round += 1) {
    const killed = await runFileChild(folder.directory, 1_000, { killAfterMs: Math.random() * 60 });
    expect([killed.signal, killed.errors]).toEqual(["SIGKILL", ""]);
    count = await check(killed.acknowledged.at(-1) ?? count);
  }
  expect(count).toBeGreaterThan(6);
}, 120_000);

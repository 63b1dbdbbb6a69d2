import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Context } from "../../../src/core/context.ts";
import type { NewTask, Task } from "../../../src/core/index.ts";
import type { Transaction } from "../../../src/core/storage.ts";
import { openTestCore, outcomes, type TestCore } from "../../support/core.ts";
import { createGate, isWaiting } from "../../support/world.ts";

let test: TestCore;
let first: Context;
let second: Context;
let key = "";
let round = 0;
beforeAll(async () => {
  test = await openTestCore();
  first = await test.addAgent("first");
  second = await test.addAgent("second");
});
afterAll(() => test.close());
beforeEach(async () => {
  round += 1;
  key = `R${round}`;
  await test.core.projects.create(test.owner, { key, name: key });
});

const add = (title: string, more: Partial<NewTask> = {}, tag = "master") =>
  test.core.tasks.create(test.owner, key, tag, { title, ...more });
const get = (task: Task) => test.core.tasks.get(test.owner, task.id);
const tagId = async (name: string) => (await test.core.tags.get(test.owner, key, name)).id;

/** Holds what `lock` takes while `work` begins and comes to wait for it; then lets go, and gives the work's outcome. */
async function behind<T>(
  lock: (tx: Transaction) => Promise<unknown>,
  work: () => Promise<T>,
  meanwhile: (tx: Transaction) => Promise<unknown> = async () => {},
): Promise<T> {
  const held = createGate();
  const letGo = createGate();
  const holder = test.storage.transaction(test.owner.organizationId, async (tx) => {
    await lock(tx);
    held.open();
    await letGo.opened;
    await meanwhile(tx);
  });
  await held.opened;
  const waiting = work();
  const waited = await isWaiting(waiting, 200);
  letGo.open();
  await holder;
  expect(waited, "the work did not meet the lock").toBe(true);
  return waiting;
}

describe("a graph is changed only behind its own lock", () => {
  it("a batch leaves the tasks of other tags alone, or two of them could close a cycle there", async () => {
    await test.core.tags.create(test.owner, key, { name: "other" });
    const [a, b] = [await add("A", {}, "other"), await add("B", {}, "other")];
    const depend = (from: Task, on: Task) =>
      test.core.tasks.batch(test.owner, key, "master", {
        operations: [{ op: "depend", task: from.id, dependsOn: on.id }],
      });
    await expect(depend(a, b)).rejects.toMatchObject({
      code: "invalid_input",
      errors: [{ pointer: "/operations/0" }],
    });
    const child = { op: "create", parent: a.id, task: { title: "Child" } } as const;
    await expect(
      test.core.tasks.batch(test.owner, key, "master", { operations: [child] }),
    ).rejects.toMatchObject({ code: "invalid_input" });
    expect((await test.core.graphs.graph(test.owner, key, "other")).edges).toEqual([]);
  });

  it("a dependency, a subtask, a deletion and a move are refused when the task left the tag meanwhile", async () => {
    await test.core.tags.create(test.owner, key, { name: "other" });
    const [master, other] = [await tagId("master"), await tagId("other")];
    const works: ((task: Task, part: Task) => Promise<unknown>)[] = [
      (task, part) => test.core.dependencies.add(test.owner, task.id, part.id),
      (task) => test.core.tasks.createSubtask(test.owner, task.id, { title: "Late" }),
      (_, part) => test.core.tasks.delete(test.owner, part.id, { version: part.version }),
      (_, part) => test.core.tasks.move(test.owner, part.id, { parent: null }, { version: part.version }),
    ];
    for (const work of works) {
      const task = await add("Goes away");
      const part = await test.core.tasks.createSubtask(test.owner, task.id, { title: "Goes along" });
      const refusal = await outcomes([
        behind(
          (tx) => tx.tags.lockGraphs([master, other]),
          () => work(task, part),
          async (tx) => {
            const number = await tx.tags.takeNumbers(other, 1);
            await tx.tasks.update(task.id, { tagId: other, number, segment: String(number) }, null);
          },
        ),
      ]);
      expect(refusal).toEqual({ conflict: 1 });
    }
  });

  it("moves across two tags in opposite directions at once all arrive", async () => {
    await test.core.tags.create(test.owner, key, { name: "other" });
    const here = await Promise.all(Array.from({ length: 8 }, (_, i) => add(`Here ${i}`)));
    const there = await Promise.all(Array.from({ length: 8 }, (_, i) => add(`There ${i}`, {}, "other")));
    const counts = await outcomes([
      ...here.map((task) => test.core.tasks.move(test.owner, task.id, { tag: "other" }, { version: 1 })),
      ...there.map((task) => test.core.tasks.move(test.owner, task.id, { tag: "master" }, { version: 1 })),
    ]);
    expect(counts).toEqual({ ok: 16 });
  });
});

describe("claims against changes around them", () => {
  it("a task with a holder does not come under a parent that another holds", async () => {
    const [whole, part] = [await add("Whole"), await add("Part")];
    await test.core.claims.claim(first, whole.id, {});
    const { fence } = await test.core.claims.claim(second, part.id, {});
    const { version } = await get(part);
    await expect(
      test.core.tasks.move(second, part.id, { parent: whole.id }, { version, fence }),
    ).rejects.toMatchObject({ code: "claimed" });
  });

  it("a tag is not deleted over a claim that is made at the same moment", async () => {
    const task = await add("Work");
    const { version } = await test.core.tags.get(test.owner, key, "master");
    const claimed = createGate();
    const commit = createGate();
    // A claim that is made but not yet committed, as a slow claimer's.
    const slow = test.storage.transaction(test.owner.organizationId, async (tx) => {
      await tx.claims.lockFamily(task.id, true);
      const record = await tx.tasks.find({ id: task.id });
      if (record === undefined) throw new Error("the task is gone");
      await tx.claims.insert({
        id: crypto.randomUUID(),
        task: record,
        holder: first.actor,
        ttlSeconds: 60,
        previousStatus: "pending",
      });
      claimed.open();
      await commit.opened;
    });
    await claimed.opened;
    const deletion = test.core.tags.delete(test.owner, key, "master", version);
    await isWaiting(deletion);
    commit.open();
    await slow;
    await expect(deletion).rejects.toMatchObject({ code: "claimed" });
  });

  it("a claim is still found when its task left a parent that is gone by then", async () => {
    const parent = await add("Parent");
    const part = await test.core.tasks.createSubtask(test.owner, parent.id, { title: "Part" });
    const claim = await test.core.claims.claim(first, part.id, {});
    const renewed = await behind(
      (tx) => tx.claims.lockFamily(parent.id, true),
      () => test.core.claims.heartbeat(first, claim.id, { fence: claim.fence }),
      async (tx) => {
        await tx.tasks.update(part.id, { parentId: null, number: 99, segment: "99" }, null);
        await tx.tasks.delete(parent.id, null);
      },
    );
    expect(renewed).toMatchObject({ id: claim.id, localId: "99" });
  });

  it("one claim that cannot be ended does not keep the others from it", async () => {
    let broken = "";
    const sick = await openTestCore({
      wrap: (storage) => ({
        ...storage,
        transaction: (organizationId, work) =>
          storage.transaction(organizationId, (tx) =>
            work({
              ...tx,
              claims: {
                ...tx.claims,
                end: (id, outcome) =>
                  id === broken ? Promise.reject(new Error("broken")) : tx.claims.end(id, outcome),
              },
            }),
          ),
      }),
    });
    try {
      await sick.core.projects.create(sick.owner, { key: "SICK", name: "Sick" });
      for (const title of ["One", "Two"]) {
        await sick.core.tasks.create(sick.owner, "SICK", "master", { title });
        const claim = await sick.core.claims.claimNext(sick.owner, "SICK", "master", { ttlSeconds: 1 });
        if (broken === "") broken = claim?.id ?? "";
      }
      await sleep(1100);
      await expect(sick.core.claims.expire()).rejects.toThrow("broken");
      expect(await sick.core.tasks.get(sick.owner, "SICK:master:2")).toMatchObject({ status: "pending" });
    } finally {
      await sick.close();
    }
  });

  it("keeps the fence rising when the task moves to another tag", async () => {
    await test.core.tags.create(test.owner, key, { name: "other" });
    const task = await add("Work");
    const claim = await test.core.claims.claim(first, task.id, {});
    await test.core.claims.release(first, claim.id, { fence: claim.fence });
    await test.core.tasks.move(test.owner, task.id, { tag: "other" }, { version: (await get(task)).version });
    expect(await test.core.claims.claim(second, task.id, {})).toMatchObject({ fence: claim.fence + 1 });
  });
});

describe("an import against changes of the tags that it fills", () => {
  it("sees the task that was made while it waited, and neither mixes in nor gives a number again", async () => {
    const text = JSON.stringify({
      master: { tasks: [{ id: 7, title: "Imported", status: "pending", dependencies: [] }] },
    });
    const master = await tagId("master");
    const counts = await outcomes([
      behind(
        (tx) => tx.tags.lockGraphs([master]),
        () => test.core.importExport.import(test.owner, key, text, { mode: "quarantine" }),
        (tx) => tx.tags.takeNumbers(master, 1),
      ),
    ]);
    expect(counts).toEqual({ import_refused: 1 });
    expect(await add("Next")).toMatchObject({ localId: "2" });
  });
});

describe("the deletion of a project or a tag", () => {
  it("leaves those who were at work in it refused, and nothing of theirs behind", async () => {
    const file = JSON.stringify({ filled: { tasks: [{ id: 1, title: "One", status: "pending" }] } });
    const tasks = await Promise.all(Array.from({ length: 6 }, (_, i) => add(`Task ${i}`)));
    const { version } = await test.core.projects.get(test.owner, key);
    const name = (i: number) => `copy ${i}`;
    const counts = await outcomes([
      ...tasks.map((task) => test.core.claims.claim(first, task.id, {})),
      ...tasks.map((task, i) => test.core.dependencies.add(second, task.id, tasks[(i + 1) % 6]?.id ?? "")),
      ...tasks.map((_, i) => add(`More ${i}`)),
      ...tasks.map((_, i) => test.core.tags.copy(test.owner, key, "master", { name: name(i) })),
      test.core.projects.delete(test.owner, key, version),
      ...tasks.map((task) => test.core.tasks.createSubtask(test.owner, task.id, { title: "Part" })),
      ...tasks.map(() => test.core.importExport.import(test.owner, key, file, {})),
      ...tasks.map(() => test.core.events.list(test.owner, key, {})),
    ]);
    const allowed = [
      "ok",
      "not_found",
      "conflict",
      "cycle",
      "import_refused",
      "already_exists",
      "version_mismatch",
    ];
    expect(Object.keys(counts).filter((code) => !allowed.includes(code))).toEqual([]);
    // An import that came first made another version of the project.
    await test.core.projects.delete(test.owner, key, version + 1).catch(() => {});
    for (const task of tasks) await expect(get(task)).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("what a task shows changes only together with its version and an event", () => {
  /** What each of the tasks is now, and what asOf gives for now once `change` has happened. */
  async function through(tasks: Task[], change: () => Promise<unknown>): Promise<void> {
    const before = await Promise.all(tasks.map(get));
    await sleep(15);
    const instant = new Date().toISOString();
    await sleep(15);
    await change();
    for (const [i, task] of tasks.entries()) {
      const after = await get(task);
      expect(after, task.title).not.toEqual(before[i]);
      expect(after.version, task.title).toBeGreaterThan(before[i]?.version ?? 0);
      expect(await test.core.tasks.get(test.owner, task.id, instant)).toEqual(before[i]);
    }
  }

  it("with the subtasks of a task that moves to another tag", async () => {
    await test.core.tags.create(test.owner, key, { name: "other" });
    await add("Another", {}, "other");
    const whole = await add("Whole");
    const part = (title: string, dependencies: string[]) =>
      test.core.tasks.createSubtask(test.owner, whole.id, { title, dependencies });
    const one = await part("One", []);
    const two = await part("Two", ["1.1"]);
    await through([whole, one, two], async () =>
      test.core.tasks.move(test.owner, whole.id, { tag: "other" }, { version: (await get(whole)).version }),
    );
    expect(await get(two)).toMatchObject({ localId: "2.2", dependencies: ["2.1"] });
  });

  it("with what waits for a task that gets another local id", async () => {
    const [parent, task] = [await add("Parent"), await add("Task")];
    const waiting = await add("Waiting", { dependencies: ["2"] });
    await through([task, waiting], () =>
      test.core.tasks.move(test.owner, task.id, { parent: parent.id }, { version: 1 }),
    );
    expect(await get(waiting)).toMatchObject({ dependencies: ["1.1"] });
  });

  it("with the tasks whose quarantined dependencies come to hold", async () => {
    const text = JSON.stringify({
      filled: { tasks: [{ id: 1, title: "Waits", status: "pending", dependencies: [2] }] },
    });
    await test.core.importExport.import(test.owner, key, text, { mode: "quarantine" });
    await add("Made later", {}, "filled");
    const waits = await test.core.tasks.get(test.owner, `${key}:filled:1`);
    await through([waits], () => test.core.dependencies.fix(test.owner, key, "filled"));
    expect(await get(waits)).toMatchObject({ dependencies: ["2"] });
  });
});

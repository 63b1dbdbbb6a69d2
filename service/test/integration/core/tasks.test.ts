import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Task } from "../../../src/core/index.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";

let test: TestCore;
let key = "";
let round = 0;
beforeAll(async () => {
  test = await openTestCore();
});
afterAll(() => test.close());
beforeEach(async () => {
  round += 1;
  key = `T${round}`;
  await test.core.projects.create(test.owner, { key, name: key });
});

const tasks = () => test.core.tasks;
const add = (title: string, more = {}) => tasks().create(test.owner, key, "master", { title, ...more });
const sub = (parent: Task, title: string, more = {}) =>
  tasks().createSubtask(test.owner, parent.id, { title, ...more });
const ref = (localId: string, tag = "master") => `${key}:${tag}:${localId}`;
const get = (localId: string, tag?: string) => tasks().get(test.owner, ref(localId, tag));
const order = async (tag = "master") =>
  (await tasks().list(test.owner, key, tag, { limit: 200 })).items.map((task) => task.localId);
/** The database's clock, which asOf goes by, after a pause that no two writes share a millisecond. */
async function instant(): Promise<string> {
  await sleep(5);
  const now = await test.storage.transaction(test.owner.organizationId, (tx) => tx.now());
  await sleep(5);
  return now.toISOString();
}

describe("a task", () => {
  it("has defaults, a local id, and every address", async () => {
    const task = await add("One");
    expect(task).toMatchObject({
      project: key,
      tag: "master",
      localId: "1",
      parent: null,
      status: "pending",
      priority: null,
      labels: [],
      dependencies: [],
      claim: null,
      version: 1,
    });
    expect(await tasks().get(test.owner, task.id.toUpperCase())).toEqual(task);
    expect(await get("1")).toEqual(task);
    await expect(tasks().get(test.owner, "1")).rejects.toThrow(/A reference is a UUID or KEY:tag:localId/);
  });

  it("is patched member by member; what does not change makes no version and no event", async () => {
    const task = await add("One", { metadata: { a: 1, b: { c: 2 } }, complexity: { score: 3 } });
    const patched = await tasks().update(
      test.owner,
      task.id,
      {
        title: "Uno",
        metadata: { a: null, b: { d: 4 } },
        complexity: { recommendedSubtasks: 2 },
        effort: 1.5,
      },
      { version: 1 },
    );
    expect(patched).toMatchObject({
      title: "Uno",
      metadata: { b: { c: 2, d: 4 } },
      complexity: { score: 3, recommendedSubtasks: 2 },
      effort: 1.5,
      version: 2,
    });
    expect(await tasks().update(test.owner, task.id, { title: "Uno" }, { version: 2 })).toEqual(patched);
    const { items } = await test.core.events.list(test.owner, key, {});
    expect(items.filter((event) => event.type === "task.updated")).toHaveLength(1);
    expect(items.at(-1)?.data.changes).toMatchObject({ title: ["One", "Uno"], version: [1, 2] });
  });

  it("keeps the text of every script as it was sent", async () => {
    const title = "한국어 中文 العربية Кириллица 👩‍👩‍👧‍👦 \u2028 \u0001";
    const task = await add(title, { details: "x".repeat(100_000) });
    expect(await tasks().get(test.owner, task.id)).toMatchObject({ title, details: "x".repeat(100_000) });
  });

  it("refuses text that cannot be stored, by pointer, and leaves nothing behind", async () => {
    await expect(add("One", { details: "\0" })).rejects.toMatchObject({
      code: "invalid_input",
      errors: [{ pointer: "/input/details" }],
    });
    expect(await order()).toEqual([]);
  });

  it("goes with its subtasks, and whoever waited for them no longer does", async () => {
    const one = await add("One");
    await sub(one, "Part");
    const two = await add("Two", { dependencies: ["1", "1.1"] });
    await tasks().delete(test.owner, one.id, { version: one.version });
    expect(await order()).toEqual(["2"]);
    expect(await get("2")).toMatchObject({ dependencies: [], version: two.version + 1 });
    const { items } = await test.core.events.list(test.owner, key, { limit: 200 });
    expect(items.slice(-3).map((event) => event.type)).toEqual([
      "dependency.removed",
      "task.deleted",
      "task.deleted",
    ]);
  });

  it("makes its parent follow: in progress with the first step, done with the last, pending again", async () => {
    const whole = await add("Whole");
    const first = await sub(whole, "First");
    const second = await sub(whole, "Second");
    const set = async (id: string, status: "done" | "pending" | "cancelled") => {
      const { version } = await tasks().get(test.owner, id);
      await tasks().update(test.owner, id, { status }, { version });
      return (await get("1")).status;
    };
    expect(await set(first.id, "done")).toBe("in-progress");
    expect(await set(second.id, "done")).toBe("done");
    expect(await set(first.id, "pending")).toBe("in-progress");
    expect(await set(second.id, "pending")).toBe("pending");
    expect(await set(second.id, "cancelled")).toBe("pending");
  });
});

describe("a place", () => {
  it("is changed among siblings by before and after", async () => {
    for (const title of ["a", "b", "c", "d"]) await add(title);
    const move = async (localId: string, input: object) =>
      tasks().move(test.owner, ref(localId), input, { version: (await get(localId)).version });
    await move("4", { before: "1" });
    expect(await order()).toEqual(["4", "1", "2", "3"]);
    await move("1", { after: "2" });
    expect(await order()).toEqual(["4", "2", "1", "3"]);
    await move("4", { after: "3" });
    expect(await order()).toEqual(["2", "1", "3", "4"]);
    await expect(move("4", { before: "1", after: "2" })).rejects.toMatchObject({
      errors: [{ pointer: "/after" }],
    });
  });

  it("survives a thousand moves to the front", async () => {
    await add("a");
    await add("b");
    for (let i = 0; i < 200; i += 1) {
      const last = (await order())[1] ?? "";
      await tasks().move(
        test.owner,
        ref(last),
        { before: (await order())[0] ?? "" },
        { version: (await get(last)).version },
      );
    }
    expect(await order()).toHaveLength(2);
    expect((await get("1")).rank.length).toBeLessThan(200);
  });

  it("under another task is a subtask's, with a new local id; and back", async () => {
    const whole = await add("Whole");
    await sub(whole, "Old part");
    const part = await add("Part");
    const moved = await tasks().move(test.owner, part.id, { parent: "1" }, { version: 1 });
    expect(moved).toMatchObject({ localId: "1.2", parent: whole.id });
    const freed = await tasks().move(test.owner, part.id, { parent: null }, { version: moved.version });
    expect(freed).toMatchObject({ localId: "3", parent: null });
    await expect(get("2")).rejects.toMatchObject({ code: "not_found" });
  });

  it("keeps the depth at one and no circle through parents", async () => {
    const whole = await add("Whole");
    const part = await sub(whole, "Part");
    const other = await add("Other");
    const into = (id: string, parent: string, version: number) =>
      tasks().move(test.owner, id, { parent }, { version });
    await expect(into(other.id, part.id, 1)).rejects.toMatchObject({ code: "conflict" });
    await expect(into(whole.id, other.id, whole.version)).rejects.toMatchObject({ code: "conflict" });
    await expect(into(other.id, other.id, 1)).rejects.toMatchObject({ code: "cycle" });
    // Other waits for Third: as a subtask of Third it would wait for what waits for it.
    const third = await add("Third");
    await test.core.dependencies.add(test.owner, other.id, third.id);
    await expect(into(other.id, third.id, 2)).rejects.toMatchObject({ code: "cycle" });
    await expect(tasks().createSubtask(test.owner, part.id, { title: "x" })).rejects.toMatchObject({
      code: "conflict",
    });
  });

  it("in another tag takes the subtasks and their edges along, and cuts no dependency", async () => {
    await test.core.tags.create(test.owner, key, { name: "later" });
    const whole = await add("Whole");
    await sub(whole, "First");
    await sub(whole, "Second", { dependencies: ["1.1"] });
    const two = await add("Two", { dependencies: ["1"] });
    const move = () => tasks().move(test.owner, whole.id, { tag: "later" }, { version: whole.version });
    await expect(move()).rejects.toMatchObject({ code: "conflict", details: { edges: ["2 → 1"] } });
    await test.core.dependencies.remove(test.owner, two.id, whole.id);
    expect(await move()).toMatchObject({ tag: "later", localId: "1" });
    expect(await order("later")).toEqual(["1", "1.1", "1.2"].toSorted());
    expect(await get("1.2", "later")).toMatchObject({ tag: "later", dependencies: ["1.1"] });
    expect(await order()).toEqual(["2"]);
  });
});

describe("a batch", () => {
  it("names what it makes, and all of it happens", async () => {
    const { results } = await tasks().batch(test.owner, key, "master", {
      operations: [
        { op: "create", name: "oven", task: { title: "Heat the oven" } },
        { op: "create", name: "dough", task: { title: "Knead", dependencies: [] } },
        { op: "create", parent: "#dough", task: { title: "Weigh the flour" } },
        { op: "create", task: { title: "Bake", dependencies: ["#oven", "#dough"] } },
        { op: "undepend", task: "3", dependsOn: "#oven" },
        { op: "depend", task: "3", dependsOn: "#oven" },
      ],
    });
    expect(results.map((task) => task?.localId)).toEqual(["1", "2", "2.1", "3", "3", "3"]);
    expect(results.at(-1)?.dependencies).toEqual(["2", "1"]);
  });

  it("or nothing of it, saying which operation was refused and where", async () => {
    await add("One");
    const before = await test.core.events.list(test.owner, key, { limit: 200 });
    const batch = tasks().batch(test.owner, key, "master", {
      operations: [
        { op: "create", task: { title: "Two" } },
        { op: "update", task: "1", version: 1, patch: { title: "Changed" } },
        { op: "create", task: { title: "Three", dependencies: ["9"] } },
      ],
    });
    await expect(batch).rejects.toMatchObject({
      code: "invalid_input",
      details: { operation: 2 },
      errors: [{ pointer: "/operations/2/dependencies/0" }],
    });
    expect(await order()).toEqual(["1"]);
    expect(await get("1")).toMatchObject({ title: "One", version: 1 });
    expect(await test.core.events.list(test.owner, key, { limit: 200 })).toEqual(before);
  });
});

describe("asOf", () => {
  it("shows every field as it was: words, status, place, dependencies, claim", async () => {
    const before = await instant();
    const task = await add("One");
    await add("Two");
    const fresh = await instant();
    await tasks().update(test.owner, task.id, { title: "Uno", status: "review" }, { version: 1 });
    await test.core.dependencies.add(test.owner, task.id, ref("2"));
    const connected = await instant();
    await tasks().update(test.owner, task.id, { status: "pending" }, { version: 3 });
    await test.core.dependencies.remove(test.owner, task.id, ref("2"));
    const claim = await test.core.claims.claim(test.owner, task.id, {});
    const claimed = await instant();
    await test.core.claims.complete(test.owner, claim.id, { fence: claim.fence });
    const done = await tasks().get(test.owner, task.id);
    await tasks().delete(test.owner, task.id, { version: done.version });

    const at = (asOf: string) => tasks().get(test.owner, task.id, asOf);
    await expect(at(before)).rejects.toMatchObject({ code: "not_found" });
    expect(await at(fresh)).toEqual(task);
    expect(await at(connected)).toMatchObject({
      title: "Uno",
      status: "review",
      dependencies: ["2"],
      version: 3,
    });
    expect(await at(claimed)).toMatchObject({ status: "in-progress", claim: { fence: 1 }, dependencies: [] });
    // Before any upkeep the deleted task can still be asked for as it was, and not as it is.
    await expect(tasks().get(test.owner, task.id)).rejects.toMatchObject({ code: "not_found" });
    await expect(at(await instant())).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("search", () => {
  it("finds words in any order in every text of a task, best first, page by page", async () => {
    await add("Bake bread", { details: "in the oven" });
    await add("Clean", { details: "the oven and the bread tins" });
    await add("Rest");
    const found = await tasks().search(test.owner, key, { q: "oven bread" });
    expect(found.items.map((task) => task.localId)).toEqual(["1", "2"]);
    const first = await tasks().search(test.owner, key, { q: "oven bread", limit: 1 });
    const second = await tasks().search(test.owner, key, {
      q: "oven bread",
      limit: 1,
      cursor: first.nextCursor ?? "",
    });
    expect([first.items[0]?.localId, second.items[0]?.localId, second.nextCursor]).toEqual(["1", "2", null]);
    expect((await tasks().search(test.owner, key, { q: '"bread oven"' })).items).toEqual([]);
    expect((await tasks().search(test.owner, key, { q: "oven -tins" })).items).toHaveLength(1);
  });

  it.each(["'", '"', "\\", "a & | !", "((", "%", "🦊", " "])(
    "takes %j for words and nothing else",
    async (q) => {
      await add("One");
      expect((await tasks().search(test.owner, key, { q })).items).toEqual([]);
    },
  );
});

describe("lists", () => {
  it("filter, and page without loss while tasks come and go", async () => {
    for (let i = 0; i < 7; i += 1) {
      await add(`Task ${i}`, { labels: i % 2 === 0 ? ["even"] : [], priority: i < 3 ? "high" : null });
    }
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<TestCore["core"]["tasks"]["list"]>> = await tasks().list(
        test.owner,
        key,
        "master",
        {
          limit: 2,
          ...(cursor === null ? {} : { cursor }),
        },
      );
      seen.push(...page.items.map((task) => task.localId));
      cursor = page.nextCursor;
      if (seen.length === 4) {
        await add("A late one");
        const gone = await get("1");
        await tasks().delete(test.owner, gone.id, { version: gone.version });
      }
    } while (cursor !== null);
    expect(seen).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
    const even = await tasks().list(test.owner, key, "master", { label: "even", priority: ["high"] });
    expect(even.items.map((task) => task.localId)).toEqual(["3"]);
  });
});

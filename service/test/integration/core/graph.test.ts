import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
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
  key = `G${round}`;
  await test.core.projects.create(test.owner, { key, name: key });
});

const ref = (localId: string) => `${key}:master:${localId}`;
const add = (title: string, more = {}) =>
  test.core.tasks.create(test.owner, key, "master", { title, ...more });
const depend = (from: string, to: string) => test.core.dependencies.add(test.owner, ref(from), to);

describe("dependencies", () => {
  beforeEach(async () => {
    for (const title of ["One", "Two", "Three"]) await add(title);
  });

  it("are named by any reference, listed from both ends, and added once", async () => {
    await depend("2", "1");
    await depend("2", ref("1"));
    expect(await test.core.dependencies.list(test.owner, ref("2"))).toMatchObject({
      dependsOn: [{ localId: "1" }],
      dependents: [],
      quarantined: [],
    });
    expect(await test.core.dependencies.list(test.owner, ref("1"))).toMatchObject({
      dependents: [{ localId: "2" }],
    });
    expect((await test.core.tasks.get(test.owner, ref("2"))).version).toBe(2);
  });

  it("refuse a circle and name its whole path", async () => {
    await depend("2", "1");
    await depend("3", "2");
    await expect(depend("1", "3")).rejects.toMatchObject({
      code: "cycle",
      details: { path: ["1", "3", "2", "1"] },
    });
    await expect(depend("1", "1")).rejects.toMatchObject({ code: "cycle", details: { path: ["1"] } });
  });

  it("count the parent's wait for its subtasks", async () => {
    const part = await test.core.tasks.createSubtask(test.owner, ref("1"), { title: "Part" });
    await expect(depend("1.1", "1")).rejects.toMatchObject({
      code: "cycle",
      details: { path: ["1.1", "1", "1.1"] },
    });
    await depend("2", "1");
    await expect(depend("1.1", "2")).rejects.toMatchObject({
      code: "cycle",
      details: { path: ["1.1", "2", "1", "1.1"] },
    });
    expect(part.localId).toBe("1.1");
  });

  it("stay within a tag and are there to be removed", async () => {
    await test.core.tags.create(test.owner, key, { name: "later" });
    await test.core.tasks.create(test.owner, key, "later", { title: "Far" });
    await expect(depend("1", `${key}:later:1`)).rejects.toMatchObject({ code: "conflict" });
    await expect(test.core.dependencies.remove(test.owner, ref("1"), "2")).rejects.toMatchObject({
      code: "not_found",
    });
  });
});

describe("what can be done", () => {
  it("is said by ready, blocked, critical path and both ways of next, naming the tag", async () => {
    await add("Dig", { effort: 8, priority: "low" });
    await add("Paint", { priority: "critical" });
    await add("Build", { dependencies: ["1"], effort: 16 });
    const { graphs } = test.core;
    expect(await graphs.ready(test.owner, key, "master")).toMatchObject({
      tag: "master",
      tasks: [{ localId: "2" }, { localId: "1" }],
    });
    expect(await graphs.blocked(test.owner, key, "master")).toMatchObject({
      tasks: [{ localId: "3", waitsFor: [{ localId: "1" }] }],
    });
    expect(await graphs.criticalPath(test.owner, key, "master")).toMatchObject({
      effort: 24,
      tasks: [{ localId: "1" }, { localId: "3" }],
    });
    expect(await graphs.next(test.owner, key, "master", "compat")).toMatchObject({ task: { localId: "2" } });
    expect(await graphs.next(test.owner, key, "master", "smart")).toMatchObject({
      tag: "master",
      task: { localId: "1" },
      alternatives: ["2"],
    });
    expect(await graphs.graph(test.owner, key, "master")).toMatchObject({
      nodes: { length: 3 },
      edges: { length: 1 },
    });
  });

  it("hides from next what another holds, and not what the asker holds", async () => {
    await add("One");
    const agent = await test.addAgent("holder");
    await test.core.claims.claimNext(agent, key, "master", {});
    expect((await test.core.graphs.next(test.owner, key, "master", "compat")).task).toBeNull();
    expect((await test.core.graphs.next(agent, key, "master", "compat")).task?.localId).toBe("1");
  });
});

describe("quarantined edges", () => {
  const file = {
    master: {
      tasks: [
        { id: 1, title: "One", status: "pending", dependencies: [9] },
        { id: 2, title: "Two", status: "pending", dependencies: [3, 2] },
        { id: 3, title: "Three", status: "pending", dependencies: [2] },
      ],
    },
  };
  beforeEach(async () => {
    await test.core.importExport.import(test.owner, key, JSON.stringify(file, null, 2), {
      mode: "quarantine",
    });
  });

  it("are listed by validate with what is wrong; only compat mode is held back by them, as the file reads", async () => {
    const { valid, problems } = await test.core.dependencies.validate(test.owner, key, "master");
    expect(valid).toBe(false);
    expect(problems.map(({ task, raw, problem }) => [task.localId, raw, problem])).toEqual([
      ["1", "9", "missing"],
      ["2", "2", "self"],
      ["3", "2", "cycle"],
    ]);
    const ready = await test.core.graphs.ready(test.owner, key, "master");
    expect(ready.tasks.map((task) => task.localId)).toEqual(["1", "3"]);
    expect((await test.core.graphs.next(test.owner, key, "master", "compat")).task).toBeNull();
    expect((await test.core.graphs.next(test.owner, key, "master", "smart")).task?.localId).toBe("3");
  });

  it("are fixed: what can hold by now counts again, the rest goes, and validate is content", async () => {
    await test.core.dependencies.remove(test.owner, ref("2"), "3");
    const result = await test.core.dependencies.fix(test.owner, key, "master");
    expect(result.activated.map((edge) => edge.task.localId)).toEqual(["3"]);
    expect(result.removed.map((edge) => edge.problem)).toEqual(["missing", "self"]);
    expect((await test.core.tasks.get(test.owner, ref("3"))).dependencies).toEqual(["2"]);
    expect(await test.core.dependencies.validate(test.owner, key, "master")).toEqual({
      tag: "master",
      valid: true,
      problems: [],
    });
  });
});

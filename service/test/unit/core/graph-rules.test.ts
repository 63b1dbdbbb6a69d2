import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  blockedTasks,
  buildGraph,
  criticalPath,
  isReady,
  longestChains,
  rankSmart,
  readyTasks,
} from "../../../src/core/graph/rules.ts";
import type { EdgeRecord, GraphTask } from "../../../src/core/storage.ts";

function task(localId: string, more: Partial<GraphTask> = {}): GraphTask {
  const [own, sub] = localId.split(".");
  return {
    id: localId,
    localId,
    title: `Task ${localId}`,
    status: "pending",
    parent: sub === undefined ? null : (own ?? null),
    segment: sub ?? own ?? "",
    number: Number(sub ?? own),
    rank: `a${localId.padStart(5, "0")}`,
    priority: null,
    effort: null,
    holderId: null,
    ...more,
  };
}

/** "2>1" reads: 2 waits for 1. */
function edges(text: string): EdgeRecord[] {
  return text
    .split(" ")
    .filter((edge) => edge !== "")
    .map((edge) => {
      const [from = "", to = ""] = edge.split(">");
      return { from, to };
    });
}

const ids = (tasks: { localId: string }[]) => tasks.map((one) => one.localId);

describe("ready and blocked", () => {
  it("takes only done for complete: cancelled and review still block", () => {
    const waiting = [task("9", {}), task("8"), task("7")];
    const graph = buildGraph(
      [
        task("1", { status: "done" }),
        task("2", { status: "cancelled" }),
        task("3", { status: "review" }),
        ...waiting,
      ],
      edges("9>1 8>2 7>3"),
    );
    expect(ids(readyTasks(graph))).toEqual(["9"]);
    expect(blockedTasks(graph).map(({ task: one, waitsFor }) => [one.localId, ids(waitsFor)])).toEqual([
      ["8", ["2"]],
      ["7", ["3"]],
    ]);
  });

  it("holds a subtask back while its parent waits, and names what the parent waits for", () => {
    const graph = buildGraph([task("1"), task("2"), task("2.1")], edges("2>1"));
    expect(ids(readyTasks(graph))).toEqual(["1"]);
    expect(blockedTasks(graph).map(({ task: one, waitsFor }) => [one.localId, ids(waitsFor)])).toEqual([
      ["2", ["1"]],
      ["2.1", ["1"]],
    ]);
  });

  it("lets the subtasks of a task in progress go on, whatever that task waits for", () => {
    const graph = buildGraph([task("1"), task("2", { status: "in-progress" }), task("2.1")], edges("2>1"));
    expect(ids(readyTasks(graph))).toEqual(["1", "2.1"]);
  });

  it("orders by priority, inherited by subtasks, then by place", () => {
    const graph = buildGraph(
      [
        task("1", { priority: "low" }),
        task("2", { priority: "critical", status: "in-progress" }),
        task("2.1"),
        task("3"),
      ],
      [],
    );
    expect(ids(readyTasks(graph))).toEqual(["2.1", "3", "1"]);
  });

  it("leaves out what is held: the task, a subtask of a held task, a task with a held subtask", () => {
    const graph = buildGraph(
      [
        task("1", { holderId: "a" }),
        task("1.1"),
        task("2"),
        task("2.1", { holderId: "b", status: "in-progress" }),
        task("3"),
      ],
      [],
    );
    expect(ids(readyTasks(graph))).toEqual(["3"]);
  });
});

describe("critical path", () => {
  it("adds efforts along the longest chain and counts a missing effort as one hour", () => {
    const graph = buildGraph(
      [task("1", { effort: 8 }), task("2"), task("3", { effort: 2 }), task("4")],
      edges("2>1 4>3 4>2"),
    );
    expect(criticalPath(graph)).toMatchObject({
      effort: 10,
      tasks: [{ localId: "1" }, { localId: "2" }, { localId: "4" }],
    });
  });

  it("leaves closed work out", () => {
    const graph = buildGraph([task("1", { effort: 8, status: "done" }), task("2")], edges("2>1"));
    expect(criticalPath(graph)).toMatchObject({ effort: 1, tasks: [{ localId: "2" }] });
  });

  it("counts the work of a task with subtasks once, through these", () => {
    const graph = buildGraph(
      [
        task("1", { effort: 100 }),
        task("1.1", { effort: 3 }),
        task("1.2", { effort: 4 }),
        task("2", { effort: 5 }),
      ],
      edges("1.2>1.1 2>1"),
    );
    expect(criticalPath(graph)).toMatchObject({
      effort: 12,
      tasks: [{ localId: "1.1" }, { localId: "1.2" }, { localId: "1" }, { localId: "2" }],
    });
  });

  it("ends, and counts each once, where a task also names its own subtasks as dependencies", () => {
    const graph = buildGraph(
      [task("1"), task("1.1", { effort: 2 }), task("1.2", { effort: 3 })],
      edges("1>1.1 1>1.2"),
    );
    expect(criticalPath(graph)).toMatchObject({ effort: 3, tasks: [{ localId: "1.2" }, { localId: "1" }] });
  });

  it("is empty for a tag without open tasks", () => {
    expect(criticalPath(buildGraph([task("1", { status: "done" })], []))).toEqual({ effort: 0, tasks: [] });
  });

  it("does not overflow on a chain of 100,000 tasks", () => {
    const tasks = Array.from({ length: 100_000 }, (_, i) => task(String(i + 1)));
    const chain = tasks.slice(1).map((one, i) => ({ from: one.id, to: String(i + 1) }));
    expect(criticalPath(buildGraph(tasks, chain)).effort).toBe(100_000);
  });

  it("agrees with the longest path found by trying all (random acyclic graphs)", () => {
    const graphs = fc.integer({ min: 1, max: 9 }).chain((n) =>
      fc.record({
        efforts: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: n, maxLength: n }),
        closed: fc.array(fc.boolean(), { minLength: n, maxLength: n }),
        pairs: fc.array(fc.tuple(fc.nat(n - 1), fc.nat(n - 1)), { maxLength: 20 }),
      }),
    );
    fc.assert(
      fc.property(graphs, ({ efforts, closed, pairs }) => {
        const tasks = efforts.map((effort, i) =>
          task(String(i), { effort, status: closed[i] ? "done" : "pending" }),
        );
        const list = pairs.filter(([a, b]) => a > b).map(([a, b]) => ({ from: String(a), to: String(b) }));
        const longest = (i: number): number => {
          if (closed[i]) return 0;
          const next = list.filter((edge) => edge.to === String(i)).map((edge) => longest(Number(edge.from)));
          return (efforts[i] ?? 0) + Math.max(0, ...next);
        };
        const chains = longestChains(buildGraph(tasks, list));
        for (const [i, one] of tasks.entries()) {
          if (!closed[i]) expect(chains.get(one.id)?.effort).toBe(longest(i));
        }
      }),
    );
  });
});

describe("smart mode", () => {
  it("puts what the longest chain hangs on before what is merely urgent, and says why", () => {
    const graph = buildGraph(
      [task("1", { priority: "critical" }), task("2", { priority: "low" }), task("3", { effort: 20 })],
      edges("3>2"),
    );
    const [first, second] = rankSmart(graph, "me");
    expect([first?.task.localId, second?.task.localId]).toEqual(["2", "1"]);
    expect(first?.reasons).toEqual([
      "The longest chain of open work that begins with it takes 21 h.",
      "Its priority is low.",
      "1 open task(s) wait for it.",
    ]);
  });

  it("works on a task with open subtasks through them, and keeps the caller's own claims in sight", () => {
    const graph = buildGraph(
      [task("1", { holderId: "me", status: "in-progress" }), task("1.1"), task("2")],
      [],
    );
    expect(ids(rankSmart(graph, "me").map(({ task: one }) => one))).toEqual(["1.1", "2"]);
    expect(ids(rankSmart(graph, "you").map(({ task: one }) => one))).toEqual(["2"]);
  });

  it("names only ready work (random graphs)", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(7), fc.nat(7)), { maxLength: 15 }), (pairs) => {
        const tasks = Array.from({ length: 8 }, (_, i) =>
          task(String(i), { status: i % 3 === 0 ? "done" : "pending" }),
        );
        const list = pairs.filter(([a, b]) => a > b).map(([a, b]) => ({ from: String(a), to: String(b) }));
        const graph = buildGraph(tasks, list);
        for (const { task: one } of rankSmart(graph, null)) expect(isReady(graph, one)).toBe(true);
      }),
    );
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findCycles } from "../../../src/core/import-export/cycles.ts";

type Edge = { from: number; to: number };

/** The rule said plainly: an edge stays out when its target reaches its source over what was accepted before. */
function findCyclesPlainly(parents: (number | null)[], edges: Edge[]): number[] {
  const steps: Edge[] = parents.flatMap((parent, task) =>
    parent === null ? [] : [{ from: parent, to: task }],
  );
  return edges.flatMap((edge, index) => {
    const reached = new Set([edge.to]);
    for (let size = 0; size !== reached.size; ) {
      size = reached.size;
      for (const step of steps) if (reached.has(step.from)) reached.add(step.to);
    }
    if (reached.has(edge.from)) return [index];
    steps.push(edge);
    return [];
  });
}

describe("findCycles", { timeout: 60_000 }, () => {
  it("lets the first edges of a cycle stand and names the way back", () => {
    const edges = [
      { from: 0, to: 1 },
      { from: 1, to: 2 },
      { from: 2, to: 0 },
    ];
    expect([...findCycles([null, null, null], edges)]).toEqual([[2, [0, 1, 2]]]);
  });

  it("counts the step from a task to its subtasks", () => {
    expect([...findCycles([null, 0], [{ from: 1, to: 0 }])]).toEqual([[0, [0, 1]]]);
    expect([...findCycles([null, 0], [{ from: 0, to: 1 }])]).toEqual([]);
  });

  it("does what the plain rule does", () => {
    const graph = fc.integer({ min: 1, max: 12 }).chain((count) =>
      fc.record({
        parents: fc
          .tuple(...Array.from({ length: count }, (_, task) => fc.option(fc.nat(task))))
          .map((parents) =>
            // Depth 1: a task with a parent is nobody's parent.
            parents.map((parent, task) =>
              parent === null || parent === task || parents[parent] !== null ? null : parent,
            ),
          ),
        edges: fc.array(fc.record({ from: fc.nat(count - 1), to: fc.nat(count - 1) }), { maxLength: 40 }),
      }),
    );
    fc.assert(
      fc.property(graph, ({ parents, edges }) => {
        const proper = edges.filter((edge) => edge.from !== edge.to);
        expect([...findCycles(parents, proper).keys()]).toEqual(findCyclesPlainly(parents, proper));
      }),
      { numRuns: 1000 },
    );
  });

  it("does not recurse along a chain and does not search what lies on no cycle", () => {
    const count = 200_000;
    const parents = Array.from({ length: count }, () => null);
    const chain = Array.from({ length: count - 1 }, (_, index) => ({ from: index, to: index + 1 }));
    expect(findCycles(parents, chain).size).toBe(0);
    expect(findCycles(parents, [...chain, { from: count - 1, to: 0 }]).get(count - 1)).toHaveLength(count);
  });

  it("gives up the rest of a cyclic group that would take hours, and leaves no cycle", () => {
    const count = 20_000;
    const parents = Array.from({ length: count }, () => null);
    const chain = Array.from({ length: count - 1 }, (_, index) => ({ from: index, to: index + 1 }));
    const back = Array.from({ length: count }, (_, index) => ({ from: count - 1, to: index % (count - 1) }));
    const closing = findCycles(parents, [...chain, ...back]);
    expect(closing.size).toBe(count);
    expect([...closing.values()].filter((path) => path === null).length).toBeGreaterThan(0);
  });
});

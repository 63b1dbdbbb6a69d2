/** The steps that searches may take before the remaining edges of a cyclic group are given up together. */
const MAX_STEPS = 20_000_000;

/**
 * Finds the edges that would close a cycle when all are added in their order, on top of the steps from each task to
 * its subtasks (a task is not complete before they are).
 *
 * Takes the tasks' parents and the edges as indexes into them; gives, for each edge that must stay out, the shortest
 * path from its `to` back to its `from`. Linear in the size of the file but for the groups of tasks that lie on
 * cycles, where each edge is searched for by itself; past MAX_STEPS the rest of those edges stay out with a null
 * path, so that a file made for it cannot hold the process.
 */
export function findCycles(
  parents: readonly (number | null)[],
  edges: readonly { from: number; to: number }[],
): Map<number, number[] | null> {
  const all = parents.map((): number[] => []);
  parents.forEach((parent, task) => {
    if (parent !== null) {
      all[parent]?.push(task);
    }
  });
  // Copied before the edges join: the searches walk over the parent steps and the edges accepted so far.
  const accepted = all.map((steps) => [...steps]);
  for (const edge of edges) {
    all[edge.from]?.push(edge.to);
  }
  const group = findGroups(all);

  const closing = new Map<number, number[] | null>();
  const seenFrom = new Int32Array(parents.length);
  const seenAt = new Int32Array(parents.length).fill(-1);
  let steps = 0;

  const search = (from: number, to: number, mark: number): number[] | undefined => {
    const queue = [from];
    seenAt[from] = mark;
    seenFrom[from] = -1;
    for (let head = 0; head < queue.length; head += 1) {
      const task = queue[head] ?? 0;
      if (task === to) {
        const path = [];
        for (let step = task; step !== -1; step = seenFrom[step] ?? -1) {
          path.push(step);
        }
        return path.reverse();
      }
      for (const next of accepted[task] ?? []) {
        steps += 1;
        if (seenAt[next] !== mark && group[next] === group[from]) {
          seenAt[next] = mark;
          seenFrom[next] = task;
          queue.push(next);
        }
      }
    }
    return undefined;
  };

  edges.forEach((edge, index) => {
    if (group[edge.from] !== group[edge.to]) {
      return;
    }
    const path = steps > MAX_STEPS ? null : search(edge.to, edge.from, index);
    if (path === undefined) {
      accepted[edge.from]?.push(edge.to);
    } else {
      closing.set(index, path);
    }
  });
  return closing;
}

/** Numbers each task's strongly connected component (Tarjan's algorithm, without recursion). */
function findGroups(next: readonly (readonly number[])[]): Int32Array {
  const group = new Int32Array(next.length).fill(-1);
  const order = new Int32Array(next.length).fill(-1);
  const low = new Int32Array(next.length);
  const waiting: number[] = [];
  const calls: { task: number; at: number }[] = [];
  let visited = 0;
  let groups = 0;

  const enter = (task: number): void => {
    order[task] = visited;
    low[task] = visited;
    visited += 1;
    waiting.push(task);
    calls.push({ task, at: 0 });
  };

  for (let start = 0; start < next.length; start += 1) {
    if (order[start] === -1) {
      enter(start);
    }
    for (let call = calls.at(-1); call !== undefined; call = calls.at(-1)) {
      const { task } = call;
      const target = next[task]?.[call.at];
      call.at += 1;
      if (target !== undefined) {
        if (order[target] === -1) {
          enter(target);
        } else if (group[target] === -1) {
          low[task] = Math.min(low[task] ?? 0, order[target] ?? 0);
        }
        continue;
      }
      calls.pop();
      const caller = calls.at(-1);
      if (caller !== undefined) {
        low[caller.task] = Math.min(low[caller.task] ?? 0, low[task] ?? 0);
      }
      if (low[task] === order[task]) {
        let member: number | undefined;
        do {
          member = waiting.pop();
          group[member ?? task] = groups;
        } while (member !== undefined && member !== task);
        groups += 1;
      }
    }
  }
  return group;
}

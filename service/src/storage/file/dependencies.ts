import { AppError } from "../../core/errors.ts";
import type { DependencyRecord, DependencyStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import type { DependencyRow, Reading, TaskRow } from "./model.ts";
import { byRank, byTask, plain, summaryOf } from "./rows.ts";

export function createDependencyStore(db: Db, organizationId: string): DependencyStore {
  const own = (edge: { organizationId: string }): boolean => edge.organizationId === organizationId;

  const at = (rows: Reading, index: "tag" | "task" | "target", id: string): DependencyRow[] =>
    rows.dependencies.where(index, id).filter(own).sort(byTask);

  const record = (rows: Reading, { organizationId: _, ...edge }: DependencyRow): DependencyRecord[] => {
    const task = rows.tasks.get(edge.taskId);
    return task === undefined ? [] : [{ ...edge, task: summaryOf(rows, task) }];
  };

  const tasksOf = (rows: Reading, ids: (string | null)[]): TaskRow[] =>
    ids.flatMap((id) => (id === null ? [] : (rows.tasks.get(id) ?? [])));

  return {
    insert: async (edges) =>
      await db.write(({ rows }) => {
        for (const edge of edges) {
          const task = rows.tasks.get(edge.taskId);
          if (task === undefined || !own(task) || task.tagId !== edge.tagId) {
            throw new AppError("conflict", "A task of the dependency is gone.");
          }
          const { id, tagId, taskId, dependsOnId, position, raw, problem } = edge;
          rows.dependencies.put(
            plain({ id, organizationId, tagId, taskId, dependsOnId, position, raw, problem }),
          );
        }
      }),

    delete: async (taskId, dependsOnId) =>
      await db.write(({ rows }) => {
        const edge = at(rows, "task", taskId).find((one) => one.dependsOnId === dependsOnId);
        if (edge !== undefined) rows.dependencies.remove(edge.id);
        return edge !== undefined;
      }),

    deleteById: async (ids) =>
      await db.write(({ rows }) => {
        for (const id of ids) {
          const edge = rows.dependencies.get(id);
          if (edge !== undefined && own(edge)) rows.dependencies.remove(id);
        }
      }),

    listAt: async (taskIds) =>
      await db.read((rows) => {
        const edges = taskIds.flatMap((id) => [...at(rows, "task", id), ...at(rows, "target", id)]);
        return [...new Map(edges.map((edge) => [edge.id, edge])).values()]
          .sort(byTask)
          .flatMap(({ taskId, dependsOnId }) =>
            dependsOnId === null ? [] : [{ from: taskId, to: dependsOnId }],
          );
      }),

    dependsOn: async (taskId) =>
      await db.read((rows) =>
        tasksOf(
          rows,
          at(rows, "task", taskId).map(({ dependsOnId }) => dependsOnId),
        ).map((task) => summaryOf(rows, task)),
      ),

    dependents: async (taskId) =>
      await db.read((rows) =>
        tasksOf(
          rows,
          at(rows, "target", taskId).map((edge) => edge.taskId),
        )
          .sort(byRank)
          .map((task) => summaryOf(rows, task)),
      ),

    listAll: async (tagId) =>
      await db.read((rows) => at(rows, "tag", tagId).flatMap((edge) => record(rows, edge))),

    quarantined: async (where) =>
      await db.read((rows) => {
        const edges = "tagId" in where ? at(rows, "tag", where.tagId) : at(rows, "task", where.taskId);
        return edges.filter(({ problem }) => problem !== null).flatMap((edge) => record(rows, edge));
      }),

    path: async (tagId, from, to) =>
      await db.read((rows) => {
        if (from === to) return [from];
        const next = (id: string): string[] => {
          const task = rows.tasks.get(id);
          if (task === undefined || !own(task) || task.tagId !== tagId) return [];
          const waitedFor = at(rows, "task", id).flatMap(({ dependsOnId }) => dependsOnId ?? []);
          return [...waitedFor, ...rows.tasks.where("parent", id).map((subtask) => subtask.id)];
        };
        return shortest(next, from, to);
      }),

    nextPosition: async (taskId) =>
      await db.read((rows) => Math.max(-1, ...at(rows, "task", taskId).map(({ position }) => position)) + 1),
  };
}

/** The path with the fewest steps: the one that tells a caller most plainly why an edge is refused. */
function shortest(next: (id: string) => string[], from: string, to: string): string[] | undefined {
  const cameFrom = new Map<string, string>();
  const queue = [from];
  for (const node of queue) {
    if (node === to) break;
    for (const target of next(node)) {
      if (target === from || cameFrom.has(target)) continue;
      cameFrom.set(target, node);
      queue.push(target);
    }
  }
  if (!cameFrom.has(to)) return undefined;
  const path = [to];
  for (let node = cameFrom.get(to); node !== undefined; node = cameFrom.get(node)) path.unshift(node);
  return path;
}

import type { CandidateQuery } from "../../core/storage.ts";
import { type DependencyRow, pair, type Reading, type TaskRow } from "./model.ts";
import { compare, liveClaim } from "./rows.ts";

/** The tasks of a tag that the query lets through, in its order. */
export function findCandidates(rows: Reading, tasks: TaskRow[], query: CandidateQuery): string[] {
  const parentOf = (task: TaskRow) => (task.parentId === null ? undefined : rows.tasks.get(task.parentId));

  const isComplete = (task: TaskRow): boolean => {
    const parent = parentOf(task);
    return (
      query.completeStatuses.includes(task.status) &&
      (parent === undefined || query.completeParentStatuses.includes(parent.status))
    );
  };

  /** The task that a quarantined reference names: a bare one in a subtask is a sibling's. */
  const named = (task: TaskRow, raw: string): TaskRow[] => {
    const reference = raw.replace(/^"+|"+$/g, "");
    const parent = parentOf(task);
    const localId = parent === undefined || raw.includes(".") ? reference : `${parent.segment}.${reference}`;
    const whole = rows.tasks.where("place", pair(task.tagId, null, localId));
    const dot = localId.indexOf(".");
    if (dot === -1) return whole;
    const [holder] = rows.tasks.where("place", pair(task.tagId, null, localId.slice(0, dot)));
    const inside = holder && rows.tasks.where("place", pair(task.tagId, holder.id, localId.slice(dot + 1)));
    return [...whole, ...(inside ?? [])];
  };

  const holdsBack = (task: TaskRow, edge: DependencyRow): boolean => {
    if (edge.dependsOnId === null) {
      return query.quarantinedEdgesHold && !named(task, edge.raw ?? "").some(isComplete);
    }
    const target = rows.tasks.get(edge.dependsOnId);
    if (target === undefined) return false;
    const counts = target.parentId !== null || task.parentId === null || query.subtasksWaitForTasks;
    return !(isComplete(target) && counts);
  };

  const isHeld = (taskId: string, byAnybody = false): boolean => {
    const claim = liveClaim(rows, taskId);
    return claim !== undefined && (byAnybody || claim.holder.id !== query.holderId);
  };

  const isCandidate = (task: TaskRow): boolean =>
    (query.level === "task") === (task.parentId === null) &&
    query.statuses.includes(task.status) &&
    (query.parentStatuses === undefined ||
      query.parentStatuses.some((one) => one === parentOf(task)?.status)) &&
    !rows.dependencies.where("task", task.id).some((edge) => holdsBack(task, edge)) &&
    !isHeld(task.id, query.unclaimed) &&
    !(task.parentId !== null && isHeld(task.parentId)) &&
    !rows.tasks.where("parent", task.id).some(({ id }) => isHeld(id, query.unclaimed));

  const keyed = tasks.filter(isCandidate).map((task) => {
    const parent = parentOf(task);
    const urgency = query.priorities.indexOf(task.priority ?? parent?.priority ?? query.defaultPriority);
    const edges = rows.dependencies
      .where("task", task.id)
      .filter(({ dependsOnId }) => dependsOnId !== null || query.quarantinedEdgesHold);
    const place = [
      parent?.number ?? Infinity,
      parent?.rank ?? "",
      task.number ?? Infinity,
      task.rank,
      task.id,
    ];
    return { id: task.id, key: [urgency === -1 ? Infinity : urgency, edges.length, ...place] };
  });
  return keyed
    .sort((a, b) => compareKeys(a.key, b.key))
    .slice(0, query.limit)
    .map(({ id }) => id);
}

function compareKeys(a: (string | number)[], b: (string | number)[]): number {
  for (const [index, part] of a.entries()) {
    const order = compare(part, b[index] ?? part);
    if (order !== 0) return order;
  }
  return 0;
}

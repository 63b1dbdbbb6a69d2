import { record } from "../change.ts";
import type { Context } from "../context.ts";
import type { JsonObject, Status } from "../schema.ts";
import type { TaskRecord, Transaction } from "../storage.ts";

/** Only these count as complete for whoever waits: a cancelled or reviewed task has delivered nothing yet. */
export const completeStatuses: readonly Status[] = ["done"];
/** What can be worked on. */
export const workableStatuses: readonly Status[] = ["pending", "in-progress"];
/** What nobody has to do any more. */
export const closedStatuses: readonly Status[] = ["done", "cancelled"];

/** What a task's status becomes when one of its subtasks changes; undefined leaves it as it is. */
export function parentStatus(subtasks: readonly Status[]): Status | undefined {
  if (subtasks.length === 0) return undefined;
  if (subtasks.every((status) => status === "done")) return "done";
  if (subtasks.some((status) => status === "in-progress" || status === "done")) return "in-progress";
  if (subtasks.every((status) => status === "pending")) return "pending";
  return undefined;
}

/**
 * Sets a status as part of a claim's life, whatever the task's version, with its event, and recomputes the parent.
 * The caller holds the lock on the task's family.
 */
export async function setStatus(
  tx: Transaction,
  ctx: Pick<Context, "actor" | "requestId">,
  task: TaskRecord,
  status: Status,
  cause: JsonObject,
): Promise<TaskRecord> {
  if (task.status === status) return task;
  const after = await tx.tasks.update(task.id, { status }, null);
  if (after === undefined) return task;
  await recordUpdate(tx, ctx, task, after, { status: [task.status, status] }, cause);
  await recomputeParent(tx, ctx, after);
  return after;
}

/** The parent follows its subtasks. The caller holds the lock on the family, or two subtasks would not see each other. */
export async function recomputeParent(
  tx: Transaction,
  ctx: Pick<Context, "actor" | "requestId">,
  subtask: TaskRecord,
): Promise<void> {
  if (subtask.parent === null) return;
  const parent = await tx.tasks.find({ id: subtask.parent });
  const status = parentStatus(await tx.tasks.subtaskStatuses(subtask.parent));
  if (parent === undefined || status === undefined || status === parent.status) return;
  const after = await tx.tasks.update(parent.id, { status }, null);
  if (after === undefined) return;
  await recordUpdate(
    tx,
    ctx,
    parent,
    after,
    { status: [parent.status, status] },
    { subtask: subtask.localId },
  );
}

export async function recordUpdate(
  tx: Transaction,
  ctx: Pick<Context, "actor" | "requestId">,
  before: TaskRecord,
  after: TaskRecord,
  changes: Record<string, [unknown, unknown]>,
  cause: JsonObject = {},
): Promise<void> {
  await record(
    tx,
    ctx,
    "task.updated",
    { projectId: after.projectId, taskId: after.id },
    {
      tag: after.tag,
      localId: after.localId,
      ...cause,
      changes: {
        ...changes,
        version: [before.version, after.version],
        updatedAt: [before.updatedAt, after.updatedAt],
      },
    },
  );
}

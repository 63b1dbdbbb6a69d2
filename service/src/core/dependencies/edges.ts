import { changesOf, record } from "../change.ts";
import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import type { EventType } from "../events/schema.ts";
import { newId } from "../ids.ts";
import type { JsonObject } from "../schema.ts";
import type { TaskRecord, Transaction } from "../storage.ts";
import type { Task } from "../tasks/schema.ts";

/**
 * Makes `task` wait for `other`; gives the task as it then is, unchanged when it waits already. The caller holds the
 * lock on the tag's graph: without it, two opposite edges could each be checked before the other is there.
 */
export async function addEdge(
  tx: Transaction,
  ctx: Context,
  task: TaskRecord,
  other: TaskRecord,
): Promise<TaskRecord> {
  if (task.id === other.id) {
    throw new AppError("cycle", `Task ${task.localId} cannot wait for itself.`, {
      details: { path: [task.localId] },
    });
  }
  if (task.tagId !== other.tagId) {
    throw new AppError(
      "conflict",
      `Task ${task.localId} is in tag ${task.tag} and ${other.localId} in tag ${other.tag}; a dependency stays within one tag.`,
    );
  }
  if (task.dependencies.includes(other.localId)) return task;
  await refuseCycle(tx, task, other);
  await tx.dependencies.insert([
    {
      id: newId(),
      tagId: task.tagId,
      taskId: task.id,
      dependsOnId: other.id,
      position: await tx.dependencies.nextPosition(task.id),
      raw: null,
      problem: null,
    },
  ]);
  return recordEdges(tx, ctx, "dependency.added", task, { dependsOn: other.localId });
}

/** Not found when `task` does not wait for `other`. The caller holds the lock on the tag's graph. */
export async function removeEdge(
  tx: Transaction,
  ctx: Context,
  task: TaskRecord,
  other: TaskRecord,
): Promise<TaskRecord> {
  if (!(await tx.dependencies.delete(task.id, other.id))) {
    throw new AppError("not_found", `Task ${task.localId} does not wait for ${other.localId}.`);
  }
  return recordEdges(tx, ctx, "dependency.removed", task, { dependsOn: other.localId });
}

/** A task's edges are a part of what it shows, so its version grows with them. */
export async function recordEdges(
  tx: Transaction,
  ctx: Context,
  type: Extract<EventType, `dependency.${string}`>,
  before: TaskRecord,
  cause: JsonObject,
): Promise<TaskRecord> {
  const after = await tx.tasks.update(before.id, {}, null);
  if (after === undefined) return before;
  const { dependencies, version, updatedAt } = after;
  await record(
    tx,
    ctx,
    type,
    { projectId: after.projectId, taskId: after.id },
    {
      tag: after.tag,
      localId: after.localId,
      ...cause,
      changes: changesOf<Task>(before, { dependencies, version, updatedAt }),
    },
  );
  return after;
}

/** Refuses an edge, or a place under a parent, that would make `waiting` wait for itself; names the whole path. */
export async function refuseCycle(
  tx: Transaction,
  waiting: TaskRecord,
  waitedFor: TaskRecord,
): Promise<void> {
  const path = await tx.dependencies.path(waiting.tagId, waitedFor.id, waiting.id);
  if (path === undefined) return;
  const names = new Map((await tx.tasks.lock(path)).map((task) => [task.id, task.localId]));
  const localIds = [waiting.localId, ...path.map((id) => names.get(id) ?? id)];
  throw new AppError(
    "cycle",
    `That would close a cycle: ${localIds.join(" → ")}. Each waits for the next; take one of these edges away first.`,
    { details: { path: localIds } },
  );
}

import { AppError, notFound } from "./errors.ts";
import { isUuid } from "./ids.ts";
import type {
  ProjectRecord,
  Repositories,
  TagRecord,
  TaskLocator,
  TaskRecord,
  Transaction,
} from "./storage.ts";
import { findUnstorable } from "./text.ts";

/** A UUID, KEY:tag:localId (a tag's name may hold colons, a key and a local id cannot), or a bare local id of `within`. */
export function parseReference(
  reference: string,
  within?: { project: string; tag: string },
): TaskLocator | undefined {
  if (findUnstorable(reference).length > 0) return undefined;
  if (isUuid(reference)) return { id: reference.toLowerCase() };
  const first = reference.indexOf(":");
  const last = reference.lastIndexOf(":");
  if (first > 0 && last > first + 1 && last < reference.length - 1) {
    return {
      project: reference.slice(0, first),
      tag: reference.slice(first + 1, last),
      localId: reference.slice(last + 1),
    };
  }
  if (within !== undefined && first === -1) return { ...within, localId: reference };
  return undefined;
}

export async function getTask(
  tx: Repositories,
  reference: string,
  within?: { project: string; tag: string },
): Promise<TaskRecord> {
  const locator = parseReference(reference, within);
  const task = locator && (await tx.tasks.find(locator));
  if (task === undefined) throw taskNotFound(reference);
  return task;
}

/** The task, read behind the lock on its tag's graph. */
export async function getTaskLocked(tx: Transaction, reference: string): Promise<TaskRecord> {
  const found = await getTask(tx, reference);
  await tx.tags.lockGraphs([found.tagId]);
  const task = await getTask(tx, found.id);
  requireTag(task, found.tagId);
  return task;
}

/** Refuses a task that left the tag while the lock on it was waited for: its new tag's graph is not locked. */
export function requireTag(task: TaskRecord, lockedTagId: string): void {
  if (task.tagId !== lockedTagId) {
    throw new AppError(
      "conflict",
      `Task ${task.localId} was moved to the tag ${task.tag} meanwhile; read it again.`,
    );
  }
}

export function taskNotFound(reference: string): AppError {
  const form = parseReference(reference) === undefined ? " A reference is a UUID or KEY:tag:localId." : "";
  return new AppError("not_found", `There is no task ${JSON.stringify(reference)} that you can read.${form}`);
}

export async function getProject(tx: Repositories, key: string): Promise<ProjectRecord> {
  const project = findUnstorable(key).length > 0 ? undefined : await tx.projects.find(key);
  if (project === undefined) throw notFound("project", key);
  return project;
}

export async function getTag(tx: Repositories, key: string, name: string): Promise<TagRecord> {
  const tag = findUnstorable([key, name]).length > 0 ? undefined : await tx.tags.find(key, name);
  if (tag !== undefined) return tag;
  // Which of the two is not there.
  await getProject(tx, key);
  throw notFound("tag", name);
}

/** A row named by its UUID; anything else names nothing. */
export async function getById<T>(
  what: string,
  id: string,
  find: (id: string) => Promise<T | undefined>,
): Promise<T> {
  const row = isUuid(id) ? await find(id.toLowerCase()) : undefined;
  if (row === undefined) throw notFound(what, id);
  return row;
}

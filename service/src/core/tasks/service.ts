import { generateKeyBetween } from "fractional-indexing";
import { change, changesOf, record, type Services, versionMismatch } from "../change.ts";
import { claimedBy, guardClaim } from "../claims/guard.ts";
import type { Context } from "../context.ts";
import { addEdge, recordEdges, refuseCycle, removeEdge } from "../dependencies/edges.ts";
import { AppError, invalidInput, notFound } from "../errors.ts";
import { isUuid, newId } from "../ids.ts";
import { getProject, getTag, getTask, getTaskLocked, requireTag, taskNotFound } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import type { Repositories, TagPlace, TaskChange, TaskFilter, TaskRecord, Transaction } from "../storage.ts";
import { readInstant, takeBack } from "./as-of.ts";
import { mergePatch } from "./merge.ts";
import type {
  Batch,
  BatchOperation,
  BatchResult,
  NewTask,
  Task,
  TaskListQuery,
  TaskMove,
  TaskPatch,
} from "./schema.ts";
import { recomputeParent, recordUpdate } from "./status.ts";
import { toTask } from "./wire.ts";

/** The state that a write was decided on. */
export interface Precondition {
  /** The version that the caller has seen; refused with version_mismatch when the task has another. */
  version: number;
  /** The fence of the caller's claim: needed to change status, place or existence of a claimed task. */
  fence?: number;
}

/** `reference` is everywhere a UUID or KEY:tag:localId. */
export interface Tasks {
  list(ctx: Context, project: string, tag: string, query: TaskListQuery): Promise<Page<Task>>;
  listSubtasks(ctx: Context, reference: string, page: PageRequest): Promise<Page<Task>>;
  /** As it is, or as it was at the instant `asOf` (RFC 3339); not found when it did not exist then. */
  get(ctx: Context, reference: string, asOf?: string): Promise<Task>;
  create(ctx: Context, project: string, tag: string, input: NewTask): Promise<Task>;
  createSubtask(ctx: Context, parent: string, input: NewTask): Promise<Task>;
  /** RFC 7396. A subtask's new status also recomputes its parent's. */
  update(ctx: Context, reference: string, patch: TaskPatch, precondition: Precondition): Promise<Task>;
  /** With its subtasks; edges from other tasks to it go too, and are named in the event. */
  delete(ctx: Context, reference: string, precondition: Precondition): Promise<void>;
  /** To another tag, under another parent, or among its siblings. */
  move(ctx: Context, reference: string, input: TaskMove, precondition: Precondition): Promise<Task>;
  /** All or nothing, in one transaction. */
  batch(ctx: Context, project: string, tag: string, input: Batch): Promise<BatchResult>;
  /** Full-text search over a project, best first. */
  search(ctx: Context, project: string, query: PageRequest & { q: string }): Promise<Page<Task>>;
}

export function createTasks(services: Services): Tasks {
  return {
    async list(ctx, key, name, query) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const tag = await getTag(tx, key, name);
      const { limit: _l, cursor: _c, ...wanted } = query;
      const filter: TaskFilter = {
        ...(wanted.status === undefined ? {} : { statuses: wanted.status }),
        ...(wanted.priority === undefined ? {} : { priorities: wanted.priority }),
        ...(wanted.assignee === undefined ? {} : { assignee: wanted.assignee }),
        ...(wanted.label === undefined ? {} : { label: wanted.label }),
        ...(wanted.level === undefined ? {} : { level: wanted.level }),
      };
      const errors = ["assignee", "label"].filter((field) =>
        /\0/.test(String(Reflect.get(wanted, field) ?? "")),
      );
      if (errors.length > 0) throw invalidInput(`/${errors[0]}`, "The text holds a NUL character.");
      const place = { project: key, tag: name, tagId: tag.id };
      return listPage(tx, place, filter, query, `tasks ${tag.id} ${JSON.stringify(wanted)}`);
    },

    async listSubtasks(ctx, reference, page) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const parent = await getTask(tx, reference);
      return listPage(tx, parent, { parentId: parent.id }, page, `subtasks ${parent.id}`);
    },

    async get(ctx, reference, asOf) {
      authorize(ctx, "project:read");
      if (asOf === undefined)
        return toTask(await getTask(services.storage.reader(ctx.organizationId), reference));
      const instant = readInstant(asOf);
      return services.storage.snapshot(ctx.organizationId, async (tx) => {
        const task = isUuid(reference)
          ? await tx.tasks.find({ id: reference.toLowerCase() })
          : await getTask(tx, reference);
        const id = task?.id ?? reference.toLowerCase();
        const then = takeBack(task && toTask(task), await tx.events.since(id, instant), instant);
        if (then === undefined) {
          throw new AppError(
            "not_found",
            `There was no task ${JSON.stringify(reference)} at ${asOf} that you can read.`,
          );
        }
        return then;
      });
    },

    async create(ctx, key, name, input) {
      authorize(ctx, "task:write");
      return change(services, ctx, { operation: "task.create", input: { key, name, input } }, async (tx) => {
        const tag = await getTag(tx, key, name);
        return toTask(
          await createIn(tx, ctx, { project: key, tag: name, tagId: tag.id, parent: null }, input),
        );
      });
    },

    async createSubtask(ctx, reference, input) {
      authorize(ctx, "task:write");
      return change(
        services,
        ctx,
        { operation: "task.createSubtask", input: { reference, input } },
        async (tx) => {
          const parent = await getTask(tx, reference);
          return toTask(await createIn(tx, ctx, { ...parent, parent: parent.id }, input));
        },
      );
    },

    async update(ctx, reference, patch, precondition) {
      authorize(ctx, "task:write");
      const input = { reference, patch, precondition };
      return change(services, ctx, { operation: "task.update", input }, async (tx) =>
        toTask(await updateIn(tx, ctx, await getTask(tx, reference), patch, precondition)),
      );
    },

    async delete(ctx, reference, precondition) {
      authorize(ctx, "task:write");
      await change(
        services,
        ctx,
        { operation: "task.delete", input: { reference, precondition } },
        async (tx) => {
          await deleteIn(tx, ctx, await getTask(tx, reference), precondition);
        },
      );
    },

    async move(ctx, reference, input, precondition) {
      authorize(ctx, "task:write");
      return change(
        services,
        ctx,
        { operation: "task.move", input: { reference, input, precondition } },
        async (tx) => toTask(await moveIn(tx, ctx, reference, input, precondition)),
      );
    },

    async batch(ctx, key, name, input) {
      authorize(ctx, "task:write");
      return change(services, ctx, { operation: "task.batch", input: { key, name, input } }, async (tx) => {
        const tag = await getTag(tx, key, name);
        await tx.tags.lockGraphs([tag.id]);
        const made = new Map<string, string>();
        const results: (Task | null)[] = [];
        for (const [index, operation] of input.operations.entries()) {
          try {
            results.push(
              await runOperation(tx, ctx, { project: key, tag: name, tagId: tag.id }, operation, made),
            );
          } catch (error) {
            throw error instanceof AppError ? atOperation(error, index) : error;
          }
        }
        return { results };
      });
    },

    async search(ctx, key, query) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const project = await getProject(tx, key);
      if (query.q.includes("\0") || !query.q.isWellFormed()) {
        throw invalidInput("/q", "The text to search for holds a character that no task can hold.");
      }
      const list = `search ${project.id} ${query.q}`;
      const keyset = openPage(list, query, ["score", "uuid"]);
      const rows = await tx.tasks.search(project.id, query.q, keyset);
      const page = closePage(list, keyset, rows, (row) => [String(row.score), row.task.id]);
      return { items: page.items.map((row) => toTask(row.task)), nextCursor: page.nextCursor };
    },
  };
}

async function listPage(
  tx: Repositories,
  of: TagPlace,
  filter: TaskFilter,
  request: PageRequest,
  list: string,
): Promise<Page<Task>> {
  const keyset = openPage(list, request, ["text", "uuid"]);
  return closePage(list, keyset, await tx.tasks.list(of, filter, keyset), (task) => [task.rank, task.id]);
}

export interface Place extends TagPlace {
  parent: string | null;
}

/** Locks the tag's graph. */
export async function createIn(
  tx: Transaction,
  ctx: Context,
  place: Place,
  input: NewTask,
): Promise<TaskRecord> {
  const { tagId } = place;
  // All of it behind the lock. The parent may have become a subtask, or have gone, while this waited.
  const [[tag], parent, number, lastRank] = await Promise.all([
    tx.tags.lockGraphs([tagId]),
    place.parent === null ? null : getTask(tx, place.parent),
    place.parent === null ? tx.tags.takeNumbers(tagId, 1) : tx.tasks.takeSubtaskNumber(place.parent),
    tx.tasks.neighbourRank(tagId, place.parent, null, "before"),
  ]);
  if (tag === undefined) throw notFound("tag", place.tag);
  if (parent !== null) {
    requireTag(parent, tag.id);
    requireTopLevel(parent);
  }
  const { dependencies = [], ...fields } = input;
  const id = newId();
  const made = tx.tasks.insert([
    {
      description: "",
      details: "",
      testStrategy: "",
      status: "pending",
      priority: null,
      assignee: null,
      effort: null,
      actualEffort: null,
      labels: [],
      complexity: null,
      metadata: {},
      extra: {},
      ...fields,
      id,
      projectId: tag.projectId,
      tagId: tag.id,
      parentId: parent?.id ?? null,
      segment: String(number),
      number,
      rank: generateKeyBetween(lastRank, null),
      source: null,
      nextLocalNumber: 1,
    },
  ]);
  const told = record(
    tx,
    ctx,
    "task.created",
    { projectId: tag.projectId, taskId: id },
    {
      tag: tag.name,
      localId: parent === null ? String(number) : `${parent.localId}.${number}`,
      title: input.title,
      status: input.status ?? "pending",
    },
  );
  const [, , task] = await Promise.all([made, told, getTask(tx, id)]);
  return addDependencies(tx, ctx, task, dependencies);
}

async function addDependencies(
  tx: Transaction,
  ctx: Context,
  task: TaskRecord,
  references: string[],
): Promise<TaskRecord> {
  let current = task;
  for (const [index, reference] of references.entries()) {
    try {
      const target = await getTask(tx, reference, { project: task.project, tag: task.tag });
      current = await addEdge(tx, ctx, current, target);
    } catch (error) {
      // The task's address is good; what is wrong is the body, so the answer must point there.
      if (!(error instanceof AppError) || error.code !== "not_found") throw error;
      throw invalidInput(`/dependencies/${index}`, error.message);
    }
  }
  return current;
}

function requireTopLevel(task: TaskRecord): void {
  if (task.parent !== null) {
    throw new AppError(
      "conflict",
      `Task ${task.localId} is a subtask itself, and a subtask has no subtasks.`,
    );
  }
}

export async function updateIn(
  tx: Transaction,
  ctx: Context,
  before: TaskRecord,
  patch: TaskPatch,
  precondition: Precondition,
): Promise<TaskRecord> {
  if (before.version !== precondition.version)
    throw versionMismatch("task", precondition.version, before.version);
  const wanted: TaskPatch = {
    ...patch,
    ...(patch.metadata && { metadata: mergePatch(before.metadata, patch.metadata) }),
    ...(patch.extra && { extra: mergePatch(before.extra, patch.extra) }),
    ...(patch.complexity && { complexity: { ...before.complexity, ...patch.complexity } }),
  };
  const changes = changesOf<Task>(before, wanted as Partial<Task>);
  // Words may be changed by anybody at any time; a status only by the holder. A fence that is shown is checked always.
  if (changes.status !== undefined || precondition.fence !== undefined) {
    await guardClaim(tx, ctx, before, precondition.fence);
  }
  if (Object.keys(changes).length === 0) return before;
  const change = Object.fromEntries(Object.entries(changes).map(([field, [, after]]) => [field, after]));
  const after = await tx.tasks.update(before.id, change as TaskChange, precondition.version);
  if (after === undefined) throw await stale(tx, before, precondition.version);
  await recordUpdate(tx, ctx, before, after, changes);
  if (changes.status !== undefined) await recomputeParent(tx, ctx, after);
  return after;
}

async function stale(tx: Transaction, task: TaskRecord, version: number): Promise<AppError> {
  const now = await tx.tasks.find({ id: task.id });
  return now === undefined ? taskNotFound(task.id) : versionMismatch("task", version, now.version);
}

/** Locks the tag's graph. */
export async function deleteIn(
  tx: Transaction,
  ctx: Context,
  found: TaskRecord,
  precondition: Precondition,
): Promise<void> {
  const task = await getTaskLocked(tx, found.id);
  if (task.version !== precondition.version)
    throw versionMismatch("task", precondition.version, task.version);
  await guardClaim(tx, ctx, task, precondition.fence, true);
  const subtasks = await allSubtasks(tx, task);
  const family = new Set([task.id, ...subtasks.map((subtask) => subtask.id)]);
  const edges = await tx.dependencies.listAt([...family]);
  const waiting = edges
    .filter((edge) => family.has(edge.to) && !family.has(edge.from))
    .map((edge) => edge.from);
  const dependents = await tx.tasks.lock([...new Set(waiting)]);
  if (!(await tx.tasks.delete(task.id, precondition.version)))
    throw await stale(tx, task, precondition.version);
  for (const dependent of dependents) {
    await recordEdges(tx, ctx, "dependency.removed", dependent, {
      cause: `task ${task.localId} was deleted`,
    });
  }
  await tx.events.append(
    [...subtasks, task].map((gone) => ({
      type: "task.deleted",
      projectId: task.projectId,
      taskId: gone.id,
      actor: ctx.actor,
      requestId: ctx.requestId,
      data: { tag: gone.tag, localId: gone.localId, task: toTask(gone) },
    })),
  );
}

async function allSubtasks(tx: Repositories, task: TaskRecord): Promise<TaskRecord[]> {
  return task.parent === null ? tx.tasks.subtasks(task.id) : [];
}

async function moveIn(
  tx: Transaction,
  ctx: Context,
  reference: string,
  input: TaskMove,
  precondition: Precondition,
): Promise<TaskRecord> {
  if (input.before !== undefined && input.after !== undefined) {
    throw invalidInput("/after", "Give either before or after, not both.");
  }
  const found = await getTask(tx, reference);
  const to = input.tag === undefined ? undefined : await getTag(tx, found.project, input.tag);
  const [...tags] = await tx.tags.lockGraphs([...new Set([found.tagId, to?.id ?? found.tagId])]);
  const task = await getTask(tx, found.id);
  requireTag(task, found.tagId);
  const target = tags.find((tag) => tag.id === (to?.id ?? task.tagId));
  if (target === undefined) throw notFound("tag", input.tag ?? task.tag);
  if (task.version !== precondition.version)
    throw versionMismatch("task", precondition.version, task.version);
  await guardClaim(tx, ctx, task, precondition.fence, true);

  const parentId = await parentAfterMove(tx, task, input, target.id, target.name);
  if (parentId !== null && parentId !== task.parent) await refuseTwoHolders(tx, task, parentId);
  const subtasks = await allSubtasks(tx, task);
  if (target.id !== task.tagId) await refuseCutEdges(tx, task, subtasks);
  const renumbered = target.id !== task.tagId || parentId !== task.parent;
  const change: TaskChange = {
    rank: await rankAfterMove(tx, task, input, {
      project: task.project,
      tag: target.name,
      tagId: target.id,
      parentId,
    }),
  };
  // As they are while they still name the task's old local id. A move to another tag has none.
  const dependents: TaskRecord[] = [];
  if (renumbered) {
    for (const { id } of await tx.dependencies.dependents(task.id)) dependents.push(await getTask(tx, id));
    const number =
      parentId === null
        ? await tx.tags.takeNumbers(target.id, 1)
        : await tx.tasks.takeSubtaskNumber(parentId);
    Object.assign(change, { tagId: target.id, parentId, number, segment: String(number) });
  }
  const after = await tx.tasks.update(task.id, change, precondition.version);
  if (after === undefined) throw await stale(tx, task, precondition.version);
  await recordMove(tx, ctx, task, after);
  if (target.id !== task.tagId) {
    // They went along, and show another tag and local id now: who has seen them before must look again.
    for (const before of subtasks) {
      const moved = await tx.tasks.update(before.id, {}, null);
      if (moved !== undefined) await recordMove(tx, ctx, before, moved);
    }
  } else if (renumbered) {
    for (const before of dependents) await recordRenumbering(tx, ctx, before, task.localId);
  }
  return after;
}

async function parentAfterMove(
  tx: Transaction,
  task: TaskRecord,
  input: TaskMove,
  tagId: string,
  tag: string,
): Promise<string | null> {
  if (input.parent === undefined) return tagId === task.tagId ? task.parent : null;
  if (input.parent === null) return null;
  const parent = await getTask(tx, input.parent, { project: task.project, tag });
  if (parent.id === task.id) throw new AppError("cycle", `Task ${task.localId} cannot be its own subtask.`);
  if (parent.tagId !== tagId) {
    throw new AppError(
      "conflict",
      `Task ${parent.localId} is in tag ${parent.tag}; name that tag in the move as well.`,
    );
  }
  if (parent.id === task.parent) return parent.id;
  requireTopLevel(parent);
  if ((await tx.tasks.subtaskStatuses(task.id)).length > 0) {
    throw new AppError("conflict", `Task ${task.localId} has subtasks, so it cannot become one.`);
  }
  // The parent waits for its subtasks, so the new place is an edge like any other.
  await refuseCycle(tx, parent, task);
  return parent.id;
}

/**
 * A claim covers the task with its subtasks, so a task with a holder cannot come under a parent that has another one.
 * Behind the new parent's lock, so that no claim is made on it in between.
 */
async function refuseTwoHolders(tx: Transaction, task: TaskRecord, parentId: string): Promise<void> {
  await tx.claims.lockFamily(parentId, true);
  const live = (await tx.claims.liveAround(parentId)).filter((claim) => !claim.expired);
  const held = (await tx.claims.liveAround(task.id)).find(
    (claim) => !claim.expired && claim.task === task.id,
  );
  const other = live.find((claim) => claim.task === parentId && claim.holder.id !== held?.holder.id);
  if (held !== undefined && other !== undefined) throw claimedBy(other);
}

/** Dependencies do not cross tags, and silently dropping them would make tasks ready that are not. */
async function refuseCutEdges(tx: Transaction, task: TaskRecord, subtasks: TaskRecord[]): Promise<void> {
  const family = new Set([task.id, ...subtasks.map((subtask) => subtask.id)]);
  const cut = (await tx.dependencies.listAt([...family])).filter(
    (edge) => !family.has(edge.from) || !family.has(edge.to),
  );
  if (cut.length === 0) return;
  const names = new Map(
    (await tx.tasks.lock([...new Set(cut.flatMap((edge) => [edge.from, edge.to]))])).map((row) => [
      row.id,
      row.localId,
    ]),
  );
  const edges = cut.map((edge) => `${names.get(edge.from)} → ${names.get(edge.to)}`);
  throw new AppError(
    "conflict",
    `The move would cut dependencies, which stay within one tag: ${edges.join(", ")}. Take them away first.`,
    { details: { edges } },
  );
}

async function rankAfterMove(
  tx: Transaction,
  task: TaskRecord,
  input: TaskMove,
  to: { project: string; tag: string; tagId: string; parentId: string | null },
): Promise<string> {
  const reference = input.before ?? input.after;
  if (reference === undefined) {
    if (to.tagId === task.tagId && to.parentId === task.parent) return task.rank;
    return generateKeyBetween(await tx.tasks.neighbourRank(to.tagId, to.parentId, null, "before"), null);
  }
  const pointer = input.before === undefined ? "/after" : "/before";
  const sibling = await getTask(tx, reference, to);
  if (sibling.id === task.id && to.tagId === task.tagId && to.parentId === task.parent) return task.rank;
  if (sibling.tagId !== to.tagId || sibling.parent !== to.parentId) {
    throw invalidInput(
      pointer,
      `Task ${sibling.localId} is not a sibling at the place that the task moves to.`,
    );
  }
  const side = input.before === undefined ? "after" : "before";
  const beyond = await tx.tasks.neighbourRank(to.tagId, to.parentId, sibling.rank, side);
  return side === "before"
    ? generateKeyBetween(beyond, sibling.rank)
    : generateKeyBetween(sibling.rank, beyond);
}

async function recordMove(
  tx: Transaction,
  ctx: Context,
  before: TaskRecord,
  after: TaskRecord,
): Promise<void> {
  const { tag, parent, localId, rank, dependencies, version, updatedAt } = after;
  const now = { tag, parent, localId, rank, dependencies, version, updatedAt };
  const changes = changesOf<Task>(toTask(before), now);
  await record(
    tx,
    ctx,
    "task.moved",
    { projectId: after.projectId, taskId: after.id },
    { tag, localId, changes },
  );
}

/** A task shows the local ids of what it waits for, so it has changed when one of them has. */
async function recordRenumbering(
  tx: Transaction,
  ctx: Context,
  before: TaskRecord,
  renumbered: string,
): Promise<void> {
  const after = await tx.tasks.update(before.id, {}, null);
  if (after === undefined) return;
  const changes = changesOf<Task>(before, { dependencies: after.dependencies });
  await recordUpdate(tx, ctx, before, after, changes, { cause: `task ${renumbered} was moved` });
}

async function runOperation(
  tx: Transaction,
  ctx: Context,
  place: { project: string; tag: string; tagId: string },
  operation: BatchOperation,
  made: Map<string, string>,
): Promise<Task | null> {
  const resolve = (reference: string): string => {
    if (!reference.startsWith("#")) return reference;
    const id = made.get(reference.slice(1));
    if (id === undefined)
      throw invalidInput("", `No earlier operation of the batch has the name ${reference.slice(1)}.`);
    return id;
  };
  const get = async (reference: string): Promise<TaskRecord> => {
    const task = await getTask(tx, resolve(reference), place);
    // The lock that the batch holds is on its own tag's graph only.
    if (task.tagId !== place.tagId)
      throw invalidInput("", `Task ${reference} is not in the tag ${place.tag}, which the batch changes.`);
    return task;
  };
  switch (operation.op) {
    case "create": {
      const parent = operation.parent === undefined ? null : (await get(operation.parent)).id;
      const dependencies = (operation.task.dependencies ?? []).map(resolve);
      const task = await createIn(tx, ctx, { ...place, parent }, { ...operation.task, dependencies });
      if (operation.name !== undefined) made.set(operation.name, task.id);
      return toTask(task);
    }
    case "update":
      return toTask(
        await updateIn(tx, ctx, await get(operation.task), operation.patch, { version: operation.version }),
      );
    case "delete":
      await deleteIn(tx, ctx, await get(operation.task), { version: operation.version });
      return null;
    case "depend":
      return toTask(await addEdge(tx, ctx, await get(operation.task), await get(operation.dependsOn)));
    case "undepend":
      return toTask(await removeEdge(tx, ctx, await get(operation.task), await get(operation.dependsOn)));
  }
}

/** The same refusal, pointing into the batch. */
function atOperation(error: AppError, index: number): AppError {
  const prefix = `/operations/${index}`;
  const errors =
    error.errors.length === 0
      ? [{ pointer: prefix, detail: error.message }]
      : error.errors.map((one) => ({ pointer: `${prefix}${one.pointer}`, detail: one.detail }));
  return new AppError(error.code, `Operation ${index} of the batch: ${error.message}`, {
    errors,
    details: { ...error.details, operation: index },
    cause: error,
  });
}

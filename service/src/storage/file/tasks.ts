import { AppError, notFound } from "../../core/errors.ts";
import { isUuid } from "../../core/ids.ts";
import type { TaskFilter, TaskInsert, TaskLocator, TaskRecord, TaskStore } from "../../core/storage.ts";
import { toTask } from "../../core/tasks/wire.ts";
import { findCandidates } from "./candidates.ts";
import type { Db, Tx } from "./engine.ts";
import { pair, type Reading, type TaskRow, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { byRank, byTask, compare, liveClaim, localIdOf, plain, removeTask } from "./rows.ts";
import { searchTasks } from "./search.ts";

/** The row as core knows it. */
export function taskRecord(rows: Reading, row: TaskRow): TaskRecord {
  const { organizationId: _, parentId, ...values } = row;
  const claim = liveClaim(rows, row.id);
  return {
    ...values,
    project: rows.projects.get(row.projectId)?.key ?? "",
    tag: rows.tags.get(row.tagId)?.name ?? "",
    parent: parentId,
    localId: localIdOf(rows, row),
    dependencies: dependenciesOf(rows, row.id),
    claim:
      claim === undefined
        ? null
        : { id: claim.id, holder: claim.holder, fence: claim.fence, expiresAt: claim.expiresAt },
  };
}

function dependenciesOf(rows: Reading, taskId: string): string[] {
  return rows.dependencies
    .where("task", taskId)
    .sort((a, b) => a.position - b.position || compare(a.id, b.id))
    .flatMap(({ dependsOnId }) => {
      const target = dependsOnId === null ? undefined : rows.tasks.get(dependsOnId);
      return target === undefined ? [] : [localIdOf(rows, target)];
    });
}

export function createTaskStore(db: Db, organizationId: string): TaskStore {
  const { own, getLocked } = owned(organizationId);
  const inTag = (rows: Reading, tagId: string): TaskRow[] =>
    rows.tasks.where("tag", tagId).filter((row) => row.organizationId === organizationId);

  return {
    find: async (locator) =>
      await db.read((rows) => {
        const row = own(locate(rows, locator, organizationId));
        return row && taskRecord(rows, row);
      }),

    list: async ({ tagId }, filter, { limit, after }) =>
      await db.read((rows) => {
        const [rank, id] = (after ?? []).map(String);
        return inTag(rows, tagId)
          .filter((row) => isWanted(row, filter))
          .filter((row) => after === undefined || byRank(row, { rank: rank ?? "", id: id ?? "" }) > 0)
          .sort(byRank)
          .slice(0, limit + 1)
          .map((row) => toTask(taskRecord(rows, row)));
      }),

    subtasks: async (parentId) =>
      await db.read((rows) =>
        rows.tasks
          .where("parent", parentId)
          .filter((row) => own(row) !== undefined)
          .sort(byRank)
          .map((row) => taskRecord(rows, row)),
      ),

    listAll: async (tagId) =>
      await db.read((rows) =>
        inTag(rows, tagId)
          .sort(tasksFirst)
          .map((row) => taskRecord(rows, row)),
      ),

    search: async (projectId, text, { limit, after }) =>
      await db.read((rows) => {
        const all = rows.tasks.where("project", projectId).filter((row) => own(row) !== undefined);
        const [score, id] = after ?? [];
        return searchTasks(all, text)
          .filter((hit) => {
            const behind = Number(score) - hit.score || compare(hit.task.id, String(id));
            return after === undefined || behind > 0;
          })
          .slice(0, limit + 1)
          .map((hit) => ({ task: taskRecord(rows, hit.task), score: hit.score }));
      }),

    insert: async (tasks) =>
      await db.write(async ({ rows, lock }) => {
        const inserted = new Set(tasks.map(({ id }) => id));
        // A parent that becomes a subtask meanwhile is waited for.
        for (const parentId of new Set(tasks.flatMap((task) => task.parentId ?? []))) {
          if (!inserted.has(parentId)) await lock("tasks", parentId);
        }
        const now = timestamp();
        for (const task of tasks) {
          const tag = rows.tags.get(task.tagId);
          if (tag?.organizationId !== organizationId || tag.projectId !== task.projectId) throw tagGone();
          rows.tasks.put(taskRow(task, organizationId, now));
        }
      }),

    update: async (id, change, version) =>
      await db.write(async (tx) => {
        if (own(tx.rows.tasks.get(id)) === undefined) return undefined;
        if (change.parentId !== undefined && change.parentId !== null)
          await tx.lock("tasks", change.parentId);
        const row = await getLocked(tx, "tasks", id);
        if (row === undefined || (version !== null && row.version !== version)) return undefined;
        const after: TaskRow = {
          ...row,
          ...plain(change),
          version: row.version + 1,
          // Another than before, or two changes within a millisecond could not be told apart by an `asOf`.
          updatedAt: timestamp(Math.max(Date.now(), Date.parse(row.updatedAt) + 1)),
        };
        tx.rows.tasks.put(after);
        if (after.tagId !== row.tagId) follow(tx, after);
        return taskRecord(tx.rows, after);
      }),

    delete: async (id, version) =>
      await db.write(async (tx) => {
        const row = await getLocked(tx, "tasks", id);
        if (row === undefined || (version !== null && row.version !== version)) return false;
        for (const subtask of tx.rows.tasks.where("parent", id)) await tx.lock("tasks", subtask.id);
        removeTask(tx.rows, id);
        return true;
      }),

    takeSubtaskNumber: async (parentId) =>
      await db.write(async (tx) => {
        const row = await getLocked(tx, "tasks", parentId);
        if (row === undefined) throw notFound("task", parentId);
        tx.rows.tasks.put({ ...row, nextLocalNumber: row.nextLocalNumber + 1 });
        return row.nextLocalNumber;
      }),

    lock: async (ids) =>
      await db.write(async (tx) => {
        const found = [...new Set(ids)].flatMap((id) => own(tx.rows.tasks.get(id)) ?? []);
        for (const { id } of found.sort(parentsFirst)) await tx.lock("tasks", id);
        return [...new Set(ids)]
          .flatMap((id) => own(tx.rows.tasks.get(id)) ?? [])
          .sort(parentsFirst)
          .map((row) => taskRecord(tx.rows, row));
      }),

    subtaskStatuses: async (parentId) =>
      await db.read((rows) =>
        rows.tasks
          .where("parent", parentId)
          .filter((row) => own(row) !== undefined)
          .sort(byRank)
          .map(({ status }) => status),
      ),

    neighbourRank: async (tagId, parentId, rank, side) =>
      await db.read((rows) => {
        const ranks = inTag(rows, tagId)
          .filter((row) => row.parentId === parentId)
          .map((row) => row.rank)
          .sort(compare);
        if (side === "before") return ranks.findLast((one) => rank === null || one < rank) ?? null;
        return ranks.find((one) => rank !== null && one > rank) ?? null;
      }),

    graph: async (tagId) =>
      await db.read((rows) => {
        const tasks = inTag(rows, tagId).sort(tasksFirst);
        return {
          tasks: tasks.map(({ id, title, status, parentId, segment, number, rank, priority, effort }) => ({
            ...{ id, title, status, parent: parentId, segment, number, rank, priority, effort },
            localId: localIdOf(rows, rows.tasks.get(id) ?? never()),
            holderId: liveClaim(rows, id)?.holder.id ?? null,
          })),
          edges: rows.dependencies
            .where("tag", tagId)
            .filter((edge) => edge.organizationId === organizationId)
            .sort(byTask)
            .flatMap(({ taskId, dependsOnId }) =>
              dependsOnId === null ? [] : [{ from: taskId, to: dependsOnId }],
            ),
        };
      }),

    candidates: async (query) =>
      await db.read((rows) => findCandidates(rows, inTag(rows, query.tagId), query)),
  };
}

function never(): never {
  throw new Error("a row is gone that was just read");
}

function tagGone(): AppError {
  return new AppError("conflict", "The tag is gone.");
}

function taskRow(task: TaskInsert, organizationId: string, now: string): TaskRow {
  const { title, description, details, testStrategy, status, priority, assignee, effort, actualEffort } =
    task;
  const { id, projectId, tagId, parentId, segment, number, rank, nextLocalNumber } = task;
  const { labels, complexity, metadata, extra, source } = task;
  return {
    ...{ id, organizationId, projectId, tagId, parentId, segment, number, rank, nextLocalNumber },
    ...{ title, description, details, testStrategy, status, priority, assignee, effort, actualEffort },
    ...plain({ labels, complexity, metadata, extra, source }),
    ...{ fence: 0, version: 1, createdAt: now, updatedAt: now },
  };
}

/** A task's subtasks, and the edges among them, go with it to another tag. */
function follow({ rows }: Tx, task: TaskRow): void {
  const family = [task, ...rows.tasks.where("parent", task.id)];
  for (const member of family) {
    rows.tasks.put({ ...member, tagId: task.tagId });
    for (const edge of rows.dependencies.where("task", member.id)) {
      rows.dependencies.put({ ...edge, tagId: task.tagId });
    }
  }
}

/** A slug may hold dots itself; a task goes before a subtask of the same local id, always the same one. */
function locate(rows: Reading, locator: TaskLocator, organizationId: string): TaskRow | undefined {
  if ("id" in locator) return isUuid(locator.id) ? rows.tasks.get(locator.id) : undefined;
  const [project] = rows.projects.where("key", pair(organizationId, locator.project));
  const [tag] = project === undefined ? [] : rows.tags.where("name", pair(project.id, locator.tag));
  if (tag === undefined) return undefined;
  const at = (parentId: string | null, segment: string) =>
    rows.tasks.where("place", pair(tag.id, parentId, segment))[0];
  const task = at(null, locator.localId);
  if (task !== undefined) return task;
  const parts = locator.localId.split(".");
  for (let cut = 1; cut < parts.length; cut += 1) {
    const parent = at(null, parts.slice(0, cut).join("."));
    const subtask = parent && at(parent.id, parts.slice(cut).join("."));
    if (subtask !== undefined) return subtask;
  }
  return undefined;
}

function isWanted(row: TaskRow, filter: TaskFilter): boolean {
  const { statuses, priorities, assignee, label, level, parentId } = filter;
  return (
    (statuses === undefined || statuses.includes(row.status)) &&
    (priorities === undefined || (row.priority !== null && priorities.includes(row.priority))) &&
    (assignee === undefined || row.assignee === assignee) &&
    (label === undefined || row.labels.includes(label)) &&
    (level === undefined || (level === "task") === (row.parentId === null)) &&
    (parentId === undefined || row.parentId === parentId)
  );
}

function tasksFirst(a: TaskRow, b: TaskRow): number {
  return Number(a.parentId !== null) - Number(b.parentId !== null) || byRank(a, b);
}

function parentsFirst(a: TaskRow, b: TaskRow): number {
  return Number(a.parentId !== null) - Number(b.parentId !== null) || compare(a.id, b.id);
}

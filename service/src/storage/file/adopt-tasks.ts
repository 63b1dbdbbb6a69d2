import { generateKeyBetween, generateNKeysBetween } from "fractional-indexing";
import { changesOf } from "../../core/change.ts";
import type { EventType } from "../../core/events/schema.ts";
import { newId } from "../../core/ids.ts";
import type { PlannedEdge, PlannedTag, PlannedTask } from "../../core/import-export/plan.ts";
import { isSame } from "../../core/json.ts";
import type { JsonObject } from "../../core/schema.ts";
import type { TaskRecord, TaskValues } from "../../core/storage.ts";
import type { Task } from "../../core/tasks/schema.ts";
import { toTask } from "../../core/tasks/wire.ts";
import type { DependencyRow, Draft, ProjectRow, TagRow, TaskRow } from "./model.ts";
import { plain, removeTask } from "./rows.ts";
import { taskRecord } from "./tasks.ts";

/** A file on its way into the rows. */
export interface Adoption {
  rows: Draft;
  project: ProjectRow;
  now: string;
  /** Tasks that have changed, as they were before; undefined for a new one. */
  touched: Map<string, TaskRecord | undefined>;
  record(type: EventType, taskId: string | null, data: JsonObject): void;
}

type Tasks = Pick<PlannedTag, "tasks" | "edges">;

/** The tasks of a tag: as the file said them, which are the `known` ones in that order, and as it says them now. */
export function applyTasks(
  adoption: Adoption,
  tag: TagRow,
  was: Tasks,
  known: TaskRow[],
  planned: Tasks,
): void {
  const { rows } = adoption;
  if (was.tasks.length !== known.length) throw new Error("the written tasks are not the stored ones");
  const before = new Map(
    was.tasks.map((task, index) => [localId(was.tasks, task), { task, row: known[index] }]),
  );
  const names = new Set(planned.tasks.map((task) => localId(planned.tasks, task)));
  const edited = editedEdges(was, planned);
  // Before anything goes, or what waited for it would seem to have waited for nothing.
  for (const [name, { row }] of before) if (row !== undefined && edited.has(name)) touch(adoption, row);
  const leaving = [...before].filter(([name]) => !names.has(name)).flatMap(([, { row }]) => row ?? []);
  // All records first: a task that goes takes its subtasks along.
  const records = leaving.map((row) => taskRecord(rows, row));
  for (const record of records) {
    const { tag: name, localId } = record;
    adoption.record("task.deleted", record.id, { tag: name, localId, task: toTask(record) });
  }
  for (const row of leaving) removeTask(rows, row.id);

  const ids: string[] = [];
  const ranks = rankAll(planned.tasks, before);
  planned.tasks.forEach((task, index) => {
    const parentId = task.parent === null ? null : (ids[task.parent] ?? null);
    const found = before.get(localId(planned.tasks, task));
    const rank = ranks.get(index) ?? "";
    const row =
      found?.row === undefined
        ? insertTask(adoption, tag, task, parentId, rank)
        : updateTask(adoption, found.row, found.task, task, rank);
    ids.push(row.id);
  });
  const edges = Map.groupBy(planned.edges, ({ from }) => from);
  const written = Map.groupBy(was.edges, ({ from }) => from);
  const placeOf = new Map(known.map((row, index) => [row.id, index]));
  planned.tasks.forEach((task, index) => {
    const id = ids[index];
    if (id === undefined || !edited.has(localId(planned.tasks, task))) return;
    const before = written.get(placeOf.get(id) ?? -1)?.length ?? 0;
    replaceEdges(rows, tag, id, edges.get(index) ?? [], ids, before);
  });
}

function localId(tasks: readonly PlannedTask[], task: PlannedTask): string {
  const parent = task.parent === null ? undefined : tasks[task.parent];
  return parent === undefined ? task.segment : `${parent.segment}.${task.segment}`;
}

function valuesOf(task: TaskValues): TaskValues {
  const { title, description, details, testStrategy, status, priority, assignee } = task;
  const { effort, actualEffort, labels, complexity, metadata, extra } = task;
  const texts = { title, description, details, testStrategy, status, priority, assignee };
  return { ...texts, effort, actualEffort, labels, complexity, metadata, extra };
}

function insertTask(
  adoption: Adoption,
  tag: TagRow,
  task: PlannedTask,
  parentId: string | null,
  rank: string,
): TaskRow {
  const { rows, now, touched } = adoption;
  const { segment, number, source, nextLocalNumber } = task;
  const place = { organizationId: tag.organizationId, projectId: tag.projectId, tagId: tag.id, parentId };
  const row: TaskRow = {
    id: newId(),
    ...place,
    ...plain({ ...valuesOf(task), segment, number, source, nextLocalNumber }),
    rank,
    fence: 0,
    version: 1,
    createdAt: now,
    updatedAt: now,
  };
  rows.tasks.put(row);
  touched.set(row.id, undefined);
  return row;
}

function updateTask(
  adoption: Adoption,
  row: TaskRow,
  was: PlannedTask,
  task: PlannedTask,
  rank: string,
): TaskRow {
  const { rows } = adoption;
  const edited = !isSame(valuesOf(was), valuesOf(task));
  const nextLocalNumber = Math.max(row.nextLocalNumber, task.nextLocalNumber);
  const after: TaskRow = {
    ...row,
    // All of them: a field that the file says in another form than the row is as the file says it from now on.
    ...(edited ? plain(valuesOf(task)) : {}),
    ...(edited || !isSame(was.source, task.source) ? { source: plain(task.source) } : {}),
    // What quarantine has numbered can come to another number, when somebody else takes the one it had.
    segment: task.segment,
    number: task.number,
    rank,
    nextLocalNumber,
  };
  if (edited || rank !== row.rank || task.segment !== row.segment) touch(adoption, row);
  if (!isSame(row, after)) rows.tasks.put(after);
  return after;
}

/** Before its first change: what it was. */
function touch({ rows, touched }: Adoption, row: TaskRow): void {
  if (!touched.has(row.id)) touched.set(row.id, taskRecord(rows, row));
}

/** A rank for each task by its index: the one it has, as long as those of its siblings rise in the file's order. */
function rankAll(
  tasks: readonly PlannedTask[],
  before: ReadonlyMap<string, { row: TaskRow | undefined }>,
): Map<number, string> {
  const ranks = new Map<number, string>();
  const rankOf = (index: number): string | undefined => {
    const task = tasks[index];
    return task === undefined ? undefined : before.get(localId(tasks, task))?.row?.rank;
  };
  for (const siblings of Map.groupBy(tasks.keys(), (index) => tasks[index]?.parent ?? null).values()) {
    const had = siblings.map(rankOf);
    const present = had.flatMap((rank) => rank ?? []);
    const rising = present.every((rank, place) => place === 0 || (present[place - 1] ?? "") < rank);
    const fresh = rising && present.length > 0 ? [] : generateNKeysBetween(null, null, siblings.length);
    let last: string | null = null;
    siblings.forEach((index, place) => {
      const behind = () => had.slice(place).find((rank) => rank !== undefined) ?? null;
      const rank: string = fresh[place] ?? had[place] ?? generateKeyBetween(last, behind());
      ranks.set(index, rank);
      last = rank;
    });
  }
  return ranks;
}

// ---- dependencies

/** The local ids of the tasks whose references are others than before, or mean something else. */
function editedEdges(was: Tasks, planned: Tasks): Set<string> {
  const sayings = ({ tasks, edges }: Tasks): Map<string, unknown[]> => {
    const nameOf = (index: number | null) => {
      const task = index === null ? undefined : tasks[index];
      return task === undefined ? null : localId(tasks, task);
    };
    const said = new Map<string, unknown[]>();
    for (const { from, to, raw, problem } of edges) {
      const name = nameOf(from) ?? "";
      said.set(name, [...(said.get(name) ?? []), [nameOf(to), raw, problem]]);
    }
    return said;
  };
  const [before, after] = [sayings(was), sayings(planned)];
  const names = [...before.keys(), ...after.keys()];
  return new Set(names.filter((name) => !isSame(before.get(name) ?? [], after.get(name) ?? [])));
}

/**
 * The edges of the file in the place of those that it had, which keep their ids where they are the same; behind them
 * those that the file could not say.
 */
function replaceEdges(
  rows: Draft,
  tag: TagRow,
  taskId: string,
  edges: PlannedEdge[],
  ids: string[],
  written: number,
): void {
  const old = rows.dependencies.where("task", taskId).sort((a, b) => a.position - b.position);
  for (const edge of old) rows.dependencies.remove(edge.id);
  const target = ({ to }: PlannedEdge) => (to === null ? null : (ids[to] ?? null));
  const kept =
    written < old.length ? old.filter((edge) => edge.dependsOnId !== null && isUnsayable(rows, edge)) : [];
  const named = edges.map((edge): Omit<DependencyRow, "id" | "organizationId" | "tagId" | "taskId"> => {
    return { dependsOnId: target(edge), position: edge.position, raw: edge.raw, problem: edge.problem };
  });
  const more = kept.filter((edge) => !named.some(({ dependsOnId }) => dependsOnId === edge.dependsOnId));
  [...named, ...more].forEach((edge, position) => {
    const same = old.find((one) => one.dependsOnId === edge.dependsOnId && one.raw === edge.raw);
    const { dependsOnId, raw, problem } = edge;
    const id = same?.id ?? newId();
    const place = { organizationId: tag.organizationId, tagId: tag.id, taskId };
    rows.dependencies.put({ id, ...place, dependsOnId, position, raw, problem });
  });
}

/** A subtask's edge to a task whose id a sibling has as well: a bare id would mean the sibling. */
function isUnsayable(rows: Draft, edge: DependencyRow): boolean {
  const [task, target] = [rows.tasks.get(edge.taskId), rows.tasks.get(edge.dependsOnId ?? "")];
  if (task?.parentId == null || target === undefined || target.parentId !== null) return false;
  return rows.tasks.where("parent", task.parentId).some(({ segment }) => segment === target.segment);
}

/** The event of a task that was touched, and its new version. */
export function recordTask(adoption: Adoption, id: string, was: TaskRecord | undefined): void {
  const { rows, now } = adoption;
  const row = rows.tasks.get(id);
  if (row === undefined) return;
  const task = toTask(taskRecord(rows, row));
  const { tag, localId, title, status } = task;
  if (was === undefined) {
    adoption.record("task.created", id, { tag, localId, title, status });
    return;
  }
  rows.tasks.put({ ...row, version: row.version + 1, updatedAt: now });
  const after: Task = { ...task, version: row.version + 1, updatedAt: now };
  const { claim: _claim, ...seen } = after;
  adoption.record("task.updated", id, { tag, localId, changes: changesOf<Task>(toTask(was), seen) });
}

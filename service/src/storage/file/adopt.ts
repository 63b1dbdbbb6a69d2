import { generateKeyBetween, generateNKeysBetween } from "fractional-indexing";
import { changesOf } from "../../core/change.ts";
import type { Actor } from "../../core/context.ts";
import { systemActor } from "../../core/context.ts";
import { AppError } from "../../core/errors.ts";
import type { EventType } from "../../core/events/schema.ts";
import { newId } from "../../core/ids.ts";
import {
  type ImportPlan,
  type PlannedEdge,
  type PlannedTag,
  type PlannedTask,
  planImport,
} from "../../core/import-export/plan.ts";
import type { ImportReport } from "../../core/import-export/schema.ts";
import { countTag } from "../../core/import-export/service.ts";
import type { ProjectSource } from "../../core/import-export/source.ts";
import { isSame } from "../../core/json.ts";
import type { JsonObject } from "../../core/schema.ts";
import type { TaskRecord, TaskValues } from "../../core/storage.ts";
import type { Task } from "../../core/tasks/schema.ts";
import { toTask } from "../../core/tasks/wire.ts";
import {
  absent,
  type DependencyRow,
  type Draft,
  type FileRow,
  fileId,
  type ProjectRow,
  type TagRow,
  type TaskRow,
  timestamp,
} from "./model.ts";
import { fileTags, renderProject } from "./render.ts";
import { type EventDraft, eventDraft, plain, removeTag, removeTask } from "./rows.ts";
import { taskRecord } from "./tasks.ts";
import type { FileText } from "./tasks-file.ts";

/** Who made the changes that come out of the file: the file itself does not say. */
const editor: Actor = { ...systemActor, name: fileId };

interface Adoption {
  rows: Draft;
  project: ProjectRow;
  now: string;
  /** Tasks that have changed, as they were before; undefined for a new one. */
  touched: Map<string, TaskRecord | undefined>;
  record(type: EventType, taskId: string | null, data: JsonObject): void;
}

/**
 * The project of a folder that had none, with what its tasks.json holds: as an import in quarantine takes it, because a
 * file that somebody works with cannot be refused for an edge that its own tool lives with; nothing is repaired, and
 * what cannot hold is kept, inactive, and written again.
 */
export function adoptProject(
  rows: Draft,
  folder: { organizationId: string; name: string; path: string },
  found: FileText | undefined,
): EventDraft[] {
  const now = timestamp();
  const project: ProjectRow = {
    id: newId(),
    organizationId: folder.organizationId,
    key: keyOf(folder.name),
    name: folder.name.slice(0, 200) || "Tasks",
    description: "",
    source: null,
    version: 1,
    createdAt: now,
    updatedAt: now,
  };
  rows.projects.put(project);
  rows.file.put({ id: fileId, projectId: project.id, sha256: found?.sha256 ?? absent, replaced: null });
  const events: EventDraft[] = [];
  const record = recorder(project, now, events);
  record("project.created", null, { key: project.key, name: project.name });
  if (found === undefined) {
    rows.tags.put(newTag(project, emptyTag, 0, now, null));
    return events;
  }
  const plan = planOf(found.text, "master", folder.path);
  const quiet = { rows, project, now, touched: new Map(), record: () => {} };
  applyPlan(quiet, emptyPlan, [], plan);
  const report: ImportReport = {
    id: newId(),
    project: project.key,
    dryRun: false,
    mode: "quarantine",
    accepted: true,
    tags: plan.tags.map(countTag),
    problems: plan.problems.map(({ pointer, code, detail }) => ({ pointer, code, detail })),
    notices: plan.notices,
  };
  const { id, mode, tags, problems } = report;
  const run = { id: id ?? newId(), mode, sha256: found.sha256, createdAt: now };
  const of = { organizationId: project.organizationId, projectId: project.id, actorId: editor.id };
  rows.importRuns.put({ ...run, ...of, report: plain(report) });
  record("project.imported", null, {
    import: run.id,
    mode,
    sha256: run.sha256,
    tags,
    problems: problems.length,
  });
  return events;
}

/**
 * Takes in what somebody else has done to the file since the rows were written to it: the difference between the file as
 * it would be written and as it is. Tasks are known by tag and local id, and keep what the file cannot hold; what did not
 * change stays as it is. Throws unavailable when the file cannot be read, before anything is changed.
 */
export function adoptFile(rows: Draft, state: FileRow, found: FileText, path: string): EventDraft[] {
  const project = rows.projects.get(state.projectId);
  if (project === undefined) throw new Error("the file's project is gone");
  const tag = defaultTagOf(project.source);
  const after = planOf(found.text, tag, path);
  const before = planImport(renderProject(rows, project.id), { defaultTag: tag });
  const now = timestamp();
  const events: EventDraft[] = [];
  const record = recorder(project, now, events);
  const adoption: Adoption = { rows, project, now, touched: new Map(), record };
  const known = fileTags(rows, project.id);
  applyPlan(adoption, before, known, after);
  for (const [id, was] of adoption.touched) recordTask(adoption, id, was);
  rows.file.put({ ...state, sha256: found.sha256, replaced: null });
  return events;
}

const emptyPlan: ImportPlan = {
  source: { form: "tagged", members: [], finalNewline: true },
  tags: [],
  problems: [],
  notices: [],
};
const emptyTag: Pick<PlannedTag, "name" | "description" | "metadata" | "nextLocalNumber"> = {
  name: "master",
  description: "",
  metadata: {},
  nextLocalNumber: 1,
};

function planOf(text: string, defaultTag: string, path: string): ImportPlan {
  const plan = planImport(text, { defaultTag });
  const fatal = plan.problems.find((problem) => problem.fatal);
  if (fatal === undefined) return plan;
  const lines = text.split("\n");
  const mark = lines.findIndex((line) => /^(<{7}|={7}|>{7})( |$)/.test(line));
  const detail =
    mark === -1
      ? `${fatal.detail}${fatal.pointer === "" ? "" : ` (at ${fatal.pointer})`}`
      : `Line ${mark + 1} has the mark of an unfinished merge.`;
  throw new AppError(
    "unavailable",
    `${path} cannot be read, and was left as it is. ${detail} Mend it there.`,
    {
      errors: [{ pointer: fatal.pointer, detail }],
    },
  );
}

function defaultTagOf(source: ProjectSource | null): string {
  const member = source?.form === "tagged" ? undefined : source?.members.find((one) => "tag" in one);
  return member !== undefined && "tag" in member ? member.tag : "master";
}

/** Upper case, as keys are: "my app" is MY-APP. */
function keyOf(name: string): string {
  const key = name
    .toUpperCase()
    .replace(/[^A-Z0-9_]+/g, "-")
    .replace(/^[^A-Z]+|-+$/g, "")
    .slice(0, 32);
  return key === "" ? "TASKS" : key;
}

function recorder(project: ProjectRow, now: string, events: EventDraft[]): Adoption["record"] {
  return (type, taskId, data) => {
    const event = { type, projectId: project.id, taskId, actor: editor, requestId: fileId, data };
    events.push(eventDraft(project.organizationId, event, now));
  };
}

// ---- tags

function applyPlan(
  adoption: Adoption,
  before: ImportPlan,
  known: { tag: TagRow; tasks: TaskRow[] }[],
  after: ImportPlan,
): void {
  const { rows, project, now } = adoption;
  if (!isSame(project.source, after.source)) rows.projects.put({ ...project, source: plain(after.source) });
  const names = new Set(after.tags.map(({ name }) => name));
  for (const { tag } of known) {
    if (names.has(tag.name)) continue;
    removeTag(rows, tag.id);
    adoption.record("tag.deleted", null, { tag: tag.id, name: tag.name });
  }
  after.tags.forEach((planned, position) => {
    const found = known.find(({ tag }) => tag.name === planned.name);
    const was = before.tags.find(({ name }) => name === planned.name);
    if (found === undefined || was === undefined) {
      const tag = newTag(project, planned, position, now, planned.source);
      rows.tags.put(tag);
      adoption.record("tag.created", null, { tag: tag.id, name: tag.name });
      applyTasks(adoption, tag, { tasks: [], edges: [] }, [], planned);
    } else {
      const tag = updateTag(adoption, found.tag, was, planned, position);
      applyTasks(adoption, tag, was, found.tasks, planned);
    }
  });
}

function newTag(
  project: ProjectRow,
  { name, description, metadata, nextLocalNumber }: typeof emptyTag,
  position: number,
  now: string,
  source: PlannedTag["source"] | null,
): TagRow {
  const { id: projectId, organizationId } = project;
  const values = { name, description, metadata: plain(metadata), source: plain(source), nextLocalNumber };
  const dates = { version: 1, createdAt: now, updatedAt: now };
  return { id: newId(), organizationId, projectId, position, ...values, ...dates };
}

function updateTag(
  adoption: Adoption,
  tag: TagRow,
  was: PlannedTag,
  planned: PlannedTag,
  position: number,
): TagRow {
  const { rows, now } = adoption;
  const { description, metadata } = planned;
  const edited = !isSame([was.description, was.metadata], [description, metadata]);
  const changes = edited
    ? changesOf({ description: tag.description, metadata: tag.metadata }, { description, metadata })
    : {};
  const changed = Object.keys(changes).length > 0;
  const after: TagRow = {
    ...tag,
    ...(edited ? { description, metadata: plain(metadata) } : {}),
    ...(isSame(was.source, planned.source) ? {} : { source: plain(planned.source) }),
    ...(changed ? { version: tag.version + 1, updatedAt: now } : {}),
    position,
    nextLocalNumber: Math.max(tag.nextLocalNumber, planned.nextLocalNumber),
  };
  if (!isSame(tag, after)) rows.tags.put(after);
  if (changed) adoption.record("tag.updated", null, { tag: tag.id, name: tag.name, changes });
  return after;
}

// ---- tasks

type Tasks = Pick<PlannedTag, "tasks" | "edges">;

function applyTasks(adoption: Adoption, tag: TagRow, was: Tasks, known: TaskRow[], planned: Tasks): void {
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
  const records = leaving.flatMap((row) => taskRecord(rows, row));
  for (const record of records) {
    const { tag: name, localId } = record;
    adoption.record("task.deleted", record.id, { tag: name, localId, task: toTask(record) });
  }
  for (const row of leaving) removeTask(rows, row.id);

  const ids: string[] = [];
  const ranks: Map<string, string> = rankAll(planned.tasks, before);
  planned.tasks.forEach((task, index) => {
    const parentId = task.parent === null ? null : (ids[task.parent] ?? null);
    const found = before.get(localId(planned.tasks, task));
    const rank = ranks.get(String(index)) ?? "";
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
    rank,
    nextLocalNumber,
  };
  if (edited || rank !== row.rank) touch(adoption, row);
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
): Map<string, string> {
  const ranks = new Map<string, string>();
  const rankOf = (index: number): string | undefined => {
    const task = tasks[index];
    return task === undefined ? undefined : before.get(localId(tasks, task))?.row?.rank;
  };
  for (const siblings of Map.groupBy(tasks.keys(), (index) => tasks[index]?.parent ?? null).values()) {
    const present = siblings.flatMap((index) => rankOf(index) ?? []);
    const rising = present.every((rank, place) => place === 0 || (present[place - 1] ?? "") < rank);
    const fresh = rising && present.length > 0 ? [] : generateNKeysBetween(null, null, siblings.length);
    let last: string | null = null;
    siblings.forEach((index, place) => {
      const behind = siblings.slice(place).find((other) => rankOf(other) !== undefined);
      const next = behind === undefined ? null : (rankOf(behind) ?? null);
      const rank: string = fresh[place] ?? rankOf(index) ?? generateKeyBetween(last, next);
      ranks.set(String(index), rank);
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

function recordTask(adoption: Adoption, id: string, was: TaskRecord | undefined): void {
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

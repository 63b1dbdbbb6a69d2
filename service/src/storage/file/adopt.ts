import { changesOf } from "../../core/change.ts";
import { type Actor, systemActor } from "../../core/context.ts";
import { AppError } from "../../core/errors.ts";
import { newId } from "../../core/ids.ts";
import { type ImportPlan, type PlannedTag, planImport } from "../../core/import-export/plan.ts";
import type { ImportReport } from "../../core/import-export/schema.ts";
import { countTag } from "../../core/import-export/service.ts";
import type { ProjectSource } from "../../core/import-export/source.ts";
import { isSame } from "../../core/json.ts";
import { type Adoption, applyTasks, recordTask } from "./adopt-tasks.ts";
import {
  absent,
  type Draft,
  type FileRow,
  fileId,
  type ProjectRow,
  type TagRow,
  timestamp,
} from "./model.ts";
import { createRenderer, type FileTag, fileTags } from "./render.ts";
import { type EventDraft, eventDraft, plain, removeTag } from "./rows.ts";
import type { FileText } from "./tasks-file.ts";

/** Who made the changes that come out of the file: the file itself does not say. */
const editor: Actor = { ...systemActor, name: fileId };

/**
 * The project of a folder that had none, with what its tasks.json holds: as an import in quarantine takes it, because a
 * file that somebody works with cannot be refused for an edge that its own tool lives with; nothing is repaired, and
 * what cannot hold is kept, inactive, and written again.
 */
export function adoptProject(
  rows: Draft,
  folder: { organizationId: string; name: string; label: string },
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
  const plan = planOf(found.text, "master", folder.label);
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
export function adoptFile(rows: Draft, state: FileRow, found: FileText, label: string): EventDraft[] {
  const project = rows.projects.get(state.projectId);
  if (project === undefined) throw new Error("the file's project is gone");
  const tag = defaultTagOf(project.source);
  const after = planOf(found.text, tag, label);
  const before = planImport(createRenderer()(rows, project.id), { defaultTag: tag });
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

function planOf(text: string, defaultTag: string, label: string): ImportPlan {
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
    `${label} cannot be read, and was left as it is. ${detail} Mend it there.`,
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

function applyPlan(adoption: Adoption, before: ImportPlan, known: FileTag[], after: ImportPlan): void {
  const { rows, project, now } = adoption;
  const rearranged = !isSame(before.source, after.source);
  if (rearranged) rows.projects.put({ ...project, source: plain(after.source) });
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
      const tag = updateTag(adoption, found.tag, rearranged ? undefined : was, planned, position);
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

/** `was` is undefined when the file has another shape, so that what is known of its old one is of no more use. */
function updateTag(
  adoption: Adoption,
  tag: TagRow,
  was: PlannedTag | undefined,
  planned: PlannedTag,
  position: number,
): TagRow {
  const { rows, now } = adoption;
  const { description, metadata, source } = planned;
  const said = was && [was.description, was.metadata, was.source];
  const edited = !isSame(said, [description, metadata, source]);
  const before = { description: tag.description, metadata: tag.metadata };
  const changes = edited ? changesOf(before, { description, metadata }) : {};
  const changed = Object.keys(changes).length > 0;
  const after: TagRow = {
    ...tag,
    ...(edited ? plain({ description, metadata, source }) : {}),
    ...(changed ? { version: tag.version + 1, updatedAt: now } : {}),
    position,
    nextLocalNumber: Math.max(tag.nextLocalNumber, planned.nextLocalNumber),
  };
  if (!isSame(tag, after)) rows.tags.put(after);
  if (changed) adoption.record("tag.updated", null, { tag: tag.id, name: tag.name, changes });
  return after;
}

import { isSame } from "../json.ts";
import type { JsonObject } from "../schema.ts";
import type { ExportDependency, ExportInput, ExportTag, ExportTask } from "./export-input.ts";
import {
  currentField,
  type FieldKey,
  fieldJson,
  fieldKeys,
  isCurrent,
  isFieldKey,
  readField,
  readTagMetadata,
  tagMetadata,
} from "./fields.ts";
import { createJsonWriter, type JsonWriter, updateText } from "./json.ts";
import { withNumbers } from "./numbered.ts";
import { addName, type Names, readId, readReference, resolveReference, segmentJson } from "./references.ts";
import type { MemberSource, ProjectSource } from "./source.ts";

type Form = "preserve" | "canonical";
export type TagTexts = WeakMap<ExportTag, string>;

/** A tag's tasks by what refers to them. */
interface TagIndex {
  children: Map<string | null, ExportTask[]>;
  byId: Map<string, ExportTask>;
  byLocalId: Map<string, ExportTask>;
  /** By the ids that the written file will say. */
  names: Names<ExportTask>;
  /** Tasks that are written with the unusable id they came with, or with none, as long as nothing new refers to them. */
  unnamed: Set<ExportTask>;
}

/** What the peer needs of every task: it fails for a whole tag where one of these is missing. */
const always: Record<"task" | "subtask", readonly (FieldKey | "dependencies" | "subtasks")[]> = {
  task: ["title", "description", "details", "testStrategy", "status", "priority", "dependencies", "subtasks"],
  subtask: ["title", "description", "status", "dependencies", "details", "testStrategy", "priority"],
};

/**
 * Writes a tasks.json, indented by two spaces.
 *
 * `preserve` gives an imported file back as it was: byte for byte where it was written as JSON.stringify writes, and
 * with what changed since in its place. `canonical` is the tagged form that task-master-ai 0.43 reads; it leaves out
 * what that form cannot hold, quarantined edges and subtasks of subtasks, and writes numbers for ids that are none.
 *
 * Neither form can say that a subtask waits for a task when the subtask has a sibling of that id: a bare id means the
 * sibling. Such an edge is left out, since the file would otherwise say something else.
 *
 * `texts` keeps what each tag was written as, for a caller who writes the same file again and again with most tags as
 * they were: a tag object that is given again must not have changed, and the form must be the same.
 */
export function renderExport(input: ExportInput, form: Form, texts: TagTexts = new WeakMap()): string {
  const writer = createJsonWriter();
  const source = form === "preserve" ? input.project : null;
  const tags = form === "preserve" ? input.tags : input.tags.map(withNumbers);
  const [only, ...others] = tags;
  if (only !== undefined && others.length === 0 && isRoot(only, source)) {
    writeTag(writer, only, form);
  } else {
    writeTags(writer, tags, source, form, texts);
  }
  return `${writer.toString()}${(source?.finalNewline ?? true) ? "\n" : ""}`;
}

/** Whether the tag can be the whole file again, as a flat file or a list that has no place for its name. */
function isRoot(tag: ExportTag, source: ProjectSource | null): boolean {
  return (
    source !== null &&
    source.form !== "tagged" &&
    tag.source?.importedAs === tag.name &&
    source.members.some((member) => "tag" in member && member.tag === tag.name)
  );
}

function writeTags(
  writer: JsonWriter,
  tags: ExportTag[],
  source: ProjectSource | null,
  form: Form,
  texts: TagTexts,
): void {
  const names = new Set(tags.map((tag) => tag.name));
  const places = new Map<string, ExportTag>();
  for (const tag of tags) {
    if (tag.source !== null && !places.has(tag.source.importedAs)) {
      places.set(tag.source.importedAs, tag);
    }
  }
  const written = new Set<ExportTag>();
  const writeNamed = (tag: ExportTag): void => {
    if (!written.has(tag)) {
      written.add(tag);
      writer.key(tag.name);
      writer.written(tagText(tag, form, texts));
    }
  };
  writer.open("{");
  for (const member of source?.members ?? []) {
    if ("tag" in member) {
      const tag = places.get(member.tag);
      if (tag !== undefined) {
        writeNamed(tag);
      }
    } else if (!names.has(member.key)) {
      // Two files imported into one project can have the same stray member; an object cannot.
      names.add(member.key);
      writer.key(member.key);
      writer.value(member.raw);
    }
  }
  for (const tag of tags) {
    writeNamed(tag);
  }
  writer.close("}");
}

// ---- a tag

function tagText(tag: ExportTag, form: Form, texts: TagTexts): string {
  const known = texts.get(tag);
  if (known !== undefined) return known;
  const writer = createJsonWriter(1);
  writeTag(writer, tag, form);
  const text = writer.toString();
  texts.set(tag, text);
  return text;
}

function writeTag(writer: JsonWriter, tag: ExportTag, form: Form): void {
  const index = buildIndex(tag, form);
  const writeList = (): void => {
    writeTasks(writer, index, null, form);
  };
  if (form === "canonical" || tag.source === null) {
    writer.open("{");
    writer.key("tasks");
    writeList();
    writer.key("metadata");
    writer.value(JSON.stringify(canonicalMetadata(tag)));
    writer.close("}");
    return;
  }
  const metadata = tagMetadata(tag);
  const hasMetadata = Object.keys(metadata).length > 0;
  if (tag.source.members === null && !hasMetadata) {
    writeList();
    return;
  }
  const members: MemberSource[] = tag.source.members ?? [["tasks", null]];
  writer.open("{");
  for (const [key, raw] of members) {
    writer.key(key);
    if (raw === null) {
      writeList();
    } else if (key === "metadata" && !isSame(readTagMetadata(JSON.parse(raw)), keptMetadata(tag))) {
      writer.value(updateText(raw, metadata));
    } else {
      writer.value(raw);
    }
  }
  if (hasMetadata && !members.some(([key]) => key === "metadata")) {
    writer.key("metadata");
    writer.value(JSON.stringify(metadata));
  }
  writer.close("}");
}

function keptMetadata({ description, metadata }: ExportTag): { description: string; metadata: JsonObject } {
  return { description, metadata };
}

function canonicalMetadata(tag: ExportTag): JsonObject {
  const { created, updated: _updated, description: _description, ...others } = tag.metadata;
  const changes = [tag.updatedAt, ...tag.tasks.map((task) => task.updatedAt)].sort();
  return {
    created: typeof created === "string" ? created : tag.createdAt,
    updated: changes.at(-1),
    description: tag.description,
    ...others,
  };
}

function buildIndex(tag: ExportTag, form: Form): TagIndex {
  const index: TagIndex = {
    children: Map.groupBy(tag.tasks, (task) => task.parentId),
    byId: new Map(tag.tasks.map((task) => [task.id, task])),
    byLocalId: new Map(tag.tasks.map((task) => [task.localId, task])),
    names: { tasks: new Map(), subtasks: new Map() },
    unnamed: new Set(),
  };
  const name = (task: ExportTask): void => {
    addName(index.names, parentOf(index, task) ?? null, task.segment, task);
  };
  for (const task of tag.tasks) {
    const id = form === "preserve" ? task.source?.find(([key]) => key === "id") : undefined;
    if (id?.[2] === task.localId) {
      index.unnamed.add(task);
    } else {
      name(task);
    }
  }
  // An edge made since the import has to say its target's id, so the file must say that id as well.
  for (const task of tag.tasks) {
    for (const edge of task.dependencies) {
      const target = targetOf(index, edge);
      if (target !== undefined && !isStillMeant(index, task, edge, target)) {
        for (const said of [target, parentOf(index, target)]) {
          if (said !== undefined && index.unnamed.delete(said)) {
            name(said);
          }
        }
      }
    }
  }
  return index;
}

function parentOf(index: TagIndex, task: ExportTask): ExportTask | undefined {
  return task.parentId === null ? undefined : index.byId.get(task.parentId);
}

function targetOf(index: TagIndex, edge: ExportDependency): ExportTask | undefined {
  return edge.localId === null ? undefined : index.byLocalId.get(edge.localId);
}

/** Whether the imported text of the reference means the target in the file as it will be written. */
function isStillMeant(
  index: TagIndex,
  task: ExportTask,
  edge: ExportDependency,
  target: ExportTask,
): boolean {
  const reference = edge.raw === null ? undefined : readReference(edge.raw);
  const parent = parentOf(index, task) ?? null;
  return reference !== undefined && resolveReference(index.names, reference, parent).target === target;
}

// ---- a task

function writeTasks(writer: JsonWriter, index: TagIndex, parentId: string | null, form: Form): void {
  writer.open("[");
  for (const task of index.children.get(parentId) ?? []) {
    writer.open("{");
    if (form === "preserve" && task.source !== null) {
      writePreserved(writer, index, task, task.source);
    } else {
      writeCanonical(writer, index, task, form);
    }
    writer.close("}");
  }
  writer.close("]");
}

function writeCanonical(writer: JsonWriter, index: TagIndex, task: ExportTask, form: Form): void {
  const level = levelOf(task);
  writer.key("id");
  writer.value(segmentJson(task.segment));
  for (const key of always[level]) {
    if (key === "dependencies") {
      writer.key(key);
      writeReferences(writer, index, task, form);
    } else if (key === "subtasks") {
      writer.key(key);
      writeTasks(writer, index, task.id, form);
    } else if (key === "description" && level === "task" && task.description.trim() === "") {
      // The peer refuses the whole tag for one task whose description is blank.
      writeMember(writer, key, JSON.stringify(task.title));
    } else {
      writeMember(writer, key, fieldJson(key, currentField(task, key), level));
    }
  }
  writeRest(writer, task, new Set<string>(always[level]));
}

function writePreserved(
  writer: JsonWriter,
  index: TagIndex,
  task: ExportTask,
  source: readonly MemberSource[],
): void {
  const written = new Set<string>();
  for (const [key, raw] of source) {
    written.add(key);
    if (key === "id") {
      writeMember(writer, key, idJson(index, task, raw));
    } else if (key === "dependencies") {
      writeDependencies(writer, index, task, raw);
    } else if (key === "subtasks") {
      writeSubtasks(writer, index, task, raw);
    } else if (isFieldKey(key)) {
      writeMember(writer, key, memberJson(task, key, raw));
    } else if (Object.hasOwn(task.extra, key)) {
      writeMember(writer, key, extraJson(task, key, raw));
    }
  }
  if (!written.has("dependencies") && task.dependencies.length > 0) {
    writeDependencies(writer, index, task, null);
  }
  if (!written.has("subtasks") && (index.children.has(task.id) || Object.hasOwn(task.extra, "subtasks"))) {
    writeSubtasks(writer, index, task, null);
  }
  writeRest(writer, task, written);
}

/** The members that no source and no form has a place for: fields that are set, and what the product has none for. */
function writeRest(writer: JsonWriter, task: ExportTask, written: ReadonlySet<string>): void {
  for (const key of fieldKeys) {
    const isSet = !isSame(currentField(task, key), readField(key, undefined).value);
    if (!written.has(key) && (isSet || Object.hasOwn(task.extra, key))) {
      writeMember(writer, key, memberJson(task, key, null));
    }
  }
  for (const key of Object.keys(task.extra)) {
    const isOwn = key === "id" || key === "dependencies" || key === "subtasks" || isFieldKey(key);
    if (!written.has(key) && !isOwn) {
      writeMember(writer, key, extraJson(task, key, null));
    }
  }
}

function writeMember(writer: JsonWriter, key: string, json: string | undefined): void {
  if (json !== undefined) {
    writer.key(key);
    writer.value(json);
  }
}

function levelOf(task: ExportTask): "task" | "subtask" {
  return task.parentId === null ? "task" : "subtask";
}

/** The imported text as long as reading it gives the id that the task has now. */
function idJson(index: TagIndex, task: ExportTask, raw: string | null): string | undefined {
  if (index.unnamed.has(task)) {
    return raw ?? undefined;
  }
  const parent = parentOf(index, task);
  const parentName = parent === undefined ? null : nameOf(index, parent);
  return raw !== null && readId(raw, parentName) === task.segment ? raw : segmentJson(task.segment);
}

/** What the written file calls a task of its own. */
function nameOf(index: TagIndex, task: ExportTask): string {
  if (!index.unnamed.has(task)) {
    return task.segment;
  }
  const raw = task.source?.find(([key]) => key === "id")?.[1];
  return (raw === null || raw === undefined ? undefined : readId(raw, null)) ?? "";
}

/**
 * A field's member: the imported text while it still reads as what the task has; else what was kept aside of it, by
 * the same test; else the field.
 */
function memberJson(task: ExportTask, key: FieldKey, raw: string | null): string | undefined {
  if (raw !== null && isCurrent(key, JSON.parse(raw), task)) {
    return raw;
  }
  if (Object.hasOwn(task.extra, key)) {
    const aside = task.extra[key];
    if (readField(key, aside).aside === true && isCurrent(key, aside, task)) {
      return extraJson(task, key, raw);
    }
  }
  const value = currentField(task, key);
  return raw !== null && key === "metadata" ? updateText(raw, value) : fieldJson(key, value, levelOf(task));
}

function extraJson(task: ExportTask, key: string, raw: string | null): string {
  const value = task.extra[key];
  return raw === null ? JSON.stringify(value) : updateText(raw, value);
}

function writeDependencies(writer: JsonWriter, index: TagIndex, task: ExportTask, raw: string | null): void {
  const [first, ...others] = task.dependencies;
  const isWhole = first?.localId === null && first.raw === raw && others.length === 0;
  writer.key("dependencies");
  if (raw !== null && (first === undefined ? raw === "null" : isWhole)) {
    writer.value(raw);
  } else {
    writeReferences(writer, index, task, "preserve");
  }
}

function writeReferences(writer: JsonWriter, index: TagIndex, task: ExportTask, form: Form): void {
  const parent = parentOf(index, task);
  writer.open("[");
  for (const edge of task.dependencies) {
    const target = targetOf(index, edge);
    if (target === undefined) {
      if (edge.raw !== null && form === "preserve") {
        writer.value(edge.raw);
      }
    } else if (form === "preserve" && edge.raw !== null && isStillMeant(index, task, edge, target)) {
      writer.value(edge.raw);
    } else if (target.parentId !== null) {
      writer.value(JSON.stringify(target.localId));
    } else if (parent === undefined || !index.names.subtasks.get(parent)?.has(target.segment)) {
      writer.value(segmentJson(target.segment));
    }
  }
  writer.close("]");
}

function writeSubtasks(writer: JsonWriter, index: TagIndex, task: ExportTask, raw: string | null): void {
  if (index.children.has(task.id)) {
    writer.key("subtasks");
    writeTasks(writer, index, task.id, "preserve");
  } else if (Object.hasOwn(task.extra, "subtasks")) {
    writeMember(writer, "subtasks", extraJson(task, "subtasks", raw));
  } else if (raw === "null" || raw === "[]") {
    writeMember(writer, "subtasks", raw);
  } else if (levelOf(task) === "task") {
    writeMember(writer, "subtasks", "[]");
  }
}

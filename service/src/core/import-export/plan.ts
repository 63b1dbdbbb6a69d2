import { Compile } from "typebox/compile";
import type { DependencyProblem } from "../dependencies/schema.ts";
import { type JsonObject, TagName } from "../schema.ts";
import type { TaskValues } from "../storage.ts";
import { escapePointer } from "../text.ts";
import { findCycles } from "./cycles.ts";
import { fieldJson, fieldKeys, isFieldKey, readField, readFields, readTagMetadata } from "./fields.ts";
import { compact } from "./json.ts";
import { type JsonMember, type JsonNode, nodeValue, parseJson } from "./parse.ts";
import {
  addName,
  type Names,
  readId,
  readReference,
  resolveReference,
  segmentJson,
  segmentNumber,
} from "./references.ts";
import type { ImportNotice, ImportProblem, ImportProblemCode } from "./schema.ts";
import type { MemberSource, ProjectSource, TagSource } from "./source.ts";

/** What importing a file would make. Indexes count within the tag's `tasks`. */
export interface ImportPlan {
  source: ProjectSource;
  tags: PlannedTag[];
  /** A fatal problem refuses the file in both modes; then the rest of the plan is not to be carried out. */
  problems: (ImportProblem & { fatal: boolean })[];
  notices: ImportNotice[];
}

export interface PlannedTag {
  name: string;
  description: string;
  /** Without the description. */
  metadata: JsonObject;
  source: TagSource;
  nextLocalNumber: number;
  /** In the order of the file: each task, then its subtasks. */
  tasks: PlannedTask[];
  edges: PlannedEdge[];
}

export interface PlannedTask extends TaskValues {
  /** The index of the task that this is a subtask of. */
  parent: number | null;
  segment: string;
  number: number | null;
  source: MemberSource[];
  nextLocalNumber: number;
}

/** `from` waits for `to`. An edge that cannot hold has no `to`, and says why in `problem`. */
export interface PlannedEdge {
  from: number;
  to: number | null;
  position: number;
  /** The JSON text of the reference; null where it is what an export writes for the edge anyway. */
  raw: string | null;
  problem: DependencyProblem | null;
}

type ObjectNode = Extract<JsonNode, { kind: "object" }>;
type ArrayNode = Extract<JsonNode, { kind: "array" }>;

interface Context {
  text: string;
  plan: ImportPlan;
}

/** A tag's list of tasks in the file, and the object that holds it. */
interface TagNode {
  name: string;
  /** Of the list. */
  pointer: string;
  holder: ObjectNode | null;
  list: ArrayNode;
}

interface TaskNode {
  pointer: string;
  node: ObjectNode;
  segment: string;
  /** The id that the file says, if it can be read. */
  said: string | null;
  /** Whether quarantine gave the segment, because the file says none or one that is taken. */
  given: boolean;
}

interface TagDraft {
  node: TagNode;
  tasks: PlannedTask[];
  nodes: TaskNode[];
  /** By the ids that the file says. What quarantine gives is left out: nothing in the file can have meant it. */
  names: Names<number>;
  nextLocalNumber: number;
}

interface EdgeDraft extends PlannedEdge {
  pointer: string;
  raw: string;
  detail: string;
}

/** Tasks and subtasks that a file may have: a hundred times the largest known, and still within one transaction. */
const MAX_TASKS = 100_000;

/** Problems, and notices, that a plan lists. A file of 10 MB can have millions, and the list would fill the memory. */
const MAX_LISTED = 10_000;

/** How many steps of a cycle its problem names. */
const MAX_NAMED_STEPS = 50;

const tagNames = Compile(TagName);

/**
 * Reads a tasks.json in any of its forms: tagged, flat `{"tasks": [...]}`, or a list; the latter two as the tag
 * `defaultTag`. Pure: the same text gives the same plan. Never throws, whatever the text.
 */
export function planImport(text: string, options: { defaultTag: string }): ImportPlan {
  const parsed = parseJson(text);
  const plan: ImportPlan = {
    source: { form: "tagged", members: [], finalNewline: text.endsWith("\n") },
    tags: [],
    problems: parsed.problems.map((problem) => ({ ...problem, fatal: true })),
    notices: [],
  };
  if (parsed.root === undefined) {
    return plan;
  }
  const context = { text: parsed.text, plan };
  const tags = findTags(context, parsed.root, options.defaultTag);
  const count = tags.reduce((sum, { list }) => sum + countTasks(list), 0);
  if (count > MAX_TASKS) {
    report(
      context,
      "too_many_tasks",
      "",
      `The file has ${count} tasks and subtasks; ${MAX_TASKS} can be read.`,
      true,
    );
    return plan;
  }
  const drafts = tags.map((node) => readTag(context, node));
  // A reference that the own tag does not know is looked for here; tag by tag, a file of many tags would take days.
  const tagOf = new Map<string, string>();
  for (const { node, tasks, nodes } of drafts) {
    tasks.forEach((task, index) => {
      const name = localId(tasks, task);
      if (nodes[index]?.given === false && !tagOf.has(name)) {
        tagOf.set(name, node.name);
      }
    });
  }
  plan.tags = drafts.map((draft) => finishTag(context, draft, tagOf));
  if (plan.problems.length >= MAX_LISTED) {
    plan.notices.push({ pointer: "", detail: `Only the first ${MAX_LISTED} problems are listed.` });
  }
  return plan;
}

function countTasks(list: ArrayNode): number {
  return list.items.reduce((sum, item) => {
    const subtasks = item.kind === "object" ? findMember(item, "subtasks") : undefined;
    return sum + 1 + (subtasks?.kind === "array" ? subtasks.items.length : 0);
  }, 0);
}

/** A fatal problem is listed whatever the number of others: it decides whether the file is taken. */
function report(
  context: Context,
  code: ImportProblemCode,
  pointer: string,
  detail: string,
  fatal = false,
): void {
  const { problems } = context.plan;
  if (fatal || problems.length < MAX_LISTED) {
    problems.push({ pointer, code, detail, fatal });
  }
}

function notice(context: Context, pointer: string, detail: string): void {
  const { notices } = context.plan;
  if (notices.length < MAX_LISTED) {
    notices.push({ pointer, detail });
  }
}

function findMember(node: ObjectNode, key: string): JsonNode | undefined {
  return node.members.find((member) => member.key === key)?.value;
}

function localId(tasks: readonly PlannedTask[], task: PlannedTask): string {
  const parent = task.parent === null ? undefined : tasks[task.parent];
  return parent === undefined ? task.segment : `${parent.segment}.${task.segment}`;
}

// ---- the file and its tags

function findTags(context: Context, root: JsonNode, defaultTag: string): TagNode[] {
  const { source } = context.plan;
  if (root.kind === "array") {
    source.form = "array";
    source.members = [{ tag: defaultTag }];
    return [{ name: defaultTag, pointer: "", holder: null, list: root }];
  }
  if (root.kind !== "object") {
    report(context, "wrong_type", "", "The file should be an object of tags or a list of tasks.", true);
    return [];
  }
  const list = findMember(root, "tasks");
  if (list?.kind === "array") {
    source.form = "flat";
    source.members = [{ tag: defaultTag }];
    for (const { key, value } of root.members) {
      if (value.kind === "object" && findMember(value, "tasks")?.kind === "array") {
        const detail =
          "This tag stands beside a list of tasks that has none; quarantine keeps it without reading it.";
        report(context, "wrong_type", `/${escapePointer(key)}`, detail);
      }
    }
    return [{ name: defaultTag, pointer: "/tasks", holder: root, list }];
  }
  const tags: TagNode[] = [];
  for (const member of root.members) {
    const tag = findTag(context, member);
    if (tag === undefined) {
      source.members.push({ key: member.key, raw: compact(member.value, context.text) });
    } else {
      source.members.push({ tag: tag.name });
      tags.push(tag);
    }
  }
  if (tags.length === 0 && root.members.length > 0) {
    const detail =
      "The file has no tag: no member is a list of tasks or an object with such a list as `tasks`.";
    report(context, "wrong_type", "", detail, true);
  }
  return tags;
}

function findTag(context: Context, { key, value }: JsonMember): TagNode | undefined {
  const pointer = `/${escapePointer(key)}`;
  const tasks = value.kind === "object" ? findMember(value, "tasks") : undefined;
  const list = value.kind === "array" && isTaskList(value) ? value : tasks;
  if (list?.kind !== "array") {
    if (tasks === undefined) {
      notice(context, pointer, "This is no tag; it is kept and exported again.");
    } else {
      const detail = "This should be a list; quarantine keeps the member without reading a tag from it.";
      report(context, "wrong_type", `${pointer}/tasks`, detail);
    }
    return undefined;
  }
  if (!tagNames.Check(key)) {
    const detail = "A tag's name has 1 to 200 characters, and neither control characters nor a slash.";
    report(context, "invalid_tag_name", pointer, detail, true);
  }
  return value.kind === "object"
    ? { name: key, pointer: `${pointer}/tasks`, holder: value, list }
    : { name: key, pointer, holder: null, list };
}

/** A list beside the tags is a tag when it could be one of tasks: other tools leave lists of their own there. */
function isTaskList(list: ArrayNode): boolean {
  const isTask = (item: JsonNode): boolean =>
    item.kind === "object" && item.members.some(({ key }) => key === "id" || key === "title");
  return list.items.length === 0 || list.items.some(isTask);
}

function finishTag(context: Context, draft: TagDraft, tagOf: Map<string, string>): PlannedTag {
  const { holder, name } = draft.node;
  const node = holder === null ? undefined : findMember(holder, "metadata");
  const { description, metadata } = readTagMetadata(
    node === undefined ? undefined : nodeValue(node, context.text),
  );
  const members = holder?.members.map(({ key, value }): MemberSource => {
    return [key, key === "tasks" ? null : compact(value, context.text)];
  });
  return {
    name,
    description,
    metadata,
    source: { importedAs: name, members: members ?? null },
    nextLocalNumber: draft.nextLocalNumber,
    tasks: draft.tasks,
    edges: readEdges(context, draft, tagOf),
  };
}

// ---- tasks

function readTag(context: Context, node: TagNode): TagDraft {
  const level = readLevel(context, node.list, node.pointer, null);
  const draft: TagDraft = {
    node,
    tasks: [],
    nodes: [],
    names: { tasks: new Map(), subtasks: new Map() },
    nextLocalNumber: level.nextLocalNumber,
  };
  const add = (task: PlannedTask, taskNode: TaskNode): void => {
    if (!taskNode.given) {
      addName(draft.names, task.parent, task.segment, draft.tasks.length);
    }
    draft.tasks.push(task);
    draft.nodes.push(taskNode);
  };
  for (const taskNode of level.nodes) {
    const index = draft.tasks.length;
    const task = readTask(context, taskNode, null);
    add(task, taskNode);
    const list = findMember(taskNode.node, "subtasks");
    if (list?.kind === "array") {
      const pointer = `${taskNode.pointer}/subtasks`;
      const sublevel = readLevel(context, list, pointer, taskNode.said ?? "");
      task.nextLocalNumber = sublevel.nextLocalNumber;
      for (const subtaskNode of sublevel.nodes) {
        add(readTask(context, subtaskNode, { index, segment: task.segment }), subtaskNode);
      }
    }
  }
  return draft;
}

/**
 * Reads the ids of a list of tasks, or of the subtasks of the task that the file calls `parent` (empty when it calls
 * it nothing usable), and numbers those that have none behind the highest.
 */
function readLevel(
  context: Context,
  list: ArrayNode,
  pointer: string,
  parent: string | null,
): { nodes: TaskNode[]; nextLocalNumber: number } {
  const nodes: TaskNode[] = [];
  const taken = new Set<string>();
  let highest: number | null = null;
  for (const [index, node] of list.items.entries()) {
    const at = `${pointer}/${index}`;
    if (node.kind !== "object") {
      report(context, "wrong_type", at, "A task should be an object.", true);
      continue;
    }
    const said = readSaidId(context, node, at, parent);
    const given = said === null || taken.has(said);
    nodes.push({ pointer: at, node, segment: said ?? "", said, given });
    if (said !== null) {
      taken.add(said);
      const number = segmentNumber(said);
      highest = number === null ? highest : Math.max(highest ?? 0, number);
    }
  }
  let next = highest === null ? 1 : highest + 1;
  for (const node of nodes.filter(({ given }) => given)) {
    while (taken.has(String(next))) {
      next += 1;
    }
    node.segment = String(next);
    next += 1;
    if (node.said !== null) {
      const detail = `Another task before has the id ${node.said} already; quarantine numbers this one ${node.segment}.`;
      report(context, "duplicate_id", `${node.pointer}/id`, detail);
    }
  }
  return { nodes, nextLocalNumber: Math.max(next, nodes.length + 1) };
}

function readSaidId(
  context: Context,
  task: ObjectNode,
  pointer: string,
  parent: string | null,
): string | null {
  const node = findMember(task, "id");
  if (node === undefined) {
    report(context, "missing_id", pointer, "The task has no id; quarantine gives it the next number.");
    return null;
  }
  const json = compact(node, context.text);
  const said = readId(json, parent);
  if (said === undefined) {
    const detail = "The id is none that can be used here; quarantine gives the task the next number.";
    report(context, "unusable_id", `${pointer}/id`, detail);
    return null;
  }
  if (readReference(json)?.parent !== null) {
    const detail = `The id repeats the parent's; it is read as subtask ${said} of ${parent}.`;
    notice(context, `${pointer}/id`, detail);
  }
  return said;
}

function readTask(
  context: Context,
  { pointer, node, segment, said, given }: TaskNode,
  parent: { index: number; segment: string } | null,
): PlannedTask {
  const level = parent === null ? "task" : "subtask";
  const ownId = parent === null ? segment : `${parent.segment}.${segment}`;
  const values = new Map<string, unknown>();
  const extra: [string, unknown][] = [];
  const source: MemberSource[] = [];

  const readMember = ({ key, value: member }: JsonMember): MemberSource => {
    const raw = compact(member, context.text);
    if (key === "id") {
      return given ? [key, raw, ownId] : [key, raw === segmentJson(segment) ? null : raw];
    }
    if (key === "dependencies") {
      return [key, member.kind === "array" ? null : raw];
    }
    if (key === "subtasks") {
      if (level === "task" && member.kind === "array") {
        return [key, null];
      }
      if (raw !== "[]" && raw !== "null") {
        extra.push([key, nodeValue(member, context.text)]);
        reportSubtasks(context, member, `${pointer}/subtasks`);
      }
      return [key, raw];
    }
    const value = nodeValue(member, context.text);
    if (!isFieldKey(key)) {
      extra.push([key, value]);
      const isStable =
        !(member.kind === "object" || member.kind === "array") && JSON.stringify(value) === raw;
      return [key, isStable ? null : raw];
    }
    values.set(key, value);
    const reading = readField(key, value);
    if (reading.aside === true) {
      extra.push([key, value]);
    }
    if (reading.notice !== undefined) {
      notice(context, `${pointer}/${key}`, reading.notice);
    }
    // What goes through jsonb comes back with its members in another order.
    const isStable = reading.aside !== true && (member.kind !== "object" || member.members.length === 0);
    return [key, isStable && fieldJson(key, reading.value, level) === raw ? null : raw];
  };

  for (const member of node.members) {
    source.push(readMember(member));
  }
  if (said === null && findMember(node, "id") === undefined) {
    source.unshift(["id", null, ownId]);
  }
  for (const key of fieldKeys) {
    const { problem } = readField(key, values.get(key));
    if (problem !== undefined) {
      report(context, problem.code, values.has(key) ? `${pointer}/${key}` : pointer, problem.detail);
    }
  }
  return {
    ...readFields((key) => readField(key, values.get(key)).value),
    extra: Object.fromEntries(extra),
    parent: parent?.index ?? null,
    segment,
    number: segmentNumber(segment),
    source,
    nextLocalNumber: 1,
  };
}

/** Says why a `subtasks` member is kept aside: there is no third level, and what is no list has no subtasks. */
function reportSubtasks(context: Context, member: JsonNode, pointer: string): void {
  if (member.kind === "array") {
    const detail = "A subtask cannot have subtasks; quarantine keeps them, unread, in the subtask's extra.";
    report(context, "too_deep", pointer, detail);
  } else {
    report(context, "wrong_type", pointer, "This should be a list; quarantine keeps it in the task's extra.");
  }
}

// ---- dependencies

function readEdges(context: Context, draft: TagDraft, tagOf: Map<string, string>): PlannedEdge[] {
  const { tasks, nodes, names } = draft;
  const edges: EdgeDraft[] = [];
  const idOf = (index: number): string => {
    const task = tasks[index];
    return task === undefined ? "" : localId(tasks, task);
  };

  const readEdge = (
    from: number,
    position: number,
    item: JsonNode,
    pointer: string,
    known: Set<number>,
  ): EdgeDraft => {
    const raw = compact(item, context.text);
    const inactive = (problem: DependencyProblem, detail: string): EdgeDraft => {
      return {
        from,
        to: null,
        position,
        raw,
        problem,
        pointer,
        detail: `${detail} Quarantine keeps it inactive.`,
      };
    };
    const reference = item.kind === "string" || item.kind === "number" ? readReference(raw) : undefined;
    if (reference === undefined) {
      return inactive("unreadable", "This is no reference to a task.");
    }
    const parent = tasks[from]?.parent ?? null;
    const { target, ambiguous } = resolveReference(names, reference, parent);
    const said = reference.parent === null ? reference.segment : `${reference.parent}.${reference.segment}`;
    if (target === undefined) {
      const tag = tagOf.get(said);
      return tag === undefined
        ? inactive("missing", `There is no task ${said}.`)
        : inactive("cross_tag", `There is no task ${said} in this tag, only in ${JSON.stringify(tag)}.`);
    }
    if (target === from) {
      return inactive("self", "The task would wait for itself.");
    }
    if (known.has(target)) {
      return inactive("duplicate", `The task waits for ${idOf(target)} already.`);
    }
    known.add(target);
    const detail = ambiguous
      ? `${said} is a task and also ${idOf(target)}; quarantine takes the subtask.`
      : "";
    return { from, to: target, position, raw, problem: ambiguous ? "ambiguous" : null, pointer, detail };
  };

  nodes.forEach(({ node, pointer }, from) => {
    const member = findMember(node, "dependencies");
    const at = `${pointer}/dependencies`;
    if (member?.kind === "array") {
      const known = new Set<number>();
      for (const [position, item] of member.items.entries()) {
        edges.push(readEdge(from, position, item, `${at}/${position}`, known));
      }
    } else if (member !== undefined && member.kind !== "null") {
      const raw = compact(member, context.text);
      const detail = "This should be a list of ids. Quarantine keeps it inactive.";
      edges.push({ from, to: null, position: 0, raw, problem: "unreadable", pointer: at, detail });
    }
  });

  keepAcyclic(tasks, edges, idOf);
  return edges.map(({ pointer, detail, ...edge }): PlannedEdge => {
    if (edge.problem !== null) {
      report(context, `dependency_${edge.problem}`, pointer, detail);
    }
    if (edge.to === null) {
      return edge;
    }
    const target = tasks[edge.to];
    const written = target === undefined ? "" : referenceJson(tasks, target);
    return { ...edge, raw: edge.raw === written ? null : edge.raw, problem: null };
  });
}

/** Makes each edge inactive that would close a cycle with the ones before it. */
function keepAcyclic(tasks: PlannedTask[], edges: EdgeDraft[], idOf: (index: number) => string): void {
  const active = edges.flatMap((edge) => (edge.to === null ? [] : [{ edge, from: edge.from, to: edge.to }]));
  const parents = tasks.map((task) => task.parent);
  for (const [index, path] of findCycles(parents, active)) {
    const closing = active[index];
    if (closing === undefined) {
      continue;
    }
    const steps = [closing.from, ...(path ?? [closing.to])];
    const named = steps.slice(0, MAX_NAMED_STEPS).map(idOf).join(" → ");
    const rest = path === null || steps.length > MAX_NAMED_STEPS ? " → …" : "";
    closing.edge.to = null;
    closing.edge.problem = "cycle";
    closing.edge.detail = `This would close the cycle ${named}${rest}. Quarantine keeps it inactive.`;
  }
}

/** A reference as an export writes it: dotted for a subtask, since a bare one can mean a task as well. */
function referenceJson(tasks: readonly PlannedTask[], target: PlannedTask): string {
  return target.parent === null ? segmentJson(target.segment) : JSON.stringify(localId(tasks, target));
}

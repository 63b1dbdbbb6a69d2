import { isObject, isSame } from "../json.ts";
import { type JsonObject, type Priority, priorities, type Status, statuses } from "../schema.ts";
import type { TaskValues } from "../storage.ts";
import type { Complexity } from "../tasks/schema.ts";
import type { ImportProblemCode } from "./schema.ts";

/** What a task has for a title when the file gives it none. */
export const UNTITLED = "(untitled)";

/** What a field makes of a member's value; undefined stands for a member that is missing. */
export interface Reading<T> {
  value: T;
  /** The field cannot hold the value: it stays in `extra` under the member's name. */
  aside?: true;
  problem?: { code: ImportProblemCode; detail: string };
  notice?: string;
}

type Read<T> = (value: unknown) => Reading<T>;

const readTitle: Read<string> = (value) => {
  if (typeof value === "string" && value.trim() !== "") {
    return { value };
  }
  const problem = {
    code: "missing_title",
    detail: `The task has no title; quarantine calls it ${JSON.stringify(UNTITLED)}.`,
  } as const;
  const blank = value === undefined || value === null || typeof value === "string";
  return blank ? { value: UNTITLED, problem } : { value: UNTITLED, aside: true, problem };
};

const readText: Read<string> = (value) => {
  if (typeof value === "string") {
    return { value };
  }
  if (value === undefined || value === null) {
    return { value: "" };
  }
  const detail = "This should be a text; quarantine keeps it in the task's extra and leaves the text empty.";
  return { value: "", aside: true, problem: { code: "wrong_type", detail } };
};

const readStatus: Read<Status> = (value) => {
  const status = statuses.find((known) => known === value);
  if (status !== undefined) {
    return { value: status };
  }
  if (value === "completed") {
    return { value: "done", aside: true, notice: 'Status "completed" is read as done.' };
  }
  // Deferred is neither a candidate of `next` nor complete, so no guess at the real status does any harm.
  if (value === undefined || value === null) {
    const detail = "The task has no status; quarantine takes deferred.";
    return { value: "deferred", problem: { code: "missing_status", detail } };
  }
  const detail = `${show(value)} is no status; quarantine takes deferred and keeps the original in the task's extra.`;
  return { value: "deferred", aside: true, problem: { code: "unknown_status", detail } };
};

const readPriority: Read<Priority | null> = (value) => {
  const priority = priorities.find((known) => known === value);
  if (priority !== undefined) {
    return { value: priority };
  }
  if (value === undefined || value === null) {
    return { value: null };
  }
  const detail = `${show(value)} is no priority; quarantine takes none and keeps the original in the task's extra.`;
  return { value: null, aside: true, problem: { code: "unknown_priority", detail } };
};

/** A field that is null until somebody sets it; what it cannot hold is no problem, only kept aside. */
function optional<T>(holds: (value: unknown) => value is T): Read<T | null> {
  return (value) => {
    if (holds(value)) {
      return { value };
    }
    return value === undefined || value === null ? { value: null } : { value: null, aside: true };
  };
}

const isWithin = (value: unknown, least: number, most: number): value is number =>
  typeof value === "number" && value >= least && value <= most;
const isHours = (value: unknown): value is number => isWithin(value, 0, 1_000_000);
const isScore = (value: unknown): value is number => isWithin(value, 0, 10);
const isCount = (value: unknown): value is number => isWithin(value, 0, 1000) && Number.isInteger(value);
const isName = (value: unknown): value is string => typeof value === "string" && value !== "";
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= 50_000;

const readLabels: Read<string[]> = (value) => {
  if (Array.isArray(value) && value.every((label) => typeof label === "string")) {
    return { value };
  }
  return value === undefined || value === null ? { value: [] } : { value: [], aside: true };
};

const readMetadata: Read<JsonObject> = (value) => {
  if (isObject(value)) {
    return { value };
  }
  return value === undefined || value === null ? { value: {} } : { value: {}, aside: true };
};

/** The members of a task or subtask that the product has fields for, in the order in which it writes them. */
const readers = {
  title: readTitle,
  description: readText,
  details: readText,
  testStrategy: readText,
  status: readStatus,
  priority: readPriority,
  assignee: optional(isName),
  effort: optional(isHours),
  actualEffort: optional(isHours),
  labels: readLabels,
  complexity: optional(isScore),
  complexityReasoning: optional(isText),
  recommendedSubtasks: optional(isCount),
  expansionPrompt: optional(isText),
  metadata: readMetadata,
};

export type FieldKey = keyof typeof readers;
export const fieldKeys = Object.keys(readers) as FieldKey[];

export function isFieldKey(key: string): key is FieldKey {
  return Object.hasOwn(readers, key);
}

export function readField<K extends FieldKey>(key: K, value: unknown): ReturnType<(typeof readers)[K]> {
  return readers[key](value) as ReturnType<(typeof readers)[K]>;
}

/** A task's fields but for `extra`, from `take`, which reads one member. */
export function readFields(
  take: <K extends FieldKey>(key: K) => ReturnType<(typeof readers)[K]>["value"],
): Omit<TaskValues, "extra"> {
  const score = take("complexity");
  const reasoning = take("complexityReasoning");
  const recommendedSubtasks = take("recommendedSubtasks");
  const expansionPrompt = take("expansionPrompt");
  const complexity: Complexity = {
    ...(score === null ? {} : { score }),
    ...(reasoning === null ? {} : { reasoning }),
    ...(recommendedSubtasks === null ? {} : { recommendedSubtasks }),
    ...(expansionPrompt === null ? {} : { expansionPrompt }),
  };
  return {
    title: take("title"),
    description: take("description"),
    details: take("details"),
    testStrategy: take("testStrategy"),
    status: take("status"),
    priority: take("priority"),
    assignee: take("assignee"),
    effort: take("effort"),
    actualEffort: take("actualEffort"),
    labels: take("labels"),
    complexity: Object.keys(complexity).length === 0 ? null : complexity,
    metadata: take("metadata"),
  };
}

/** The field's value as its member would say it. */
export function currentField(values: TaskValues, key: FieldKey): unknown {
  switch (key) {
    case "complexity":
      return values.complexity?.score ?? null;
    case "complexityReasoning":
      return values.complexity?.reasoning ?? null;
    case "recommendedSubtasks":
      return values.complexity?.recommendedSubtasks ?? null;
    case "expansionPrompt":
      return values.complexity?.expansionPrompt ?? null;
    default:
      return values[key];
  }
}

/**
 * The member's JSON text for a field's value; undefined when there is nothing to write. A task of its own always has
 * a priority, because one without makes the peer's list and next fail for the whole tag.
 */
export function fieldJson(key: FieldKey, value: unknown, level: "task" | "subtask"): string | undefined {
  const said = key === "priority" && level === "task" ? (value ?? "medium") : value;
  return said === null ? undefined : JSON.stringify(said);
}

/** Whether reading this value for the member would give exactly what the task has now. */
export function isCurrent(key: FieldKey, value: unknown, values: TaskValues): boolean {
  const reading = readField(key, value);
  if (!isSame(reading.value, currentField(values, key))) {
    return false;
  }
  return (
    reading.aside === undefined || (Object.hasOwn(values.extra, key) && isSame(values.extra[key], value))
  );
}

/** A tag's `metadata` member as the product keeps it: the description is a field of its own. */
export function readTagMetadata(value: unknown): { description: string; metadata: JsonObject } {
  if (!isObject(value)) {
    return { description: "", metadata: {} };
  }
  const { description, ...metadata } = value;
  return typeof description === "string" && description !== ""
    ? { description, metadata }
    : { description: "", metadata: value };
}

/** The `metadata` member for what the product keeps of it. */
export function tagMetadata(tag: { description: string; metadata: JsonObject }): JsonObject {
  return tag.description === "" ? tag.metadata : { ...tag.metadata, description: tag.description };
}

function show(value: unknown): string {
  const json = JSON.stringify(value);
  // By characters: half of a surrogate pair in a report could not be stored.
  const start = [...json.slice(0, 120)].slice(0, 60).join("");
  return start.length < json.length ? `${start}…` : json;
}

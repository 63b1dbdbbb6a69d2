/** A task's id or a reference to one, as a file says it: the last part, and the part before the dot if there is one. */
export interface Reference {
  parent: string | null;
  segment: string;
}

/** The tasks that a file names by usable ids: tasks by segment, and each task's subtasks by theirs. */
export interface Names<T> {
  tasks: Map<string, T>;
  subtasks: Map<T, Map<string, T>>;
}

const digits = /^[0-9]+$/;
const decimal = /^[0-9]+(\.[0-9]+)?$/;
const slug = /^[\p{L}\p{M}\p{N}_-]{1,100}$/u;

/**
 * Numbers above this stay ids, but are not counted on from: such ids are timestamps, and the next number must still
 * fit a 32-bit column.
 */
const MAX_NUMBER = 1_000_000_000;

/** Reads the JSON text of an id or reference; undefined when it can be neither. 3.10 is the subtask 10, not 1. */
export function readReference(json: string): Reference | undefined {
  const text = json.startsWith('"') ? (JSON.parse(json) as string) : readNumber(json);
  const parts = text?.split(".", 3).map(readSegment) ?? [];
  const [first, second] = parts;
  if (first === undefined || parts.length > 2) {
    return undefined;
  }
  if (parts.length === 1) {
    return { parent: null, segment: first };
  }
  return second === undefined ? undefined : { parent: first, segment: second };
}

/** The lexeme, or for another spelling of a whole number (2.0, 1e1) that number. */
function readNumber(json: string): string | undefined {
  if (!/^[-0-9]/.test(json)) {
    return undefined;
  }
  const value = Number(json);
  if (!digits.test(json) && Number.isSafeInteger(value) && value >= 0) {
    return String(value);
  }
  return decimal.test(json) ? json : undefined;
}

function readSegment(text: string): string | undefined {
  const segment = digits.test(text) ? text.replace(/^0+(?=[0-9])/, "") : text;
  return slug.test(segment) ? segment : undefined;
}

/**
 * Reads the JSON text of a task's own id; undefined when it cannot be used. `parent` is the id that the file gives
 * the task's parent, which the id may repeat ("3.2"); null for a task of its own.
 */
export function readId(json: string, parent: string | null): string | undefined {
  const reference = readReference(json);
  return reference?.parent === null || reference?.parent === parent ? reference?.segment : undefined;
}

/** The segment as a number to count on from. */
export function segmentNumber(segment: string): number | null {
  return digits.test(segment) && Number(segment) <= MAX_NUMBER ? Number(segment) : null;
}

/** The id or reference as the peer writes it: a number where it is one. */
export function segmentJson(segment: string): string {
  return digits.test(segment) && Number.isSafeInteger(Number(segment)) ? segment : JSON.stringify(segment);
}

/**
 * What a task means by a reference. A bare id in a subtask that fits both a sibling and a task is the sibling, as it
 * is to the peer's `next`; `ambiguous` then says so, because the peer's `validate-dependencies` takes it as the task.
 */
export function resolveReference<T>(
  names: Names<T>,
  reference: Reference,
  parent: T | null,
): { target: T | undefined; ambiguous: boolean } {
  const { segment } = reference;
  if (reference.parent !== null) {
    const holder = names.tasks.get(reference.parent);
    const target = holder === undefined ? undefined : names.subtasks.get(holder)?.get(segment);
    return { target, ambiguous: false };
  }
  const task = names.tasks.get(segment);
  const sibling = parent === null ? undefined : names.subtasks.get(parent)?.get(segment);
  return { target: sibling ?? task, ambiguous: sibling !== undefined && task !== undefined };
}

/** Adds a task or subtask to the names; the first of an id has it. */
export function addName<T>(names: Names<T>, parent: T | null, segment: string, task: T): void {
  let level = parent === null ? names.tasks : names.subtasks.get(parent);
  if (level === undefined) {
    level = new Map();
    names.subtasks.set(parent as T, level);
  }
  if (!level.has(segment)) {
    level.set(segment, task);
  }
}

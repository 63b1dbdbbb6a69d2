import { invalidInput } from "../errors.ts";
import type { EventType } from "../events/schema.ts";
import type { JsonObject } from "../schema.ts";
import type { Task } from "./schema.ts";

/**
 * The instant that `asOf` names. Before the year 1 and behind 9999, which an offset can reach, the database's clock
 * never was and its dates are written otherwise.
 */
export function readInstant(asOf: string): Date {
  const instant = new Date(asOf);
  const year = instant.getUTCFullYear();
  if (!(year >= 1 && year <= 9999)) {
    throw invalidInput("/asOf", "That is no instant between the years 1 and 9999 in RFC 3339 form.");
  }
  return instant;
}

/**
 * A task as it was at an instant: the newest state with the later events taken back, newest first. Undefined when it did
 * not exist then. A deleted task starts from the state that its last event keeps.
 */
export function takeBack(
  current: Task | undefined,
  later: { type: EventType; data: JsonObject }[],
  instant: Date,
): Task | undefined {
  let task = current;
  for (const { type, data } of later) {
    const changes = (data.changes ?? {}) as Record<string, [unknown, unknown]>;
    // An event is written a moment after the change that it tells of, and whoever asks goes by the task's own times.
    if (changes.updatedAt !== undefined && new Date(String(changes.updatedAt[1])) <= instant) continue;
    if (type === "task.deleted") task = data.task as Task;
    if (task === undefined) return undefined;
    for (const [field, pair] of Object.entries(changes)) {
      task = { ...task, [field]: pair[0] };
    }
  }
  return task !== undefined && new Date(task.createdAt) <= instant ? task : undefined;
}

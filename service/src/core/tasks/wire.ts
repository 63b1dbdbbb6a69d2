import type { TaskRecord } from "../storage.ts";
import type { Task } from "./schema.ts";

/** What the API shows of a stored task. */
export function toTask(record: TaskRecord): Task {
  const {
    projectId: _p,
    tagId: _t,
    segment: _s,
    number: _n,
    nextLocalNumber: _l,
    fence: _f,
    source: _o,
    ...task
  } = record;
  return task;
}

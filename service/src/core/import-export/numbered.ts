import type { ExportTag, ExportTask } from "./export-input.ts";

/**
 * The tag with a number in place of every id that is none: task-master-ai 0.43 lists slugs, and then calls every
 * dependency on one missing. Slugs get the next free numbers, in their order.
 */
export function withNumbers(tag: ExportTag): ExportTag {
  if (tag.tasks.every(isNumbered)) return tag;
  const segments = new Map<string, string>();
  const levels = Map.groupBy(tag.tasks, (task) => task.parentId);
  const tasks = levels.get(null) ?? [];
  levels.delete(null);
  // A subtask's bare reference to a task reads as one to a sibling of that number: where there is such a reference, the
  // numbers of subtasks and those of tasks keep apart.
  const apart = refersFromSubtaskToTask(tag);
  const all = apart ? highestOf(tag.tasks) : 0;
  let highest = all;
  for (const siblings of levels.values()) {
    const last = number(segments, siblings, Math.max(all, highestOf(siblings)));
    if (apart) highest = Math.max(highest, last);
  }
  number(segments, tasks, Math.max(highest, highestOf(tasks)));
  const localIdOf = (task: ExportTask): string => {
    const own = segments.get(task.id) ?? task.segment;
    const parent = task.parentId === null ? undefined : segments.get(task.parentId);
    return parent === undefined ? own : `${parent}.${own}`;
  };
  const renamed = new Map(tag.tasks.map((task) => [task.localId, localIdOf(task)]));
  return {
    ...tag,
    tasks: tag.tasks.map((task) => ({
      ...task,
      segment: segments.get(task.id) ?? task.segment,
      localId: localIdOf(task),
      dependencies: task.dependencies.map((edge) => ({
        ...edge,
        localId: edge.localId === null ? null : (renamed.get(edge.localId) ?? edge.localId),
      })),
    })),
  };
}

function refersFromSubtaskToTask(tag: ExportTag): boolean {
  const tasks = new Set(tag.tasks.filter((task) => task.parentId === null).map((task) => task.localId));
  return tag.tasks.some(
    (task) =>
      task.parentId !== null &&
      task.dependencies.some(({ localId }) => localId !== null && tasks.has(localId)),
  );
}

function highestOf(tasks: ExportTask[]): number {
  return tasks.filter(isNumbered).reduce((highest, task) => Math.max(highest, Number(task.segment)), 0);
}

/** Gives the slugs among siblings the numbers behind `last`, and returns the last one given. */
function number(segments: Map<string, string>, siblings: ExportTask[], last: number): number {
  let given = last;
  for (const task of siblings) {
    if (!isNumbered(task)) given += 1;
    segments.set(task.id, isNumbered(task) ? task.segment : String(given));
  }
  return given;
}

/** A number is exact as a JSON number only up to 2^53, and the ids that are no numbers count on from the highest. */
const highestNumber = Number.MAX_SAFE_INTEGER / 2;

function isNumbered(task: ExportTask): boolean {
  return /^\d+$/.test(task.segment) && Number(task.segment) <= highestNumber;
}

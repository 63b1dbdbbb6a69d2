import type { TaskSummary } from "../dependencies/schema.ts";
import { priorities } from "../schema.ts";
import type { CandidateQuery, Repositories, TaskRecord, Transaction } from "../storage.ts";
import { completeStatuses, workableStatuses } from "../tasks/status.ts";
import { defaultPriority } from "./rules.ts";

/**
 * The rule of the task-master-ai command line: first subtasks of tasks in progress, whatever these tasks wait for; if
 * there are none, tasks. In each stage only what waits for nothing incomplete, by priority, then fewer dependencies,
 * then id. Its ways are kept where the answers would differ: what an import quarantined still holds back; a done subtask
 * does not count while its task is put aside; and a subtask that waits for a task waits for ever, since that tool's file cannot say it: there every bare
 * id in a subtask means a sibling.
 */
function stages(tagId: string, holderId: string, unclaimed: boolean, limit: number): CandidateQuery[] {
  const common = {
    tagId,
    statuses: workableStatuses,
    completeStatuses,
    completeParentStatuses: ["pending", "in-progress", "done"],
    subtasksWaitForTasks: false,
    quarantinedEdgesHold: true,
    priorities,
    defaultPriority,
    holderId,
    unclaimed,
    limit,
  } satisfies Partial<CandidateQuery>;
  return [
    { ...common, level: "subtask", parentStatuses: ["in-progress"] },
    { ...common, level: "task" },
  ];
}

/** What the holder could work on, its own claims included. */
export async function findCandidates(
  tx: Repositories,
  tagId: string,
  holderId: string,
  limit: number,
): Promise<string[]> {
  for (const stage of stages(tagId, holderId, false, limit)) {
    const found = await tx.tasks.candidates(stage);
    if (found.length > 0) return found;
  }
  return [];
}

/**
 * Locks the family of the first that nobody works on or is about to take. "busy" when there is such work, and other
 * transactions have their hands on all of it.
 */
export async function lockCandidate(
  tx: Transaction,
  tagId: string,
  holderId: string,
): Promise<string | undefined | "busy"> {
  for (const stage of stages(tagId, holderId, true, 1)) {
    const locked = await tx.claims.lockCandidate(stage);
    if (locked !== undefined) return locked;
    if ((await tx.tasks.candidates(stage)).length > 0) return "busy";
  }
  return undefined;
}

/** Whether the task can be worked on now, when it waits for these. */
export function isRunnable(task: TaskRecord, dependsOn: TaskSummary[]): boolean {
  return (
    workableStatuses.includes(task.status) &&
    dependsOn.every((other) => completeStatuses.includes(other.status))
  );
}

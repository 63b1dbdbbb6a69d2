import { priorities } from "../schema.ts";
import type { CandidateQuery, Repositories, TaskRecord } from "../storage.ts";
import { completeStatuses, workableStatuses } from "../tasks/status.ts";
import { defaultPriority } from "./rules.ts";

/**
 * The rule of the task-master-ai command line: first subtasks of tasks in progress, whatever these tasks wait for; if
 * there are none, tasks. In each stage only what waits for nothing incomplete, by priority, then fewer dependencies,
 * then id. Its ways are kept where the answers would differ: what an import quarantined still holds back; a done subtask
 * does not count while its task is put aside; and a subtask that waits for a task waits for ever, since that tool's file cannot say it: there every bare
 * id in a subtask means a sibling.
 */
export async function findCandidates(
  tx: Repositories,
  tagId: string,
  holderId: string | null,
  limit: number,
): Promise<string[]> {
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
    limit,
  } satisfies Partial<CandidateQuery>;
  const subtasks = await tx.tasks.candidates({
    ...common,
    level: "subtask",
    parentStatuses: ["in-progress"],
  });
  return subtasks.length > 0 ? subtasks : tx.tasks.candidates({ ...common, level: "task" });
}

/** Whether the task can be worked on now, as seen behind its lock. */
export async function isRunnable(tx: Repositories, task: TaskRecord): Promise<boolean> {
  if (!workableStatuses.includes(task.status)) return false;
  const dependsOn = await tx.dependencies.dependsOn(task.id);
  return dependsOn.every((other) => completeStatuses.includes(other.status));
}

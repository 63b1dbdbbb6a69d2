import type { Attempt, Comment, Task } from "../core/index.ts";
import type { Output } from "./output.ts";
import { holderOf, priorityCell, statusCell, taskTable } from "./task-view.ts";

/** What belongs to a task without being part of it. */
export interface Surroundings {
  subtasks: readonly Task[];
  attempts: readonly Attempt[];
  comments: readonly Comment[];
}

const labelWidth = 14;

/** A task for a reader: what there is of it, and nothing that is empty. */
export function taskDetails(out: Output, task: Task, around?: Surroundings): void {
  const field = (label: string, text: string | null | undefined) => {
    if (text === null || text === undefined || text === "") return;
    out.say(`${out.style("dim", label.padEnd(labelWidth))}${text}`);
  };
  const block = (label: string, text: string) => {
    if (text.trim() === "") return;
    out.say();
    out.say(out.style("bold", label));
    out.quote(text.trimEnd());
  };
  const status = statusCell(task.status);
  const priority = priorityCell(task.priority);

  out.say(out.style("bold", out.oneLine(`${task.localId}  ${task.title}`)));
  field("Status", out.style(status.style, status.text));
  field("Priority", task.priority === null ? "" : out.style(priority.style, priority.text));
  field("Who", out.oneLine(holderOf(task)));
  field("Claimed until", task.claim?.expiresAt);
  field("Waits for", out.oneLine(task.dependencies.join(", ")));
  field("Labels", out.oneLine(task.labels.join(", ")));
  field("Effort", hoursOf(task));
  field("Complexity", task.complexity?.score === undefined ? "" : `${task.complexity.score} of 10`);
  field("Changed", `${task.updatedAt} (version ${task.version})`);
  field("Id", task.id);
  block("Description", task.description);
  block("Details", task.details);
  block("Test strategy", task.testStrategy);
  if (around === undefined) return;

  if (around.subtasks.length > 0) {
    out.say();
    out.say(out.style("bold", "Subtasks"));
    taskTable(out, around.subtasks);
  }
  for (const { number, outcome, holder, endedAt, note } of around.attempts) {
    block(
      `Attempt ${number}: ${outcome}, by ${out.oneLine(holder.name)}, ${endedAt}`,
      note === "" ? "(no note)" : note,
    );
  }
  for (const { author, createdAt, body } of around.comments) {
    block(`Comment by ${out.oneLine(author.name)}, ${createdAt}`, body);
  }
}

function hoursOf({ effort, actualEffort }: Task): string {
  const parts = [
    ...(effort === null ? [] : [`${effort} h estimated`]),
    ...(actualEffort === null ? [] : [`${actualEffort} h spent`]),
  ];
  return parts.join(", ");
}

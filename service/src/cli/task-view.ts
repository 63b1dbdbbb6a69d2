import type { Priority, Status, Task } from "../core/index.ts";
import type { Cell, Column, Output } from "./output.ts";

type Style = NonNullable<Cell["style"]>;

/** How a status looks; its keys are all statuses there are. */
const statusLooks: Record<Status, { sign: string; style: Style }> = {
  pending: { sign: "○", style: "yellow" },
  "in-progress": { sign: "▶", style: "cyan" },
  review: { sign: "?", style: "magenta" },
  done: { sign: "✓", style: "green" },
  deferred: { sign: "⏸", style: "gray" },
  cancelled: { sign: "✗", style: "gray" },
  blocked: { sign: "!", style: "red" },
};
export const statusNames = Object.keys(statusLooks) as Status[];

/** From the most urgent. */
const priorityLooks: Record<Priority, Style> = {
  critical: ["bold", "red"],
  high: "red",
  medium: "yellow",
  low: "gray",
};
export const priorityNames = Object.keys(priorityLooks) as Priority[];

export function statusCell(status: Status): Required<Cell> {
  const { sign, style } = statusLooks[status];
  return { text: `${sign} ${status}`, style };
}

export function priorityCell(priority: Priority | null): Required<Cell> {
  return priority === null ? { text: "-", style: "dim" } : { text: priority, style: priorityLooks[priority] };
}

/** Who works on it: whoever holds a claim, else whom it is assigned to. */
export function holderOf({ claim, assignee }: Pick<Task, "claim" | "assignee">): string {
  return claim === null ? (assignee ?? "") : `${claim.holder.name} (claimed)`;
}

const columns: Column[] = [
  { title: "ID" },
  { title: "STATUS" },
  { title: "PRIORITY" },
  { title: "TITLE", grows: true },
  { title: "WAITS FOR", optional: true },
  { title: "WHO", optional: true },
];

/** `indented` are drawn as subtasks of the row before them. */
export function taskTable(
  out: Output,
  tasks: readonly Task[],
  indented: ReadonlySet<string> = new Set(),
): void {
  out.table(
    columns,
    tasks.map((task) => [
      { text: indented.has(task.id) ? `└ ${task.localId}` : task.localId, style: "bold" },
      statusCell(task.status),
      priorityCell(task.priority),
      task.title,
      task.dependencies.join(", "),
      holderOf(task),
    ]),
  );
}

/** Each task followed by those of its subtasks that are in the list. */
export function asTree(tasks: readonly Task[]): { rows: Task[]; indented: Set<string> } {
  const present = new Set(tasks.map(({ id }) => id));
  const children = Map.groupBy(tasks, ({ parent }) =>
    parent !== null && present.has(parent) ? parent : null,
  );
  const rows: Task[] = [];
  const indented = new Set<string>();
  for (const task of children.get(null) ?? []) {
    rows.push(task);
    for (const subtask of children.get(task.id) ?? []) {
      rows.push(subtask);
      indented.add(subtask.id);
    }
  }
  return { rows, indented };
}

/** Such as: 12 tasks: 3 done, 9 pending. */
export function countsOf(tasks: readonly Pick<Task, "status">[]): string {
  const counts = Map.groupBy(tasks, ({ status }) => status);
  const parts = statusNames
    .filter((status) => counts.has(status))
    .map((status) => `${counts.get(status)?.length ?? 0} ${status}`);
  const noun = tasks.length === 1 ? "task" : "tasks";
  return `${tasks.length} ${noun}${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`;
}

/** A value of any field as one cell. */
function plain(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Items that were cut down to some of their members, a column each. */
export function fieldTable(out: Output, names: readonly string[], items: readonly object[]): void {
  out.table(
    names.map((name, index) => ({ title: name, grows: index === names.length - 1 })),
    items.map((item) => names.map((name) => plain(Reflect.get(item, name)))),
  );
}

/** A task in a line, after a change. */
export function taskLine(out: Output, task: Task): void {
  const { text, style } = statusCell(task.status);
  const id = out.style("bold", out.oneLine(task.localId));
  out.say(`${id}  ${out.style(style, text)}  ${out.oneLine(task.title)}`);
}

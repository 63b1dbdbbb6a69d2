import type { Priority, Status } from "../schema.ts";
import { priorities } from "../schema.ts";
import type { EdgeRecord, GraphTask } from "../storage.ts";
import { closedStatuses, completeStatuses, workableStatuses } from "../tasks/status.ts";

/** A priority counts as the parent's where the task has none, and as medium where that has none either. */
export const defaultPriority: Priority = "medium";

/** A tag's tasks with their edges, indexed once for the rules below. */
export interface TaskGraph {
  tasks: GraphTask[];
  byId: ReadonlyMap<string, GraphTask>;
  /** What each task waits for. */
  dependsOn: ReadonlyMap<string, GraphTask[]>;
  /** What waits for each task. */
  dependents: ReadonlyMap<string, GraphTask[]>;
  subtasks: ReadonlyMap<string, GraphTask[]>;
}

export function buildGraph(tasks: GraphTask[], edges: EdgeRecord[]): TaskGraph {
  const byId = new Map(tasks.map((task) => [task.id, task]));
  const dependsOn = new Map<string, GraphTask[]>();
  const dependents = new Map<string, GraphTask[]>();
  const subtasks = new Map<string, GraphTask[]>();
  const push = (map: Map<string, GraphTask[]>, key: string, task: GraphTask) => {
    const list = map.get(key);
    if (list === undefined) map.set(key, [task]);
    else list.push(task);
  };
  for (const { from, to } of edges) {
    const waiting = byId.get(from);
    const waitedFor = byId.get(to);
    if (waiting === undefined || waitedFor === undefined) continue;
    push(dependsOn, from, waitedFor);
    push(dependents, to, waiting);
  }
  for (const task of tasks) if (task.parent !== null) push(subtasks, task.parent, task);
  return { tasks, byId, dependsOn, dependents, subtasks };
}

export function isOpen(status: Status): boolean {
  return !closedStatuses.includes(status);
}

/** What the task itself waits for and that is not complete. */
export function openDependencies(graph: TaskGraph, task: GraphTask): GraphTask[] {
  return (graph.dependsOn.get(task.id) ?? []).filter((other) => !completeStatuses.includes(other.status));
}

function parentOf(graph: TaskGraph, task: GraphTask): GraphTask | undefined {
  return task.parent === null ? undefined : graph.byId.get(task.parent);
}

/**
 * What keeps work on it from beginning: what it waits for itself, and for a subtask what its parent waits for. A parent
 * that is in progress was begun on purpose, and no longer holds its subtasks back.
 */
function obstacles(graph: TaskGraph, task: GraphTask): GraphTask[] {
  const own = openDependencies(graph, task);
  const parent = parentOf(graph, task);
  if (own.length > 0 || parent === undefined || parent.status === "in-progress") return own;
  return openDependencies(graph, parent);
}

/** Whether work on it can begin. */
export function isReady(graph: TaskGraph, task: GraphTask): boolean {
  const parent = parentOf(graph, task);
  return obstacles(graph, task).length === 0 && (parent === undefined || isOpen(parent.status));
}

/** Whether somebody, the holder itself as well, works on it or on one of its subtasks. */
function isWorkedOn(graph: TaskGraph, task: GraphTask): boolean {
  return [task, ...(graph.subtasks.get(task.id) ?? [])].some((one) => one.holderId !== null);
}

/** Whether somebody other than `holderId` holds it, its parent, or one of its subtasks. */
export function isHeldByAnother(graph: TaskGraph, task: GraphTask, holderId: string | null): boolean {
  const held = (other: GraphTask | undefined) =>
    other != null && other.holderId !== null && other.holderId !== holderId;
  return held(task) || held(parentOf(graph, task)) || (graph.subtasks.get(task.id) ?? []).some(held);
}

export function effectivePriority(graph: TaskGraph, task: GraphTask): Priority {
  return task.priority ?? parentOf(graph, task)?.priority ?? defaultPriority;
}

function byPriorityAndPlace(graph: TaskGraph): (a: GraphTask, b: GraphTask) => number {
  const place = (task: GraphTask) =>
    `${parentOf(graph, task)?.rank ?? task.rank} ${task.parent === null ? "" : task.rank}`;
  return (a, b) =>
    priorities.indexOf(effectivePriority(graph, a)) - priorities.indexOf(effectivePriority(graph, b)) ||
    (place(a) < place(b) ? -1 : 1);
}

/** What a person or agent can begin now, most urgent first. */
export function readyTasks(graph: TaskGraph): GraphTask[] {
  return graph.tasks
    .filter(
      (task) => task.status === "pending" && isReady(graph, task) && !isHeldByAnother(graph, task, null),
    )
    .sort(byPriorityAndPlace(graph));
}

/** Open tasks that wait for something, each with what it waits for. */
export function blockedTasks(graph: TaskGraph): { task: GraphTask; waitsFor: GraphTask[] }[] {
  return graph.tasks
    .filter((task) => isOpen(task.status))
    .map((task) => ({ task, waitsFor: obstacles(graph, task) }))
    .filter(({ waitsFor }) => waitsFor.length > 0);
}

/** In hours; a task without an effort counts as one, and one with open subtasks as nothing: they are its work. */
function weight(graph: TaskGraph, task: GraphTask): number {
  if (!isOpen(task.status)) return 0;
  if ((graph.subtasks.get(task.id) ?? []).some((subtask) => isOpen(subtask.status))) return 0;
  return task.effort ?? 1;
}

export interface Chain {
  /** The effort of the longest chain that begins with the task, its own included. */
  effort: number;
  next: GraphTask | undefined;
}

/**
 * For each open task the longest chain of open work that cannot end before it is done: through its dependents, and from
 * a subtask to its parent. Linear in tasks and edges; without recursion, since a chain can be as long as the tag.
 */
export function longestChains(graph: TaskGraph): Map<string, Chain> {
  const chains = new Map<string, Chain>();
  const successors = (task: GraphTask): GraphTask[] => {
    const parent = parentOf(graph, task);
    const next = (graph.dependents.get(task.id) ?? []).filter((other) => isOpen(other.status));
    // Whoever waits for a task with subtasks cannot begin before these end, and neither can its subtasks.
    const inherited = next
      .filter((other) => other !== parent)
      .flatMap((other) => (graph.subtasks.get(other.id) ?? []).filter((sub) => isOpen(sub.status)));
    return parent === undefined || !isOpen(parent.status)
      ? [...next, ...inherited]
      : [...next, ...inherited, parent];
  };
  for (const start of graph.tasks) {
    if (!isOpen(start.status)) continue;
    const open: GraphTask[] = [start];
    const entered = new Set<string>();
    for (let task = open.at(-1); task !== undefined; task = open.at(-1)) {
      if (chains.has(task.id)) {
        open.pop();
        continue;
      }
      const next = successors(task);
      if (!entered.has(task.id)) {
        entered.add(task.id);
        const unknown = next.filter((other) => !chains.has(other.id) && !entered.has(other.id));
        if (unknown.length > 0) {
          open.push(...unknown);
          continue;
        }
      }
      let best: Chain = { effort: 0, next: undefined };
      for (const other of next) {
        const chain = chains.get(other.id);
        if (chain !== undefined && (best.next === undefined || chain.effort > best.effort)) {
          best = { effort: chain.effort, next: other };
        }
      }
      chains.set(task.id, { effort: weight(graph, task) + best.effort, next: best.next });
      open.pop();
    }
  }
  return chains;
}

/** The longest chain of the whole tag. */
export function criticalPath(graph: TaskGraph): { effort: number; tasks: GraphTask[] } {
  const chains = longestChains(graph);
  let first: GraphTask | undefined;
  let effort = 0;
  for (const task of graph.tasks) {
    const chain = chains.get(task.id);
    if (chain !== undefined && (first === undefined || chain.effort > effort)) {
      first = task;
      effort = chain.effort;
    }
  }
  const tasks: GraphTask[] = [];
  for (let task = first; task !== undefined; task = chains.get(task.id)?.next) tasks.push(task);
  return { effort, tasks };
}

export interface RankedTask {
  task: GraphTask;
  reasons: string[];
}

/**
 * Smart mode: of the work that can begin or go on now, first what the longest chain hangs on, then the more urgent,
 * then what more tasks wait for, then the place in the list. A task with open subtasks is worked on through them.
 * `unclaimed` leaves out what the holder works on already.
 */
export function rankSmart(graph: TaskGraph, holderId: string | null, unclaimed = false): RankedTask[] {
  const chains = longestChains(graph);
  const chainOf = (task: GraphTask) => chains.get(task.id)?.effort ?? 0;
  const waiting = (task: GraphTask) =>
    (graph.dependents.get(task.id) ?? []).filter((other) => isOpen(other.status)).length;
  const place = byPriorityAndPlace(graph);
  return graph.tasks
    .filter(
      (task) =>
        workableStatuses.includes(task.status) &&
        isReady(graph, task) &&
        !isHeldByAnother(graph, task, holderId) &&
        !(unclaimed && isWorkedOn(graph, task)) &&
        !(graph.subtasks.get(task.id) ?? []).some((subtask) => isOpen(subtask.status)),
    )
    .sort(
      (a, b) =>
        chainOf(b) - chainOf(a) ||
        priorities.indexOf(effectivePriority(graph, a)) - priorities.indexOf(effectivePriority(graph, b)) ||
        waiting(b) - waiting(a) ||
        place(a, b),
    )
    .map((task) => ({
      task,
      reasons: [
        `The longest chain of open work that begins with it takes ${chainOf(task)} h.`,
        `Its priority is ${effectivePriority(graph, task)}.`,
        waiting(task) === 0 ? "No open task waits for it." : `${waiting(task)} open task(s) wait for it.`,
      ],
    }));
}

/**
 * Random task lists for comparing `next` in compatible mode with the peer's recorded answers. A list depends on nothing
 * but its seed: no clock, no Math.random, no host. Changing anything here changes the lists, so record again after it.
 */
import { createHash } from "node:crypto";

export type Id = number | string;

export interface SubtaskRecord {
  id: Id;
  title: string;
  description: string;
  status: string;
  priority?: string;
  dependencies?: Id[];
  details: string;
  testStrategy: string;
}

export interface TaskRecord {
  id: Id;
  title: string;
  description: string;
  status: string;
  priority: string;
  dependencies: Id[];
  details: string;
  testStrategy: string;
  subtasks?: SubtaskRecord[];
}

/** One tag as it stands in tasks.json. */
export interface TagFile {
  tasks: TaskRecord[];
  metadata: { created: string; updated: string; description: string };
}

type Random = () => number;
type Weights = Readonly<Record<string, number>>;

/** What makes a list's kind: how its statuses and priorities are drawn, and how dense its edges are. */
interface Mood {
  readonly share: number;
  readonly task: Weights;
  readonly subtask: Weights;
  readonly priorities: Weights;
  /** Chance that a task has subtasks, that a subtask has a priority of its own, and that a node has dependencies. */
  readonly withSubtasks: number;
  readonly ownPriority: number;
  readonly withDependencies: number;
  /** Chance that an edge is drawn to a node that is already done (or looks it), when there is one. */
  readonly preferDone: number;
  /** True for a short list full of edges that are easily misread, where little else decides the answer. */
  readonly puzzle?: true;
}

const EVEN_PRIORITIES: Weights = { low: 1, medium: 1, high: 1, critical: 1 };

const MOODS: readonly Mood[] = [
  {
    // Anything: every status and priority, most edges open.
    share: 3,
    task: { pending: 4, "in-progress": 2, review: 1, done: 3, deferred: 1, cancelled: 1, blocked: 1 },
    subtask: { pending: 4, "in-progress": 2, review: 1, done: 3, deferred: 1, cancelled: 1, blocked: 1 },
    priorities: EVEN_PRIORITIES,
    withSubtasks: 0.5,
    ownPriority: 0.3,
    withDependencies: 0.5,
    preferDone: 0.3,
  },
  {
    // Many parents in progress at once, with candidates in each.
    share: 6,
    task: { pending: 2, "in-progress": 6, review: 1, done: 2, deferred: 1, cancelled: 1, blocked: 1 },
    subtask: { pending: 4, "in-progress": 2, review: 1, done: 4, deferred: 1, cancelled: 1, blocked: 1 },
    priorities: EVEN_PRIORITIES,
    withSubtasks: 0.8,
    ownPriority: 0.25,
    withDependencies: 0.6,
    preferDone: 0.7,
  },
  {
    // Parents in progress, one priority throughout: the number of dependencies and the id decide.
    share: 4,
    task: { pending: 1, "in-progress": 5, done: 3 },
    subtask: { pending: 5, "in-progress": 2, done: 5 },
    priorities: { medium: 1 },
    withSubtasks: 0.8,
    ownPriority: 0,
    withDependencies: 0.85,
    preferDone: 0.9,
  },
  {
    // Parents in progress that offer nothing: the answer falls back to the tasks themselves.
    share: 2,
    task: { pending: 3, "in-progress": 5, done: 2 },
    subtask: { review: 2, done: 4, deferred: 1, cancelled: 1, blocked: 2 },
    priorities: { medium: 3, high: 2, critical: 1 },
    withSubtasks: 0.7,
    ownPriority: 0.3,
    withDependencies: 0.5,
    preferDone: 0.6,
  },
  {
    // Nobody has started: tasks only, with ties on priority and on the number of dependencies.
    share: 3,
    task: { pending: 4, done: 4 },
    subtask: { pending: 3, "in-progress": 2, done: 3 },
    priorities: { medium: 4, high: 1 },
    withSubtasks: 0.4,
    ownPriority: 0.2,
    withDependencies: 0.85,
    preferDone: 0.9,
  },
  {
    // Set aside or stopped: subtasks done under parents that are in review, deferred, cancelled or blocked.
    share: 2,
    task: { pending: 3, "in-progress": 1, review: 2, done: 1, deferred: 2, cancelled: 2, blocked: 2 },
    subtask: { pending: 1, review: 1, done: 6, cancelled: 1 },
    priorities: EVEN_PRIORITIES,
    withSubtasks: 0.8,
    ownPriority: 0.2,
    withDependencies: 0.8,
    preferDone: 0.9,
  },
  {
    // Nearly finished, or stuck: often nothing is ready.
    share: 1,
    task: { pending: 1, review: 2, done: 6, deferred: 1, cancelled: 2, blocked: 2 },
    subtask: { pending: 1, review: 1, done: 6, cancelled: 1, blocked: 1 },
    priorities: EVEN_PRIORITIES,
    withSubtasks: 0.4,
    ownPriority: 0.2,
    withDependencies: 0.9,
    preferDone: 0,
  },
  {
    // Puzzles: a few tasks, edges of every form, and targets that look finished.
    share: 8,
    task: { pending: 2, "in-progress": 5, review: 1, done: 3, cancelled: 1 },
    subtask: { pending: 3, "in-progress": 1, review: 1, done: 3, cancelled: 1 },
    priorities: { medium: 2, high: 1 },
    withSubtasks: 0.8,
    ownPriority: 0.1,
    withDependencies: 0.8,
    preferDone: 0.9,
    puzzle: true,
  },
];

/**
 * The list of a seed: 0 to 25 tasks, ids unique with gaps and often out of order, dependencies on existing tasks and
 * subtasks of the same list, without a cycle (also when a subtask counts as part of its parent), none twice, none on
 * itself. Ids and dependencies are integers, in a share of the lists written as strings.
 *
 * A subtask's dependencies come in four forms: "1.2" for a sibling, a bare 2 or "2" for a sibling, "4.1" for another
 * task's subtask, and a bare number that fits no sibling but a task (the peer's `next` reads it as a sibling's all the
 * same, and waits for ever).
 */
export function generateGraph(seed: number): TagFile {
  const random = mulberry32(seed);
  const mood = pick(MOODS, (candidate) => candidate.share, random);
  const textIds = random() < 0.15;
  const textDependencies = textIds || random() < 0.3;
  const habits: Habits = {
    textDependencies,
    targets: random() < (mood.puzzle ? 0.5 : 0.2) ? ["done", "review", "cancelled"] : ["done"],
    outside: random() < (mood.puzzle ? 0.7 : 0.3) ? 0.6 : 0,
    bareTasks: random() < (mood.puzzle ? 0.35 : 0.03) ? 0.5 : 0,
    lures: random() < (mood.puzzle ? 0.8 : 0.4) ? 0.6 : 0,
  };
  const most = pick(mood.puzzle ? [5] : [0, 1, 6, 12, 25], (size) => (size < 2 ? 1 : 8), random);
  const size = most < 2 ? most : 2 + Math.floor(random() * (most - 1));

  const ids = drawIds(size, 0.2, random);
  // Edges go only from a later to an earlier place in this order, which keeps them free of cycles whatever the ids are.
  const order = random() < 0.6 ? [...ids] : shuffled(ids, random);
  const tasks = new Map<number, TaskRecord>();
  const earlier: Placed[] = [];
  for (const id of order) {
    const subtasks = random() < mood.withSubtasks ? makeSubtasks(id, earlier, mood, habits, random) : [];
    const targets = drawTargets(earlier, mood, habits, random);
    const task: TaskRecord = {
      id: textIds ? String(id) : id,
      title: `Task ${id}`,
      description: `What task ${id} is about`,
      status: draw(mood.task, random),
      priority: targets.length > 0 && random() < habits.lures ? "critical" : draw(mood.priorities, random),
      dependencies: targets.map((target) =>
        written(target.name, textDependencies || target.parent !== undefined),
      ),
      details: "",
      testStrategy: "",
      subtasks,
    };
    if (subtasks.length === 0 && random() < 0.3) {
      delete task.subtasks;
    }
    tasks.set(id, task);
    earlier.push({ name: String(id), parent: undefined, status: task.status });
    for (const subtask of subtasks) {
      earlier.push({ name: `${id}.${subtask.id}`, parent: id, status: subtask.status });
    }
  }

  const places = random() < 0.5 ? [...ids] : shuffled(ids, random);
  return {
    tasks: places.map((id) => tasks.get(id) as TaskRecord),
    metadata: {
      created: "2025-01-01T00:00:00.000Z",
      updated: "2025-01-01T00:00:00.000Z",
      description: `Generated from seed ${seed}`,
    },
  };
}

/** Sixteen hex digits of a list's SHA-256: what a recorded answer names, so that it is never held against another list. */
export function fingerprint(graph: TagFile): string {
  return createHash("sha256").update(JSON.stringify(graph)).digest("hex").slice(0, 16);
}

/** A node that later ones may depend on; `name` is "3" or "3.1", `parent` the task of a subtask. */
interface Placed {
  readonly name: string;
  readonly parent: number | undefined;
  readonly status: string;
}

/** What is the same throughout one list, drawn once. */
interface Habits {
  readonly textDependencies: boolean;
  /** The statuses preferred as the target of an edge; review and cancelled look finished and do not count so. */
  readonly targets: readonly string[];
  /** Chance that a subtask depends on other tasks' subtasks too, or on tasks by a bare number. */
  readonly outside: number;
  readonly bareTasks: number;
  /** Chance that a node with dependencies is urgent, so that a mistake in reading them changes the answer. */
  readonly lures: number;
}

function makeSubtasks(
  parent: number,
  earlier: readonly Placed[],
  mood: Mood,
  habits: Habits,
  random: Random,
): SubtaskRecord[] {
  const ids = drawIds(1 + Math.floor(random() * (random() < 0.15 ? 12 : 6)), 0.1, random);
  const order = random() < 0.7 ? [...ids] : shuffled(ids, random);
  const outside = earlier.filter((node) => node.parent !== undefined);
  const outsideTasks = earlier.filter(
    (node) => node.parent === undefined && !ids.includes(Number(node.name)),
  );
  const made: SubtaskRecord[] = [];
  const siblings: Placed[] = [];
  for (const id of order) {
    const dependencies: Id[] = drawTargets(siblings, mood, habits, random).map((target) => {
      const dotted = random() < 0.5;
      return dotted ? `${parent}.${target.name}` : written(target.name, habits.textDependencies);
    });
    if (random() < habits.outside) {
      dependencies.push(...drawTargets(outside, mood, habits, random).map((target) => target.name));
    }
    if (random() < habits.bareTasks) {
      const targets = drawTargets(outsideTasks, mood, habits, random);
      dependencies.push(...targets.map((target) => written(target.name, habits.textDependencies)));
    }
    const subtask: SubtaskRecord = {
      id,
      title: `Subtask ${parent}.${id}`,
      description: "",
      status: draw(mood.subtask, random),
      dependencies,
      details: "",
      testStrategy: "",
    };
    if (dependencies.length > 0 && random() < habits.lures) {
      subtask.priority = "critical";
    } else if (random() < mood.ownPriority) {
      subtask.priority = draw(EVEN_PRIORITIES, random);
    }
    if (dependencies.length === 0 && random() < 0.1) {
      delete subtask.dependencies;
    }
    made.push(subtask);
    siblings.push({ name: String(id), parent, status: subtask.status });
  }
  return random() < 0.5 ? made : shuffled(made, random);
}

/** Up to four different nodes to depend on, mostly one; done ones more often where the mood asks for it. */
function drawTargets(nodes: readonly Placed[], mood: Mood, habits: Habits, random: Random): Placed[] {
  if (random() >= mood.withDependencies) {
    return [];
  }
  const wanted = 1 + Math.floor(random() * random() * 4);
  const drawn = new Set<Placed>();
  const preferred = nodes.filter((node) => habits.targets.includes(node.status));
  for (let tries = 0; tries < wanted; tries++) {
    const from = preferred.length > 0 && random() < mood.preferDone ? preferred : nodes;
    const node = from[Math.floor(random() * from.length)];
    if (node !== undefined) {
      drawn.add(node);
    }
  }
  return [...drawn];
}

/** Rising unique ids from 1, with gaps; now and then a jump that brings two and three digits into a short list. */
function drawIds(size: number, gap: number, random: Random): number[] {
  const ids: number[] = [];
  let id = 0;
  for (let count = 0; count < size; count++) {
    id += random() < gap ? 2 + Math.floor(random() * 3) : 1;
    if (random() < gap / 4) {
      id += 5 + Math.floor(random() * 40);
    }
    ids.push(id);
  }
  return ids;
}

function written(name: string, asText: boolean): Id {
  return asText ? name : Number(name);
}

function draw(weights: Weights, random: Random): string {
  return pick(Object.entries(weights), ([, weight]) => weight, random)[0];
}

function pick<Item>(items: readonly Item[], weigh: (item: Item) => number, random: Random): Item {
  let rest = random() * items.reduce((sum, item) => sum + weigh(item), 0);
  for (const item of items) {
    rest -= weigh(item);
    if (rest < 0) {
      return item;
    }
  }
  return items[items.length - 1] as Item;
}

/** Fisher-Yates; a new list. */
function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other] as Item, result[last] as Item];
  }
  return result;
}

/** The mulberry32 generator (public domain): 32 bits of state, numbers in [0, 1). */
function mulberry32(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

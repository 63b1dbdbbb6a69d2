import { Type } from "typebox";
import {
  AppError,
  type BatchOperation,
  invalidInput,
  NewTask,
  NextMode,
  PageQuery,
  Priority,
  Status,
  statuses,
  Task,
  type TaskDraft,
  type TaskPatch,
} from "../../core/index.ts";
import { clip, pageThatFits } from "../budget.ts";
import { orInstead } from "../errors.ts";
import {
  Brief,
  brief,
  changing,
  fenced,
  Id,
  Ids,
  keyed,
  line,
  onPresent,
  type Place,
  place,
  placed,
  placeOf,
  referenceIn,
  splitIds,
} from "../place.ts";
import { adds, type Call, defineTool, reads, removes, sets, type Tool } from "../tool.ts";

const fields = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 500,
    description: "Members to show, separated by commas, such as localId,title,details.",
  }),
);
const statusFilter = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 200,
    description: `Only these, separated by commas: ${statuses.join(", ")}.`,
  }),
);
/** Any part of a task: `fields` may leave members out. */
const TaskPart = Type.Partial(Task);
const listed = ["localId", "title", "status", "priority", "dependencies", "assignee", "claim", "version"];
/** The most tasks that are read in full at once. */
const maximumAtOnce = 50;

export const getTasks = defineTool({
  name: "get_tasks",
  title: "List tasks",
  description:
    "List the tasks of a tag in their order, in short form. Use it for an overview or to find a task; use get_task for " +
    "all of one task and next_task for what to do next. Go on with nextCursor.",
  mode: "core",
  annotations: reads,
  input: {
    ...place,
    status: statusFilter,
    withSubtasks: Type.Optional(Type.Boolean({ default: false, description: "Also list subtasks." })),
    ...PageQuery,
    fields,
  },
  output: {
    ...placed,
    items: Type.Array(TaskPart),
    nextCursor: Type.Union([Type.String(), Type.Null()]),
  },
  async run(call, { status, withSubtasks = false, limit = 50, cursor, fields: wanted, ...given }) {
    const where = await placeOf(call, given);
    const names = namesOf(wanted) ?? listed;
    const query = {
      ...(status === undefined ? {} : { status: statusesOf(status) }),
      ...(withSubtasks ? {} : { level: "task" as const }),
      ...(cursor === undefined ? {} : { cursor }),
    };
    const page = await pageThatFits(
      limit,
      (most) => call.core.tasks.list(call.ctx, where.project, where.tag, { ...query, limit: most }),
      (items) => items.map((task) => pick(task, names)),
    );
    const more = page.nextCursor === null ? "" : "\nThere are more; go on with nextCursor.";
    const head = `${page.items.length} tasks in tag ${where.tag} of ${where.project}${page.items.length === 0 ? "." : ":"}`;
    return {
      text: `${[head, ...page.items.map(line)].join("\n")}${more}`,
      content: { ...where, items: page.items.map((task) => pick(task, names)), nextCursor: page.nextCursor },
    };
  },
});

export const getTask = defineTool({
  name: "get_task",
  title: "Read a task",
  description:
    "Read one task in full, with its subtasks in short form, or several by a comma-separated id. Use it before you work " +
    "on a task. A text too long for one answer is cut: ask again with fields (such as details) and offset for the rest.",
  mode: "core",
  annotations: reads,
  input: {
    ...place,
    id: Ids,
    status: statusFilter,
    fields,
    offset: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        default: 0,
        description: "The character from which to show the texts that fields names.",
      }),
    ),
  },
  output: {
    ...placed,
    tasks: Type.Array(TaskPart),
    subtasks: Type.Array(Brief, { description: "Of the one task that was asked for." }),
    moreSubtasks: Type.Boolean({ description: "Whether get_tasks with withSubtasks shows more of them." }),
  },
  async run(call, { id, status, fields: wanted, offset = 0, ...given }) {
    const ids = splitIds(id);
    if (ids.length > maximumAtOnce) {
      throw new AppError("invalid_input", `Read at most ${maximumAtOnce} tasks at once.`, {
        errors: [{ pointer: "/id", detail: `At most ${maximumAtOnce} tasks.` }],
      });
    }
    const where = await placeOf(call, given);
    const names = namesOf(wanted);
    const only = status === undefined ? undefined : statusesOf(status);
    const tasks: Task[] = [];
    for (const one of ids) tasks.push(await call.core.tasks.get(call.ctx, referenceIn(where, one)));
    const [first] = tasks;
    const family =
      first === undefined || tasks.length > 1 || first.parent !== null || names !== undefined
        ? { items: [], nextCursor: null }
        : await pageThatFits(
            200,
            (limit) => call.core.tasks.listSubtasks(call.ctx, first.id, { limit }),
            // Half of the answer is the task's own.
            (items) => items.flatMap((task) => [brief(task), brief(task)]),
          );
    const subtasks = family.items
      .filter((task) => only === undefined || only.includes(task.status))
      .map(brief);
    return {
      text: [...tasks.map((task) => describe(shift(task, offset))), ...subtasks.map(line)].join("\n"),
      content: {
        project: first?.project ?? where.project,
        tag: first?.tag ?? where.tag,
        tasks: tasks.map((task) =>
          names === undefined ? shift(task, offset) : pick(shift(task, offset), names),
        ),
        subtasks,
        moreSubtasks: family.nextCursor !== null,
      },
    };
  },
});

export const nextTask = defineTool({
  name: "next_task",
  title: "Find the next task",
  description:
    "Say which task is to be done next, and why; nothing changes. Where several agents work at once use claim_next, " +
    "which gives every caller another task.",
  mode: "core",
  annotations: reads,
  input: { ...place, mode: Type.Optional(NextMode) },
  output: {
    ...placed,
    mode: NextMode,
    task: Type.Union([Task, Type.Null()]),
    reasons: Type.Array(Type.String()),
    alternatives: Type.Array(Type.String()),
  },
  async run(call, { mode = "compat", ...given }) {
    const where = await placeOf(call, given);
    const next = await call.core.graphs.next(call.ctx, where.project, where.tag, mode);
    return {
      text: next.task === null ? `Nothing is ready in tag ${where.tag}.` : describe(next.task),
      content: { project: where.project, ...next },
    };
  },
});

export const setTaskStatus = defineTool({
  name: "set_task_status",
  title: "Set the status of tasks",
  description:
    "Set the status of one task or subtask, or of several at once (all of them, or none). A task that somebody holds a " +
    "claim on is changed by its holder only, with the fence; finish your own claimed task with complete_claim instead.",
  mode: "core",
  annotations: sets,
  input: { ...fenced, id: Ids, status: Status },
  output: { ...placed, tasks: Type.Array(Brief) },
  async run(given, input) {
    const call = keyed(given, input, true);
    const where = await placeOf(call, input);
    const tasks = await patchAll(call, where, splitIds(input.id), { status: input.status }, input);
    const names = tasks.map((task) => task.localId).join(", ");
    return {
      text: `${tasks.length === 1 ? "Task" : "Tasks"} ${names} in tag ${where.tag} of ${where.project}: ${input.status}.`,
      content: { ...where, tasks: tasks.map(brief) },
    };
  },
});

/** What a caller may set in words, under the peer's names. */
const words = {
  title: Type.Optional(NewTask.properties.title),
  description: NewTask.properties.description,
  details: NewTask.properties.details,
  testStrategy: NewTask.properties.testStrategy,
  priority: Type.Optional(Priority),
};
const prompt = {
  prompt: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 20_000,
      description: "In words, for the server's language model; better give the fields themselves.",
    }),
  ),
  research: Type.Optional(Type.Boolean()),
};

export const addTask = defineTool({
  name: "add_task",
  title: "Add a task",
  description:
    "Add a task at the end of a tag: give at least a title. Write into details what whoever does it must know, and into " +
    "testStrategy how to see that it is done.",
  mode: "core",
  annotations: adds,
  input: {
    ...changing,
    ...words,
    ...prompt,
    dependencies: Type.Optional(
      Type.String({
        maxLength: 5000,
        description: "The ids of the tasks that it waits for, separated by commas.",
      }),
    ),
  },
  output: { ...placed, task: Brief },
  async run(given, { title, dependencies, prompt: text, research: _r, ...input }) {
    const call = keyed(given, input);
    if (title === undefined && text === undefined) throw missingTitle();
    const where = await placeOf(call, input);
    const { project: key, tag } = where;
    const waits = dependenciesOf(dependencies);
    const task =
      title === undefined
        ? await draft(call, where, { ...waits, ...priorityOf(input), prompt: text ?? "" })
        : await call.core.tasks.create(call.ctx, key, tag, { title, ...patchOf(input), ...waits });
    return {
      text: `Added task ${task.localId} to tag ${where.tag} of ${where.project}: ${task.title}`,
      content: { ...where, task: brief(task) },
    };
  },
});

export const updateTask = defineTool({
  name: "update_task",
  title: "Change a task's words",
  description:
    "Change the title, description, details, test strategy or priority of a task: only the members that you give. Use " +
    "set_task_status for its status. With append, details are added behind those that are there.",
  mode: "core",
  annotations: { ...sets, idempotentHint: false },
  input: {
    ...fenced,
    id: Id,
    ...words,
    append: Type.Optional(
      Type.Boolean({ default: false, description: "Add details behind the present ones." }),
    ),
    ...prompt,
  },
  output: { ...placed, task: Brief },
  run: (call, input) => rewrite(call, input, "update_task"),
});

export const updateSubtask = defineTool({
  name: "update_subtask",
  title: "Note something on a subtask",
  description:
    "Change the words of a subtask (id such as 3.1). Details are added behind those that are there, as a log of the " +
    "work; give append false to replace them.",
  mode: "standard",
  annotations: adds,
  input: {
    ...fenced,
    id: Id,
    ...words,
    append: Type.Optional(
      Type.Boolean({ default: true, description: "Add details behind the present ones." }),
    ),
    ...prompt,
  },
  output: { ...placed, task: Brief },
  run: (call, input) => rewrite(call, { ...input, append: input.append ?? true }, "update_subtask"),
});

export const removeTask = defineTool({
  name: "remove_task",
  title: "Remove tasks",
  description:
    "Remove one task with its subtasks, or several at once (all of them, or none). Other tasks stop waiting for it. Its " +
    "id is never used again. Prefer the status cancelled where the task may matter to somebody.",
  mode: "standard",
  annotations: removes,
  input: {
    ...fenced,
    id: Ids,
    confirm: Type.Optional(Type.Boolean()),
  },
  output: { ...placed, removed: Type.Array(Type.String({ description: "A local id." })) },
  async run(given, input) {
    const call = keyed(given, input, true);
    const where = await placeOf(call, input);
    const removed = await removeAll(call, where, splitIds(input.id), input);
    return {
      text: `Removed ${removed.join(", ")} from tag ${where.tag} of ${where.project}.`,
      content: { ...where, removed },
    };
  },
});

export const moveTask = defineTool({
  name: "move_task",
  title: "Move a task",
  description:
    "Move a task among its siblings (before, after), under another task (to: 7.1 makes it a subtask of 7), to the top " +
    "level (to: any id without a dot), or to another tag (toTag). The server gives the new number, which is in the answer.",
  mode: "standard",
  annotations: { ...sets, idempotentHint: false },
  input: {
    ...fenced,
    from: Id,
    to: Type.Optional(Type.String({ pattern: "^[^,:]{1,100}$" })),
    before: Type.Optional(Id),
    after: Type.Optional(Id),
    fromTag: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    toTag: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  },
  output: { ...placed, from: Type.String(), task: Brief },
  async run(given, { fromTag, ...input }) {
    const call = keyed(given, input, true);
    const where = await placeOf(call, fromTag === undefined ? input : { ...input, tag: fromTag });
    const target = { ...where, tag: input.toTag ?? where.tag };
    const dot = input.to?.lastIndexOf(".") ?? -1;
    const parent =
      input.to === undefined ? undefined : dot > 0 ? referenceIn(target, input.to.slice(0, dot)) : null;
    const move = {
      ...(input.toTag === undefined ? {} : { tag: input.toTag }),
      ...(parent === undefined ? {} : { parent }),
      ...(input.before === undefined ? {} : { before: referenceIn(target, input.before) }),
      ...(input.after === undefined ? {} : { after: referenceIn(target, input.after) }),
    };
    if (Object.keys(move).length === 0) {
      throw invalidInput("", "Say where: one of to, before, after and toTag.");
    }
    const reference = referenceIn(where, input.from);
    const task = await onPresent(input.version, async () =>
      call.core.tasks.move(call.ctx, reference, move, await conditionOf(call, reference, input)),
    );
    return {
      text: `Task ${input.from} is now ${task.localId} in tag ${task.tag} of ${task.project}.`,
      content: { project: task.project, tag: task.tag, from: input.from, task: brief(task) },
    };
  },
});

interface Condition {
  version?: number;
  fence?: number;
}

async function conditionOf({ core, ctx }: Call, reference: string, { version, fence }: Condition) {
  const seen = version ?? (await core.tasks.get(ctx, reference)).version;
  return fence === undefined ? { version: seen } : { version: seen, fence };
}

function requireSingle({ version, fence }: Condition): void {
  if (version === undefined && fence === undefined) return;
  throw invalidInput("/id", "A version and a fence are of one task; name only that one.");
}

async function patchAll(
  call: Call,
  where: { project: string; tag: string },
  ids: string[],
  patch: TaskPatch,
  condition: Condition,
): Promise<Task[]> {
  const references = ids.map((id) => referenceIn(where, id));
  const [only, ...others] = references;
  if (only !== undefined && others.length === 0) {
    return onPresent(condition.version, async () => [
      await call.core.tasks.update(call.ctx, only, patch, await conditionOf(call, only, condition)),
    ]);
  }
  requireSingle(condition);
  return onPresent(undefined, async () => {
    // Parents first: a subtask's new status changes its parent, and with it the version.
    const seen = await readAll(call, references);
    const tasks = [
      ...seen.filter(({ parent }) => parent === null),
      ...seen.filter(({ parent }) => parent !== null),
    ];
    const operations = tasks.map(
      ({ id, version }): BatchOperation => ({ op: "update", task: id, version, patch }),
    );
    const { results } = await call.core.tasks.batch(call.ctx, where.project, where.tag, { operations });
    return results.filter((task) => task !== null);
  });
}

async function readAll({ core, ctx }: Call, references: string[]): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const reference of references) tasks.push(await core.tasks.get(ctx, reference));
  return tasks;
}

/** Removes all of them or none; answers their local ids. */
export async function removeAll(
  call: Call,
  where: { project: string; tag: string },
  ids: string[],
  condition: Condition,
): Promise<string[]> {
  const references = ids.map((id) => referenceIn(where, id));
  const [only, ...others] = references;
  if (only !== undefined && others.length === 0) {
    return onPresent(condition.version, async () => {
      // A repeat under the same key finds no task to read any more.
      const seen = condition.version === undefined ? await call.core.tasks.get(call.ctx, only) : undefined;
      const version = condition.version ?? seen?.version ?? 1;
      const { fence } = condition;
      await call.core.tasks.delete(call.ctx, only, fence === undefined ? { version } : { version, fence });
      return [seen?.localId ?? only.slice(only.lastIndexOf(":") + 1)];
    });
  }
  requireSingle(condition);
  return onPresent(undefined, async () => {
    const seen = await readAll(call, references);
    const tasks = dependentsFirst(seen);
    const operations = tasks.map(({ id, version }): BatchOperation => ({ op: "delete", task: id, version }));
    await call.core.tasks.batch(call.ctx, where.project, where.tag, { operations });
    return tasks.map(({ localId }) => localId);
  });
}

/**
 * A task that loses what it waited for has a new version, and a parent takes its subtasks along: so whatever waits for
 * a task, or is inside it, goes before it.
 */
function dependentsFirst(tasks: Task[]): Task[] {
  const left = [...tasks];
  const ordered: Task[] = [];
  const goesBefore = (other: Task, task: Task) =>
    other !== task &&
    (other.parent === task.id ||
      other.dependencies.some((id) => id === task.localId || id.startsWith(`${task.localId}.`)));
  while (left.length > 0) {
    const free = left.findIndex((task) => !left.some((other) => goesBefore(other, task)));
    ordered.push(...left.splice(Math.max(free, 0), 1));
  }
  return ordered;
}

interface Words {
  title?: string;
  description?: string;
  details?: string;
  testStrategy?: string;
  priority?: Priority;
}

interface Revision extends Words, Condition {
  id: string;
  append?: boolean;
  prompt?: string;
  project?: string;
  tag?: string;
  idempotencyKey?: string;
}

async function rewrite(given: Call, input: Revision, tool: string) {
  const call = keyed(given, input, true);
  const patch = patchOf(input);
  if (Object.keys(patch).length === 0) {
    if (input.prompt !== undefined) return revise(call, input, input.prompt, tool);
    throw invalidInput("", "Give what is to change: title, description, details, testStrategy or priority.");
  }
  if (input.append === true && patch.details !== undefined && input.idempotencyKey !== undefined) {
    // What a repeat would append to is another text by then, and so another request under the same key.
    throw invalidInput(
      "/idempotencyKey",
      "An idempotencyKey does not go with append; the version alone keeps a repeat from adding twice.",
    );
  }
  const where = await placeOf(call, input);
  const reference = referenceIn(where, input.id);
  const task = await onPresent(input.version, async () => {
    const seen = await call.core.tasks.get(call.ctx, reference);
    const details = appended(seen, input);
    const version = input.version ?? seen.version;
    return call.core.tasks.update(
      call.ctx,
      reference,
      details === undefined ? patch : { ...patch, details },
      input.fence === undefined ? { version } : { version, fence: input.fence },
    );
  });
  return changed(task);
}

function appended(seen: Task, { details, append = false }: { details?: string; append?: boolean }) {
  if (details === undefined) return undefined;
  return append && seen.details !== "" ? `${seen.details}\n\n${details}` : details;
}

export function patchOf({ title, description, details, testStrategy, priority }: Words) {
  return {
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    ...(details === undefined ? {} : { details }),
    ...(testStrategy === undefined ? {} : { testStrategy }),
    ...(priority === undefined ? {} : { priority }),
  };
}

function priorityOf({ priority }: Words): { priority?: Priority } {
  return priority === undefined ? {} : { priority };
}

export function dependenciesOf(dependencies: string | undefined): { dependencies?: string[] } {
  if (dependencies === undefined || dependencies.trim() === "") return {};
  return { dependencies: splitIds(dependencies, "/dependencies") };
}

async function draft(call: Call, { project, tag }: Place, input: TaskDraft): Promise<Task> {
  return orInstead(
    "Call add_task with a title, and a description and details as you would write them.",
    async () => call.core.planning.draftTask(call.ctx, project, tag, input, call),
  );
}

async function revise(call: Call, input: Revision, prompt: string, tool: string) {
  const where = await placeOf(call, input);
  const { version, fence, append = false } = input;
  const task = await orInstead(
    `Call ${tool} with the fields themselves: title, description, details, testStrategy.`,
    async () =>
      call.core.planning.reviseTask(
        call.ctx,
        referenceIn(where, input.id),
        { prompt, append },
        { ...(version === undefined ? {} : { version }), ...(fence === undefined ? {} : { fence }) },
        call,
      ),
  );
  return changed(task);
}

function changed(task: Task) {
  return {
    text: `Changed task ${task.localId} in tag ${task.tag} of ${task.project}.`,
    content: { project: task.project, tag: task.tag, task: brief(task) },
  };
}

export function missingTitle(): Error {
  return invalidInput("/title", "A task needs a title.");
}

function statusesOf(text: string) {
  return text.split(",").map((part) => {
    const status = statuses.find((one) => one === part.trim());
    if (status === undefined) {
      throw invalidInput(
        "/status",
        `${JSON.stringify(part.trim())} is no status; the statuses are ${statuses.join(", ")}.`,
      );
    }
    return status;
  });
}

function namesOf(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  const known = Object.keys(Task.properties);
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return names;
  throw invalidInput(
    "/fields",
    `There is no field ${JSON.stringify(unknown)}; name some of ${known.join(", ")}.`,
  );
}

function pick(task: Task, names: string[]): Partial<Task> {
  return Object.fromEntries(Object.entries(task).filter(([name]) => names.includes(name)));
}

/** The task with its long texts from the given character on. */
function shift(task: Task, offset: number): Task {
  if (offset === 0) return task;
  const { description, details, testStrategy } = task;
  return {
    ...task,
    description: description.slice(offset),
    details: details.slice(offset),
    testStrategy: testStrategy.slice(offset),
  };
}

/** As a model reads a task best. */
export function describe(task: Task): string {
  const parts = [
    `Task ${line(task)}, in tag ${task.tag} of ${task.project}, version ${task.version}`,
    task.claim === null ? "" : `Claimed by ${task.claim.holder.name} until ${task.claim.expiresAt}.`,
    task.description,
    task.details === "" ? "" : `Details: ${clip(task.details, 6000)}`,
    task.testStrategy === "" ? "" : `How to test: ${clip(task.testStrategy, 2000)}`,
  ];
  return parts.filter((part) => part !== "").join("\n");
}

export const taskTools: Tool[] = [
  getTasks,
  getTask,
  nextTask,
  setTaskStatus,
  addTask,
  updateTask,
  updateSubtask,
  removeTask,
  moveTask,
];

import { Type } from "typebox";
import {
  AppError,
  invalidInput,
  maximumLimit,
  NewTask,
  Priority,
  Status,
  type Task,
} from "../../core/index.ts";
import {
  Brief,
  brief,
  fenced,
  Id,
  Ids,
  keyed,
  onPresent,
  place,
  placed,
  placeOf,
  referenceIn,
  splitIds,
  versioned,
} from "../place.ts";
import { adds, type Call, defineTool, removes, type Tool } from "../tool.ts";
import { dependenciesOf, missingTitle, patchOf, removeAll } from "./tasks.ts";

const addSubtask = defineTool({
  name: "add_subtask",
  title: "Add a subtask",
  description:
    "Add a subtask to a task (id), or make an existing task its subtask (taskId). Use it to break a task down before " +
    "or while you work on it.",
  mode: "core",
  annotations: adds,
  input: {
    ...versioned,
    id: { ...Id, description: "The task that gets the subtask." },
    taskId: Type.Optional({ ...Id, description: "An existing task, to become the subtask." }),
    title: Type.Optional(NewTask.properties.title),
    description: NewTask.properties.description,
    details: NewTask.properties.details,
    testStrategy: NewTask.properties.testStrategy,
    priority: Type.Optional(Priority),
    status: Type.Optional(Status),
    dependencies: Type.Optional(
      Type.String({
        maxLength: 5000,
        description:
          "The ids of the tasks that it waits for, separated by commas; siblings in full, such as 3.1.",
      }),
    ),
  },
  output: { ...placed, task: Brief },
  async run(given, { taskId, title, dependencies, status, ...input }) {
    const call = keyed(given, input, taskId !== undefined);
    const where = await placeOf(call, input);
    const parent = referenceIn(where, input.id);
    if (taskId === undefined && title === undefined) throw missingTitle();
    const task =
      taskId === undefined
        ? await call.core.tasks.createSubtask(call.ctx, parent, {
            title: title ?? "",
            ...patchOf(input),
            ...(status === undefined ? {} : { status }),
            ...dependenciesOf(dependencies),
          })
        : await adopt(call, referenceIn(where, taskId), parent, input.version);
    return {
      text: `Task ${task.localId} is a subtask in tag ${task.tag} of ${task.project}: ${task.title}`,
      content: { project: task.project, tag: task.tag, task: brief(task) },
    };
  },
});

async function adopt(
  { core, ctx }: Call,
  reference: string,
  parent: string,
  given: number | undefined,
): Promise<Task> {
  return onPresent(given, async () => {
    const version = given ?? (await core.tasks.get(ctx, reference)).version;
    return core.tasks.move(ctx, reference, { parent }, { version });
  });
}

const removeSubtask = defineTool({
  name: "remove_subtask",
  title: "Remove a subtask",
  description:
    "Remove a subtask (id such as 3.1), or several at once; with convert it becomes a task of its own instead, under a " +
    "new number.",
  mode: "standard",
  annotations: removes,
  input: {
    ...fenced,
    id: Ids,
    convert: Type.Optional(Type.Boolean({ default: false, description: "Make it a task instead." })),
  },
  output: { ...placed, removed: Type.Array(Type.String()), converted: Type.Array(Brief) },
  async run(given, { convert = false, ...input }) {
    const call = keyed(given, input, true);
    const where = await placeOf(call, input);
    const ids = splitIds(input.id);
    for (const id of ids) await requireSubtask(call, referenceIn(where, id), input);
    if (!convert) {
      const removed = await removeAll(call, where, ids, input);
      return {
        text: `Removed ${removed.join(", ")} from tag ${where.tag} of ${where.project}.`,
        content: { ...where, removed, converted: [] },
      };
    }
    const [id, ...others] = ids;
    if (id === undefined || others.length > 0) {
      throw invalidInput("/id", "Convert one subtask at a time.");
    }
    const reference = referenceIn(where, id);
    const task = await onPresent(input.version, async () => {
      const version = input.version ?? (await call.core.tasks.get(call.ctx, reference)).version;
      const condition = input.fence === undefined ? { version } : { version, fence: input.fence };
      return call.core.tasks.move(call.ctx, reference, { parent: null }, condition);
    });
    return {
      text: `Subtask ${id} is now task ${task.localId} in tag ${task.tag} of ${task.project}.`,
      content: { project: task.project, tag: task.tag, removed: [], converted: [brief(task)] },
    };
  },
});

/** Whoever means a subtask must not lose a task with all of its own. */
async function requireSubtask(
  { core, ctx }: Call,
  reference: string,
  { idempotencyKey }: { idempotencyKey?: string },
): Promise<void> {
  // A repeat of a removal finds nothing to look at; its local id still says what it was.
  if (idempotencyKey !== undefined && /\.[^.:]+$/.test(reference)) return;
  const task = await core.tasks.get(ctx, reference);
  if (task.parent !== null) return;
  throw invalidInput("/id", `Task ${task.localId} is no subtask; use remove_task for it.`);
}

const clearSubtasks = defineTool({
  name: "clear_subtasks",
  title: "Remove all subtasks of tasks",
  description:
    "Remove every subtask of one task, of several (id), or of the whole tag (all): all of them, or none. At most 200 " +
    "subtasks at once.",
  mode: "standard",
  annotations: removes,
  input: {
    ...place,
    id: Type.Optional(Ids),
    all: Type.Optional(Type.Boolean({ default: false, description: "Of every task of the tag." })),
  },
  output: { ...placed, removed: Type.Array(Type.String()) },
  async run(call, { id, all = false, ...input }) {
    if (id === undefined && !all) {
      throw invalidInput("/id", "Name tasks by id, or say all.");
    }
    const where = await placeOf(call, input);
    const found = await subtasksOf(call, where, all ? undefined : splitIds(id ?? ""));
    const removed = found.length === 0 ? [] : await removeAll(call, where, found, {});
    return {
      text: `Removed ${removed.length} subtasks from tag ${where.tag} of ${where.project}.`,
      content: { ...where, removed },
    };
  },
});

async function subtasksOf(
  { core, ctx }: Call,
  where: { project: string; tag: string },
  ids: string[] | undefined,
): Promise<string[]> {
  const pages =
    ids === undefined
      ? [await core.tasks.list(ctx, where.project, where.tag, { level: "subtask", limit: maximumLimit })]
      : [];
  for (const id of ids ?? []) {
    pages.push(await core.tasks.listSubtasks(ctx, referenceIn(where, id), { limit: maximumLimit }));
  }
  const found = pages.flatMap((page) => page.items.map((task) => task.id));
  if (found.length > maximumLimit || pages.some((page) => page.nextCursor !== null)) {
    throw new AppError(
      "too_large",
      `There are more than ${maximumLimit} subtasks; clear fewer tasks at once.`,
    );
  }
  return found;
}

export const subtaskTools: Tool[] = [addSubtask, removeSubtask, clearSubtasks];

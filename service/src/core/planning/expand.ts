import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { getTask, getTaskLocked } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { TaskRecord } from "../storage.ts";
import { toTask } from "../tasks/wire.ts";
import { numberFaults, SubtasksAnswer } from "./answers.ts";
import { contextOf, instructions } from "./prompts.ts";
import type { ExpandedTask, Expansion } from "./schema.ts";
import {
  changeAfter,
  consult,
  createNumbered,
  movedOn,
  removeAsSeen,
  requireModel,
  type Tools,
  type Work,
} from "./work.ts";

export async function expandTask(
  { services, model }: Tools,
  ctx: Context,
  reference: string,
  input: Expansion,
  work: Work,
): Promise<ExpandedTask> {
  authorize(ctx, "task:write");
  const { reader } = services.storage;
  const seen = await getTask(reader(ctx.organizationId), reference);
  const present = requireModel(model);
  return changeAfter(
    services,
    ctx,
    { operation: "task.expand", input: { reference, input } },
    async () => {
      const tx = reader(ctx.organizationId);
      const subtasks = await tx.tasks.subtasks(seen.id);
      refuse(seen, subtasks, input);
      await work.report?.(`Asking the model to break task ${seen.localId} down.`);
      const count = input.count ?? seen.complexity?.recommendedSubtasks;
      const { subtasks: planned } = await consult(present, work, {
        instructions: instructions.expand(count === 0 ? undefined : count),
        data: {
          task: contextOf(seen),
          ...(seen.complexity?.expansionPrompt ? { hint: seen.complexity.expansionPrompt } : {}),
          ...(input.prompt === undefined ? {} : { wishes: input.prompt }),
        },
        name: "subtasks",
        schema: SubtasksAnswer,
        check: (answer) => numberFaults(answer.subtasks),
      });
      await work.report?.(`Adding ${planned.length} subtasks.`);
      return { planned, before: subtasks };
    },
    async (tx, { planned, before }) => {
      const task = await getTaskLocked(tx, seen.id);
      if (task.version !== seen.version) throw movedOn(`Task ${seen.localId}`);
      await removeAsSeen(tx, ctx, before, await tx.tasks.subtasks(task.id), `A subtask of ${task.localId}`);
      const place = { project: task.project, tag: task.tag, tagId: task.tagId, parent: task.id };
      const subtasks = await createNumbered(tx, ctx, place, planned);
      return { task: toTask(await getTask(tx, task.id)), subtasks };
    },
  );
}

function refuse(task: TaskRecord, subtasks: TaskRecord[], { replace = false }: Expansion): void {
  if (task.parent !== null) {
    throw new AppError(
      "conflict",
      `Task ${task.localId} is a subtask itself, and a subtask has no subtasks.`,
    );
  }
  if (subtasks.length > 0 && !replace) {
    throw new AppError(
      "conflict",
      `Task ${task.localId} has ${subtasks.length} subtasks already; ask for them to be replaced (replace, or force), or remove them first.`,
    );
  }
}

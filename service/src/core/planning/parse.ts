import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { getTag } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { TaskRecord } from "../storage.ts";
import type { Task } from "../tasks/schema.ts";
import { createIn } from "../tasks/service.ts";
import { toTask } from "../tasks/wire.ts";
import { DraftAnswer, numberFaults, TasksAnswer } from "./answers.ts";
import { instructions } from "./prompts.ts";
import type { PlannedTasks, Requirements, TaskDraft } from "./schema.ts";
import {
  changeAfter,
  consult,
  createNumbered,
  removeAsSeen,
  requireModel,
  type Tools,
  type Work,
} from "./work.ts";

/** More are not removed on the word of a model's caller: the tag can be deleted, or another one made. */
const maximumReplaced = 200;
/** How many titles of present tasks a model is shown, so that it does not plan them again. */
const maximumShown = 100;

export async function parsePrd(
  { services, model }: Tools,
  ctx: Context,
  key: string,
  name: string,
  input: Requirements,
  work: Work,
): Promise<PlannedTasks> {
  authorize(ctx, "task:write");
  const reader = services.storage.reader(ctx.organizationId);
  const tag = await getTag(reader, key, name);
  const present = requireModel(model);
  const { existing = "refuse" } = input;
  return changeAfter(
    services,
    ctx,
    { operation: "task.parsePrd", input: { key, name, input } },
    async () => {
      const before = await reader.tasks.listAll(tag.id);
      refuse(before, name, existing);
      await work.report?.("Asking the model to make tasks of the document.");
      const { tasks: planned } = await consult(present, work, {
        instructions: instructions.parse(input.count),
        data: {
          document: input.text,
          ...(existing === "append" ? { present: titlesOf(before) } : {}),
        },
        name: "tasks",
        schema: TasksAnswer,
        check: ({ tasks }) => numberFaults(tasks),
      });
      await work.report?.(`Adding ${planned.length} tasks.`);
      return { planned, before };
    },
    async (tx, { planned, before }) => {
      await tx.tags.lockGraphs([tag.id]);
      if (existing !== "append")
        await removeAsSeen(tx, ctx, before, await tx.tasks.listAll(tag.id), "A task of the tag");
      const place = { project: key, tag: name, tagId: tag.id, parent: null };
      return { tasks: await createNumbered(tx, ctx, place, planned, ({ priority }) => ({ priority })) };
    },
  );
}

function refuse(before: TaskRecord[], tag: string, existing: Requirements["existing"]): void {
  if (before.length > 0 && existing === "refuse") {
    throw new AppError(
      "conflict",
      `The tag ${tag} has tasks already; ask to append behind them, or to have them replaced (replace, or force).`,
    );
  }
  if (before.length > maximumReplaced && existing === "replace") {
    throw new AppError(
      "too_large",
      `The tag has ${before.length} tasks, and at most ${maximumReplaced} are replaced; use a new tag.`,
    );
  }
}

export async function draftTask(
  { services, model }: Tools,
  ctx: Context,
  key: string,
  name: string,
  input: TaskDraft,
  work: Work,
): Promise<Task> {
  authorize(ctx, "task:write");
  const reader = services.storage.reader(ctx.organizationId);
  const tag = await getTag(reader, key, name);
  const present = requireModel(model);
  return changeAfter(
    services,
    ctx,
    { operation: "task.draft", input: { key, name, input } },
    async () => {
      const before = await reader.tasks.listAll(tag.id);
      await work.report?.("Asking the model to write the task.");
      return consult(present, work, {
        instructions: instructions.draft,
        data: { wishes: input.prompt, present: titlesOf(before) },
        name: "draft",
        schema: DraftAnswer,
      });
    },
    async (tx, draft) => {
      const { priority = draft.priority, dependencies = [] } = input;
      const place = { project: key, tag: name, tagId: tag.id, parent: null };
      return toTask(await createIn(tx, ctx, place, { ...draft, priority, dependencies }));
    },
  );
}

function titlesOf(tasks: TaskRecord[]): string[] {
  return tasks
    .filter(({ parent }) => parent === null)
    .slice(-maximumShown)
    .map(({ localId, title }) => `${localId} ${title}`);
}

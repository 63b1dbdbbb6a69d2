import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { getTag, getTask } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { TaskRecord, Transaction } from "../storage.ts";
import type { Task } from "../tasks/schema.ts";
import { createIn, deleteIn } from "../tasks/service.ts";
import { toTask } from "../tasks/wire.ts";
import { DraftAnswer, numberFaults, TasksAnswer } from "./answers.ts";
import { instructions } from "./prompts.ts";
import type { PlannedTasks, Requirements, TaskDraft } from "./schema.ts";
import {
  changeAfter,
  consult,
  createNumbered,
  movedOn,
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
  const { tag } = await getTag(reader, key, name);
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
      if (existing !== "append") await removeAsSeen(tx, ctx, tag.id, before);
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

async function removeAsSeen(
  tx: Transaction,
  ctx: Context,
  tagId: string,
  before: TaskRecord[],
): Promise<void> {
  const now = await tx.tasks.listAll(tagId);
  const seen = new Map(before.map(({ id, version }) => [id, version]));
  if (now.length !== before.length || now.some(({ id, version }) => seen.get(id) !== version)) {
    throw movedOn("A task of the tag");
  }
  for (const { id } of now.filter(({ parent }) => parent === null)) {
    const current = await getTask(tx, id);
    await deleteIn(tx, ctx, current, { version: current.version });
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
  const { tag } = await getTag(reader, key, name);
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

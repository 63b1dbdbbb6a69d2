import { versionMismatch } from "../change.ts";
import type { Context } from "../context.ts";
import { getTask } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { TaskRecord } from "../storage.ts";
import type { Task, TaskPatch } from "../tasks/schema.ts";
import { type Precondition, updateIn } from "../tasks/service.ts";
import { toTask } from "../tasks/wire.ts";
import { NoteAnswer, RevisionAnswer } from "./answers.ts";
import type { LanguageModel } from "./model.ts";
import { contextOf, instructions } from "./prompts.ts";
import type { TaskRevision } from "./schema.ts";
import { changeAfter, consult, requireModel, type Tools, type Work } from "./work.ts";

export async function reviseTask(
  { services, model }: Tools,
  ctx: Context,
  reference: string,
  input: TaskRevision,
  { version, fence }: Partial<Precondition>,
  work: Work,
): Promise<Task> {
  authorize(ctx, "task:write");
  const seen = await getTask(services.storage.reader(ctx.organizationId), reference);
  const present = requireModel(model);
  if (version !== undefined && version !== seen.version) throw versionMismatch("task", version, seen.version);
  const precondition = fence === undefined ? { version: seen.version } : { version: seen.version, fence };
  return changeAfter(
    services,
    ctx,
    { operation: "task.revise", input: { reference, input, version, fence } },
    async () => {
      await work.report?.(`Asking the model to revise task ${seen.localId}.`);
      return input.append === true
        ? appended(present, seen, input, work)
        : revised(present, seen, input, work);
    },
    async (tx, patch) => toTask(await updateIn(tx, ctx, await getTask(tx, seen.id), patch, precondition)),
  );
}

async function revised(
  model: LanguageModel,
  seen: TaskRecord,
  { prompt }: TaskRevision,
  work: Work,
): Promise<TaskPatch> {
  return consult(model, work, {
    instructions: instructions.revise,
    data: { task: contextOf(seen), wishes: prompt },
    name: "task",
    schema: RevisionAnswer,
  });
}

async function appended(
  model: LanguageModel,
  seen: TaskRecord,
  { prompt }: TaskRevision,
  work: Work,
): Promise<TaskPatch> {
  const { note } = await consult(model, work, {
    instructions: instructions.note,
    data: { task: contextOf(seen), wishes: prompt },
    name: "note",
    schema: NoteAnswer,
  });
  return { details: seen.details === "" ? note : `${seen.details}\n\n${note}` };
}

import type { Static } from "typebox";
import type { Context } from "../context.ts";
import { AppError, invalidInput } from "../errors.ts";
import { getTag, getTask } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { Repositories, TagRecord, TaskRecord } from "../storage.ts";
import { updateIn } from "../tasks/service.ts";
import { ComplexityAnswer } from "./answers.ts";
import type { LanguageModel } from "./model.ts";
import { contextOf, instructions } from "./prompts.ts";
import type { ComplexityAnalysis, ComplexityRequest } from "./schema.ts";
import { changeAfter, consult, requireModel, type Tools, type Work } from "./work.ts";

const maximumTasks = 100;
/** How much of tasks a model is given to judge at once, in characters of JSON, and how many of them. */
const groupSize = 60_000;
const groupTasks = 25;
const defaultThreshold = 5;

export async function analyzeComplexity(
  { services, model }: Tools,
  ctx: Context,
  key: string,
  name: string,
  input: ComplexityRequest,
  work: Work,
): Promise<ComplexityAnalysis> {
  authorize(ctx, "task:write");
  const reader = services.storage.reader(ctx.organizationId);
  const tag = await getTag(reader, key, name);
  const tasks = await wantedTasks(reader, key, tag, input);
  const present = requireModel(model);
  return changeAfter(
    services,
    ctx,
    { operation: "task.analyzeComplexity", input: { key, name, input } },
    async () => {
      const groups = grouped(tasks);
      await work.report?.(`Asking the model to judge ${tasks.length} tasks.`);
      let judged = 0;
      const verdicts = await Promise.all(
        groups.map(async (group) => {
          const verdict = await judge(present, work, group);
          judged += group.length;
          await work.report?.(`${judged} of ${tasks.length} tasks are judged.`);
          return verdict;
        }),
      );
      return verdicts.flat();
    },
    async (tx, verdicts) => {
      const analysis: ComplexityAnalysis = { scored: [], recommended: [], skipped: [] };
      for (const { task, ...complexity } of verdicts) {
        const now = await tx.tasks.find({ id: task.id });
        if (now === undefined || now.version !== task.version) {
          analysis.skipped.push(task.localId);
          continue;
        }
        await updateIn(tx, ctx, now, { complexity }, { version: now.version });
        analysis.scored.push({ localId: task.localId, title: task.title, complexity });
        const { threshold = defaultThreshold } = input;
        if (complexity.score >= threshold) analysis.recommended.push(task.localId);
      }
      return analysis;
    },
  );
}

type Verdict = Omit<Static<typeof ComplexityAnswer>["tasks"][number], "id"> & { task: TaskRecord };

async function judge(model: LanguageModel, work: Work, group: TaskRecord[]): Promise<Verdict[]> {
  const byId = new Map(group.map((task) => [task.localId, task]));
  const { tasks } = await consult(model, work, {
    instructions: instructions.analyze,
    data: { tasks: group.map(contextOf) },
    name: "complexity",
    schema: ComplexityAnswer,
    check({ tasks: answered }) {
      const ids = answered.map(({ id }) => id);
      return [
        ...ids.filter((id) => !byId.has(id)).map((id) => `There is no task ${JSON.stringify(id)}.`),
        ...[...byId.keys()].filter((id) => !ids.includes(id)).map((id) => `Task ${id} is missing.`),
        ...(new Set(ids).size < ids.length ? ["A task is there twice."] : []),
      ];
    },
  });
  return tasks.flatMap(({ id, ...verdict }) => {
    const task = byId.get(id);
    return task === undefined ? [] : [{ ...verdict, task }];
  });
}

async function wantedTasks(
  tx: Repositories,
  project: string,
  tag: TagRecord,
  { tasks: named, from, to }: ComplexityRequest,
): Promise<TaskRecord[]> {
  const tasks =
    named === undefined
      ? (await tx.tasks.listAll(tag.id)).filter(
          ({ parent, status }) => parent === null && status !== "done" && status !== "cancelled",
        )
      : await namedTasks(tx, project, tag, named);
  const within = tasks.filter(
    ({ number }) =>
      (from === undefined || (number ?? 0) >= from) && (to === undefined || (number ?? Infinity) <= to),
  );
  if (within.length === 0) {
    throw new AppError("conflict", `There is no such task in the tag ${tag.name} to be judged.`);
  }
  if (within.length > maximumTasks) {
    throw new AppError(
      "too_large",
      `These are ${within.length} tasks, and at most ${maximumTasks} are judged at once; name some, or say from and to.`,
    );
  }
  return within;
}

async function namedTasks(
  tx: Repositories,
  project: string,
  tag: TagRecord,
  named: string[],
): Promise<TaskRecord[]> {
  const tasks: TaskRecord[] = [];
  for (const [index, reference] of named.entries()) {
    try {
      const task = await getTask(tx, reference, { project, tag: tag.name });
      if (task.tagId !== tag.id)
        throw invalidInput(`/tasks/${index}`, `Task ${task.localId} is in the tag ${task.tag}.`);
      tasks.push(task);
    } catch (error) {
      // The tag is there; what is wrong is in the body.
      if (!(error instanceof AppError) || error.code !== "not_found") throw error;
      throw invalidInput(`/tasks/${index}`, error.message);
    }
  }
  return tasks;
}

function grouped(tasks: TaskRecord[]): TaskRecord[][] {
  const groups: TaskRecord[][] = [];
  let size = groupSize;
  for (const task of tasks) {
    const own = JSON.stringify(contextOf(task)).length;
    const last = groups.at(-1);
    if (last === undefined || size + own > groupSize || last.length === groupTasks) {
      groups.push([task]);
      size = own;
    } else {
      last.push(task);
      size += own;
    }
  }
  return groups;
}

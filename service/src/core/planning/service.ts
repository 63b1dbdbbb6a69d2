import type { Services } from "../change.ts";
import type { Context } from "../context.ts";
import type { Task } from "../tasks/schema.ts";
import type { Precondition } from "../tasks/service.ts";
import { analyzeComplexity } from "./analyze.ts";
import { expandTask } from "./expand.ts";
import type { LanguageModel } from "./model.ts";
import { draftTask, parsePrd } from "./parse.ts";
import { reviseTask } from "./revise.ts";
import type {
  ComplexityAnalysis,
  ComplexityRequest,
  ExpandedTask,
  Expansion,
  PlannedTasks,
  Requirements,
  TaskDraft,
  TaskRevision,
} from "./schema.ts";
import type { Work } from "./work.ts";

/**
 * What a language model is asked for. Each loads, asks outside of any transaction, and applies the answer in one, if
 * what it was asked about is still as it was; so that no change that was made meanwhile is written over. Throws
 * llm_not_configured where there is no model, and llm_failed where it gives no answer that can be used.
 */
export interface Planning {
  /** Makes subtasks of a task. Refused with conflict where it has some, unless they are to be replaced. */
  expandTask(ctx: Context, reference: string, input: Expansion, work?: Work): Promise<ExpandedTask>;
  /** Makes tasks of a requirements document. */
  parsePrd(
    ctx: Context,
    project: string,
    tag: string,
    input: Requirements,
    work?: Work,
  ): Promise<PlannedTasks>;
  /** Scores tasks, and keeps the scores on them. At most a hundred at once. */
  analyzeComplexity(
    ctx: Context,
    project: string,
    tag: string,
    input: ComplexityRequest,
    work?: Work,
  ): Promise<ComplexityAnalysis>;
  /** Adds a task that is described in words. */
  draftTask(ctx: Context, project: string, tag: string, input: TaskDraft, work?: Work): Promise<Task>;
  /** Changes a task's words as it is asked to. Without a precondition, at the version that the model has seen. */
  reviseTask(
    ctx: Context,
    reference: string,
    input: TaskRevision,
    precondition?: Partial<Precondition>,
    work?: Work,
  ): Promise<Task>;
}

export function createPlanning(services: Services, model: LanguageModel | null): Planning {
  const tools = { services, model };
  return {
    expandTask: (ctx, reference, input, work = {}) => expandTask(tools, ctx, reference, input, work),
    parsePrd: (ctx, key, name, input, work = {}) => parsePrd(tools, ctx, key, name, input, work),
    analyzeComplexity: (ctx, key, name, input, work = {}) =>
      analyzeComplexity(tools, ctx, key, name, input, work),
    draftTask: (ctx, key, name, input, work = {}) => draftTask(tools, ctx, key, name, input, work),
    reviseTask: (ctx, reference, input, precondition = {}, work = {}) =>
      reviseTask(tools, ctx, reference, input, precondition, work),
  };
}

import { Type } from "typebox";
import { ComplexityAnalysis, invalidInput } from "../../core/index.ts";
import { firstThatFit } from "../budget.ts";
import { orInstead } from "../errors.ts";
import {
  Brief,
  brief,
  changing,
  Id,
  Ids,
  keyed,
  line,
  placed,
  placeOf,
  referenceIn,
  splitIds,
} from "../place.ts";
import { defineTool, removes, sets, type Tool } from "../tool.ts";

/** The task-master-ai tool's own form of a number. */
const number = (description: string) =>
  Type.Optional(
    Type.Union([Type.String({ pattern: "^\\d{1,9}$" }), Type.Integer({ minimum: 0 })], { description }),
  );
/** What is written goes to a model that may be anywhere, and that says something else every time. */
const asksTheModel = { idempotentHint: false, openWorldHint: true } as const;
const flag = (description: string) => Type.Optional(Type.Boolean({ description }));
const ignored = Type.Optional(Type.Union([Type.String(), Type.Boolean()]));

const parsePrd = defineTool({
  name: "parse_prd",
  title: "Make tasks of a requirements document",
  description:
    "Have the server's language model make tasks of a requirements document, which you give as text. Where the tag has " +
    "tasks, say append to add behind them, or force to have them removed first.",
  mode: "standard",
  annotations: { ...removes, ...asksTheModel },
  input: {
    ...changing,
    input: Type.String({ minLength: 1, maxLength: 200_000, description: "The document's text itself." }),
    numTasks: number("About how many tasks to make; 0 leaves it to the model."),
    append: flag("Add behind the tasks that are there."),
    force: flag("Remove the tasks that are there."),
    output: ignored,
    research: ignored,
  },
  output: { ...placed, total: Type.Integer(), tasks: Type.Array(Brief) },
  async run(given, { input: text, numTasks, append = false, force = false, ...input }) {
    requireText(text);
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const count = countOf(numTasks);
    const { tasks } = await orInstead(
      "Read the document yourself, and call add_task for each task that you see in it.",
      () =>
        call.core.planning.parsePrd(
          call.ctx,
          where.project,
          where.tag,
          {
            text,
            existing: append ? "append" : force ? "replace" : "refuse",
            ...(count === undefined ? {} : { count }),
          },
          call,
        ),
    );
    return {
      text: [`Added ${tasks.length} tasks to tag ${where.tag} of ${where.project}:`, ...tasks.map(line)].join(
        "\n",
      ),
      content: { ...where, total: tasks.length, tasks: firstThatFit(tasks.map(brief)) },
    };
  },
});

/** On a server elsewhere the agent's files are not there, and a name would be taken for a very short document. */
function requireText(text: string): void {
  if (text.includes("\n") || !/^[\w./\\~ -]{1,500}\.(txt|md|markdown|rst|adoc|pdf|docx)$/i.test(text)) return;
  throw invalidInput("/input", "Give the document's text itself; the server cannot read your files.");
}

const expandTask = defineTool({
  name: "expand_task",
  title: "Break a task down",
  description:
    "Have the server's language model break a task down into subtasks. Where it has some, say force to have them replaced. " +
    "You may as well do it yourself, with add_subtask.",
  mode: "standard",
  annotations: { ...removes, ...asksTheModel },
  input: {
    ...changing,
    id: Id,
    num: number("How many subtasks; 0 leaves it to the model."),
    prompt: Type.Optional(
      Type.String({ minLength: 1, maxLength: 20_000, description: "What the subtasks should look to." }),
    ),
    force: flag("Replace the subtasks that are there."),
    research: ignored,
  },
  output: { ...placed, task: Brief, total: Type.Integer(), subtasks: Type.Array(Brief) },
  async run(given, { id, num, prompt, force = false, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const count = countOf(num);
    const { task, subtasks } = await orInstead(
      "Read the task with get_task, and call add_subtask for each of its parts.",
      () =>
        call.core.planning.expandTask(
          call.ctx,
          referenceIn(where, id),
          {
            replace: force,
            ...(count === undefined ? {} : { count }),
            ...(prompt === undefined ? {} : { prompt }),
          },
          call,
        ),
    );
    return {
      text: [`Task ${task.localId} has ${subtasks.length} new subtasks:`, ...subtasks.map(line)].join("\n"),
      content: {
        project: task.project,
        tag: task.tag,
        task: brief(task),
        total: subtasks.length,
        subtasks: firstThatFit(subtasks.map(brief)),
      },
    };
  },
});

const analyzeComplexity = defineTool({
  name: "analyze_project_complexity",
  title: "Score the complexity of tasks",
  description:
    "Have the server's language model score how complex tasks are, all open ones or those of ids, and say which should be " +
    "broken down. complexity_report shows the scores later on.",
  mode: "standard",
  annotations: { ...sets, ...asksTheModel },
  input: {
    ...changing,
    ids: Type.Optional(Ids),
    from: number("The first task's number."),
    to: number("The last task's number."),
    threshold: number("From which score on (1 to 10) to recommend; 5 by default."),
    output: ignored,
    research: ignored,
  },
  output: { ...placed, ...ComplexityAnalysis.properties },
  async run(given, { ids, from, to, threshold, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const limits = { from: countOf(from), to: countOf(to), threshold: thresholdOf(threshold) };
    const analysis = await orInstead(
      "Read the tasks with get_tasks and judge yourself; complexity_report shows old scores.",
      () =>
        call.core.planning.analyzeComplexity(
          call.ctx,
          where.project,
          where.tag,
          {
            ...(ids === undefined ? {} : { tasks: splitIds(ids, "/ids") }),
            ...Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
          },
          call,
        ),
    );
    const lines = analysis.scored.map((one) => `${one.localId} ${one.title}: ${one.complexity.score ?? "?"}`);
    return {
      text: [
        `Scored ${analysis.scored.length} tasks in tag ${where.tag} of ${where.project}:`,
        ...lines,
      ].join("\n"),
      content: { ...where, ...analysis, scored: firstThatFit(analysis.scored) },
    };
  },
});

function countOf(given: string | number | undefined): number | undefined {
  const count = Number(given ?? 0);
  return count === 0 ? undefined : count;
}

function thresholdOf(given: string | number | undefined): number | undefined {
  const threshold = countOf(given);
  if (threshold === undefined || threshold <= 10) return threshold;
  throw invalidInput("/threshold", "A score is between 1 and 10.");
}

export const modelTools: Tool[] = [parsePrd, expandTask, analyzeComplexity];

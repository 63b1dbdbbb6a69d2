import { Type } from "typebox";
import { LlmNotConfigured } from "../errors.ts";
import { Ids, place, placed } from "../place.ts";
import { adds, defineTool, type Tool } from "../tool.ts";

/** Listed, so that clients of the task-master-ai tool find them, and learn how to do without. */
const text = Type.Optional(Type.String({ maxLength: 200_000 }));
const flag = Type.Optional(Type.Boolean());
const number = Type.Optional(
  Type.Union([Type.String({ maxLength: 20 }), Type.Integer({ minimum: 0, maximum: 1000 })]),
);

const parsePrd = defineTool({
  name: "parse_prd",
  title: "Make tasks of a requirements document",
  description:
    "Needs a language model on the server. Without one, read the document yourself and call add_task and add_subtask.",
  mode: "standard",
  annotations: adds,
  input: { ...place, input: text, output: text, numTasks: number, force: flag, append: flag, research: flag },
  output: placed,
  run: async () => {
    throw new LlmNotConfigured(
      "Read the document yourself, and call add_task for each task that you see in it.",
    );
  },
});

const expandTask = defineTool({
  name: "expand_task",
  title: "Break a task down",
  description:
    "Needs a language model on the server. Without one, read the task and call add_subtask for each part.",
  mode: "standard",
  annotations: adds,
  input: { ...place, id: Ids, num: number, prompt: text, research: flag, force: flag },
  output: placed,
  run: async () => {
    throw new LlmNotConfigured("Read the task with get_task, and call add_subtask for each of its parts.");
  },
});

const analyzeComplexity = defineTool({
  name: "analyze_project_complexity",
  title: "Score the complexity of tasks",
  description: "Needs a language model on the server. complexity_report shows the scores that there are.",
  mode: "standard",
  annotations: adds,
  input: {
    ...place,
    ids: Type.Optional(Ids),
    threshold: number,
    from: number,
    to: number,
    output: text,
    research: flag,
  },
  output: placed,
  run: async () => {
    throw new LlmNotConfigured(
      "Read the tasks with get_tasks and judge yourself; complexity_report shows old scores.",
    );
  },
});

export const modelTools: Tool[] = [parsePrd, expandTask, analyzeComplexity];

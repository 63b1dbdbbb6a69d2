import { type Static, Type } from "typebox";
import { LocalId, Priority, strict, TaskReference } from "../schema.ts";
import { Complexity, Task } from "../tasks/schema.ts";

const prompt = Type.String({
  minLength: 1,
  maxLength: 20_000,
  pattern: "\\S",
  description: "What is wanted, in words, for the language model.",
});

export const Expansion = Type.Object(
  {
    count: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 50,
        description:
          "How many subtasks; by default what the complexity report recommends, or as it seems right.",
      }),
    ),
    prompt: Type.Optional(prompt),
    replace: Type.Optional(
      Type.Boolean({ default: false, description: "Whether to remove the subtasks that are there." }),
    ),
  },
  strict,
);
export type Expansion = Static<typeof Expansion>;

export const ExpandedTask = Type.Object(
  { task: Task, subtasks: Type.Array(Task, { description: "The new ones." }) },
  { ...strict, title: "ExpandedTask" },
);
export type ExpandedTask = Static<typeof ExpandedTask>;

export const Requirements = Type.Object(
  {
    text: Type.String({
      minLength: 1,
      maxLength: 200_000,
      pattern: "\\S",
      description: "The document itself, and not where it lies.",
    }),
    count: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: "About how many tasks to make of it." }),
    ),
    existing: Type.Optional(
      Type.Enum(["refuse", "append", "replace"], {
        type: "string",
        default: "refuse",
        description: "What to do when the tag has tasks: refuse, add behind them, or remove them all first.",
      }),
    ),
  },
  strict,
);
export type Requirements = Static<typeof Requirements>;

export const PlannedTasks = Type.Object(
  { tasks: Type.Array(Task, { description: "The new ones." }) },
  { ...strict, title: "PlannedTasks" },
);
export type PlannedTasks = Static<typeof PlannedTasks>;

export const ComplexityRequest = Type.Object(
  {
    tasks: Type.Optional(
      Type.Array(TaskReference, {
        minItems: 1,
        maxItems: 100,
        uniqueItems: true,
        description: "Only these; by default all that are neither done nor cancelled.",
      }),
    ),
    from: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 2_147_483_647, description: "The first number." }),
    ),
    to: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_147_483_647, description: "The last number." })),
    threshold: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 10,
        default: 5,
        description: "From which score on a task is recommended to be expanded.",
      }),
    ),
  },
  strict,
);
export type ComplexityRequest = Static<typeof ComplexityRequest>;

export const ComplexityAnalysis = Type.Object(
  {
    scored: Type.Array(
      Type.Object({ localId: LocalId, title: Type.String(), complexity: Complexity }, strict),
      { description: "What was judged, and is kept on each task." },
    ),
    recommended: Type.Array(LocalId, { description: "Those to be expanded." }),
    skipped: Type.Array(LocalId, {
      description: "Those that changed while the model was at work, so that it judged something else.",
    }),
  },
  { ...strict, title: "ComplexityAnalysis" },
);
export type ComplexityAnalysis = Static<typeof ComplexityAnalysis>;

export const TaskDraft = Type.Object(
  {
    prompt,
    priority: Type.Optional(Priority),
    dependencies: Type.Optional(
      Type.Array(TaskReference, { maxItems: 200, uniqueItems: true, description: "What it waits for." }),
    ),
  },
  strict,
);
export type TaskDraft = Static<typeof TaskDraft>;

export const TaskRevision = Type.Object(
  {
    prompt,
    append: Type.Optional(
      Type.Boolean({ default: false, description: "Only add to the details, and change nothing else." }),
    ),
  },
  strict,
);
export type TaskRevision = Static<typeof TaskRevision>;

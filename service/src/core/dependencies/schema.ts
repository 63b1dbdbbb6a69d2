import { type Static, Type } from "typebox";
import { LocalId, Status, strict, Uuid } from "../schema.ts";

/** A finished end of an edge, as lists show it. */
export const TaskSummary = Type.Object(
  { id: Uuid, localId: LocalId, title: Type.String(), status: Status },
  { ...strict, title: "TaskSummary" },
);
export type TaskSummary = Static<typeof TaskSummary>;

export const dependencyProblems = [
  "self",
  "missing",
  "duplicate",
  "cross_tag",
  "cycle",
  "ambiguous",
  "unreadable",
] as const;
export type DependencyProblem = (typeof dependencyProblems)[number];

export const QuarantinedDependency = Type.Object(
  {
    task: TaskSummary,
    raw: Type.String({ description: "The JSON text of the reference as it was imported." }),
    problem: Type.Enum([...dependencyProblems], { type: "string" }),
  },
  strict,
);
export type QuarantinedDependency = Static<typeof QuarantinedDependency>;

export const TaskDependencies = Type.Object(
  {
    dependsOn: Type.Array(TaskSummary, { description: "What the task waits for." }),
    dependents: Type.Array(TaskSummary, { description: "What waits for the task." }),
    quarantined: Type.Array(QuarantinedDependency, {
      description: "Edges of an import that are kept but inactive.",
    }),
  },
  strict,
);
export type TaskDependencies = Static<typeof TaskDependencies>;

export const Validation = Type.Object(
  { tag: Type.String(), valid: Type.Boolean(), problems: Type.Array(QuarantinedDependency) },
  strict,
);
export type Validation = Static<typeof Validation>;

export const FixResult = Type.Object(
  {
    tag: Type.String(),
    activated: Type.Array(QuarantinedDependency, {
      description: "Edges that can hold now, because what was wrong is gone: they count from here on.",
    }),
    removed: Type.Array(QuarantinedDependency, { description: "Edges that cannot hold: gone for good." }),
  },
  strict,
);
export type FixResult = Static<typeof FixResult>;

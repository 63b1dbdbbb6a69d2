import { type Static, Type } from "typebox";
import { NextMode } from "../claims/schema.ts";
import { TaskSummary } from "../dependencies/schema.ts";
import { LocalId, Priority, strict, Uuid } from "../schema.ts";
import { Task } from "../tasks/schema.ts";

export const GraphNode = Type.Object(
  {
    ...TaskSummary.properties,
    parent: Type.Union([Uuid, Type.Null()]),
    priority: Type.Union([Priority, Type.Null()]),
    effort: Type.Union([Type.Number(), Type.Null()]),
    claimed: Type.Boolean(),
  },
  strict,
);
export type GraphNode = Static<typeof GraphNode>;

export const GraphEdge = Type.Object(
  { from: Uuid, to: Uuid },
  { ...strict, description: "`from` waits for `to`." },
);
export type GraphEdge = Static<typeof GraphEdge>;

export const Graph = Type.Object(
  { tag: Type.String(), nodes: Type.Array(GraphNode), edges: Type.Array(GraphEdge) },
  strict,
);
export type Graph = Static<typeof Graph>;

export const ReadyList = Type.Object({ tag: Type.String(), tasks: Type.Array(GraphNode) }, strict);
export type ReadyList = Static<typeof ReadyList>;

export const BlockedList = Type.Object(
  {
    tag: Type.String(),
    tasks: Type.Array(Type.Object({ ...GraphNode.properties, waitsFor: Type.Array(TaskSummary) }, strict)),
  },
  strict,
);
export type BlockedList = Static<typeof BlockedList>;

export const CriticalPath = Type.Object(
  {
    tag: Type.String(),
    effort: Type.Number({
      description: "The sum of the path's efforts in hours; a task without an effort counts as one.",
    }),
    tasks: Type.Array(GraphNode, { description: "From what can start first to what ends last." }),
  },
  strict,
);
export type CriticalPath = Static<typeof CriticalPath>;

export const NextQuery = Type.Object({ mode: Type.Optional(NextMode) }, strict);

export const NextAnswer = Type.Object(
  {
    tag: Type.String(),
    mode: NextMode,
    task: Type.Union([Task, Type.Null()], { description: "Null when nothing is ready." }),
    reasons: Type.Array(Type.String(), { description: "Why this task comes first." }),
    alternatives: Type.Array(LocalId, { description: "Smart mode: the runners-up." }),
  },
  strict,
);
export type NextAnswer = Static<typeof NextAnswer>;

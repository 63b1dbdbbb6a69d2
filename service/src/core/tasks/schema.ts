import { type Static, Type } from "typebox";
import { TaskClaim } from "../claims/schema.ts";
import { PageQuery } from "../page.ts";
import {
  JsonObject,
  LocalId,
  Priority,
  Status,
  strict,
  TaskReference,
  Timestamp,
  Uuid,
  Version,
} from "../schema.ts";

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

export const Complexity = Type.Object(
  {
    score: Type.Optional(Type.Number({ minimum: 0, maximum: 10 })),
    reasoning: Type.Optional(Type.String({ maxLength: 50_000 })),
    recommendedSubtasks: Type.Optional(Type.Integer({ minimum: 0, maximum: 1000 })),
    expansionPrompt: Type.Optional(Type.String({ maxLength: 50_000 })),
  },
  strict,
);
export type Complexity = Static<typeof Complexity>;

const title = Type.String({ minLength: 1, maxLength: 1000, pattern: "\\S" });
const text = Type.String({ maxLength: 200_000 });
const assignee = Type.String({ minLength: 1, maxLength: 200 });
const hours = Type.Number({ minimum: 0, maximum: 1_000_000, description: "In hours." });
const Labels = Type.Array(Type.String({ minLength: 1, maxLength: 100 }), {
  maxItems: 100,
  uniqueItems: true,
});

export const Task = Type.Object(
  {
    id: Uuid,
    project: Type.String({ description: "The project's key." }),
    tag: Type.String({ description: "The tag's name." }),
    parent: Type.Union([Uuid, Type.Null()], { description: "The task that this is a subtask of." }),
    localId: LocalId,
    title: Type.String(),
    description: Type.String(),
    details: Type.String(),
    testStrategy: Type.String(),
    status: Status,
    priority: Type.Union([Priority, Type.Null()], {
      description: "Null counts as the parent's, and as medium where that has none.",
    }),
    rank: Type.String({ description: "The task's place in its tag: sorts as bytes." }),
    assignee: nullable(Type.String()),
    effort: nullable(Type.Number()),
    actualEffort: nullable(Type.Number()),
    labels: Type.Array(Type.String()),
    complexity: nullable(Complexity),
    metadata: JsonObject,
    extra: { ...JsonObject, description: "Members of an import that the product has no field for." },
    dependencies: Type.Array(LocalId, { description: "The local ids of the tasks that this one waits for." }),
    claim: nullable(TaskClaim),
    version: Version,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { ...strict, title: "Task" },
);
export type Task = Static<typeof Task>;

const fields = {
  description: Type.Optional(text),
  details: Type.Optional(text),
  testStrategy: Type.Optional(text),
  status: Type.Optional(Status),
  metadata: Type.Optional(JsonObject),
  labels: Type.Optional(Labels),
};

export const NewTask = Type.Object(
  {
    title,
    ...fields,
    priority: Type.Optional(nullable(Priority)),
    assignee: Type.Optional(nullable(assignee)),
    effort: Type.Optional(nullable(hours)),
    actualEffort: Type.Optional(nullable(hours)),
    complexity: Type.Optional(nullable(Complexity)),
    dependencies: Type.Optional(
      Type.Array(TaskReference, {
        maxItems: 200,
        uniqueItems: true,
        description:
          "What the task waits for: local ids of the same tag, or any other form of a task's reference.",
      }),
    ),
  },
  strict,
);
export type NewTask = Static<typeof NewTask>;

/**
 * RFC 7396: a member that is left out stays; null clears it where the field can be empty, and is refused elsewhere.
 * `metadata` and `extra` are merged member by member.
 */
export const TaskPatch = Type.Object(
  {
    title: Type.Optional(title),
    ...fields,
    priority: Type.Optional(nullable(Priority)),
    assignee: Type.Optional(nullable(assignee)),
    effort: Type.Optional(nullable(hours)),
    actualEffort: Type.Optional(nullable(hours)),
    complexity: Type.Optional(nullable(Complexity)),
    extra: Type.Optional(JsonObject),
  },
  strict,
);
export type TaskPatch = Static<typeof TaskPatch>;

export const TaskMove = Type.Object(
  {
    tag: Type.Optional({
      ...Type.String({ minLength: 1, maxLength: 200 }),
      description: "The tag to move to; the same project's.",
    }),
    parent: Type.Optional(
      Type.Union([TaskReference, Type.Null()], {
        description: "The task to become a subtask of; null makes it a task of its own.",
      }),
    ),
    before: Type.Optional({ ...TaskReference, description: "The sibling to stand before." }),
    after: Type.Optional({ ...TaskReference, description: "The sibling to stand behind." }),
  },
  { ...strict, minProperties: 1 },
);
export type TaskMove = Static<typeof TaskMove>;

export const TaskFilter = {
  status: Type.Optional(Type.Array(Status, { maxItems: 7, description: "Any of these." })),
  priority: Type.Optional(Type.Array(Priority, { maxItems: 4, description: "Any of these." })),
  assignee: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  label: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
  level: Type.Optional(
    Type.Enum(["task", "subtask"], {
      type: "string",
      description: "Only tasks, or only subtasks; both by default.",
    }),
  ),
};
export const TaskListQuery = Type.Object({ ...PageQuery, ...TaskFilter }, strict);
export type TaskListQuery = Static<typeof TaskListQuery>;

/** One step of a batch. A step may name a task made by an earlier step of the same batch as `#name`. */
export const BatchOperation = Type.Union([
  Type.Object(
    {
      op: Type.Literal("create"),
      name: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9_-]{1,50}$" })),
      parent: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
      task: NewTask,
    },
    strict,
  ),
  Type.Object(
    { op: Type.Literal("update"), task: TaskReference, version: Version, patch: TaskPatch },
    strict,
  ),
  Type.Object({ op: Type.Literal("delete"), task: TaskReference, version: Version }, strict),
  Type.Object({ op: Type.Literal("depend"), task: TaskReference, dependsOn: TaskReference }, strict),
  Type.Object({ op: Type.Literal("undepend"), task: TaskReference, dependsOn: TaskReference }, strict),
]);
export type BatchOperation = Static<typeof BatchOperation>;

export const Batch = Type.Object(
  { operations: Type.Array(BatchOperation, { minItems: 1, maxItems: 200 }) },
  strict,
);
export type Batch = Static<typeof Batch>;

export const BatchResult = Type.Object(
  {
    results: Type.Array(nullable(Task), { description: "One an operation, in order; null after a delete." }),
  },
  strict,
);
export type BatchResult = Static<typeof BatchResult>;

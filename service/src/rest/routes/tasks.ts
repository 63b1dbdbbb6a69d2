import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import {
  Batch,
  BatchResult,
  NewTask,
  pageOf,
  Task,
  TaskListQuery,
  TaskMove,
  TaskPatch,
  Timestamp,
} from "../../core/index.ts";
import {
  contextOf,
  type Edge,
  path,
  precondition,
  selectionOf,
  sendCreated,
  sendPage,
  sendVersioned,
} from "../http.ts";
import type { ProblemCode } from "../problem.ts";
import {
  changeProblems,
  FieldsQuery,
  NoContent,
  NoQuery,
  named,
  operation,
  PageAndFieldsQuery,
  PostHeaders,
  patchTypes,
  TagParams,
  TaskChangeHeaders,
  TaskParams,
  TaskPostHeaders,
  withFields,
} from "../schemas.ts";

const GetQuery = Type.Object(
  {
    ...FieldsQuery.properties,
    asOf: Type.Optional({
      ...Timestamp,
      description: "As it was at this instant.",
      examples: ["2026-01-31T12:00:00.000Z"],
    }),
  },
  { additionalProperties: false },
);
const newTask = named(NewTask, "NewTask", {
  title: "Write the login page",
  priority: "high",
  labels: ["web"],
  dependencies: ["1"],
});
const Move = { ...TaskMove, not: { required: ["before", "after"] } };
const taskProblems: ProblemCode[] = [...changeProblems, "claimed", "stale_fence"];

export const taskRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;
  const addressOf = (task: Task) => `${base}${path("tasks", task.id)}`;

  app.get(
    "/projects/:key/tags/:tag/tasks",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("listTasks", "tasks", "A tag's tasks and subtasks by rank"),
        params: TagParams,
        querystring: withFields(TaskListQuery),
        response: { 200: pageOf(Task) },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Task);
      return sendPage(
        request,
        reply,
        await core.tasks.list(contextOf(request), key, tag, query),
        edge,
        selection,
      );
    },
  );

  app.post(
    "/projects/:key/tags/:tag/tasks",
    {
      config: { problems: ["not_found", "cycle"] },
      schema: {
        ...operation("createTask", "tasks", "Add a task"),
        params: TagParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: newTask,
        response: { 201: Task },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      const task = await core.tasks.create(contextOf(request), key, tag, request.body);
      return sendCreated(reply, addressOf(task), task);
    },
  );

  app.post(
    "/projects/:key/tags/:tag/tasks::batch",
    {
      config: { problems: [...taskProblems, "cycle"] },
      schema: {
        ...operation("batchTasks", "tasks", "Several changes of a tag's tasks: all of them, or none"),
        params: TagParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(Batch, "Batch", {
          operations: [
            { op: "create", name: "page", task: { title: "Write the login page" } },
            { op: "create", parent: "#page", task: { title: "Write its form" } },
          ],
        }),
        response: { 200: named(BatchResult, "BatchResult") },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return reply.send(await core.tasks.batch(contextOf(request), key, tag, request.body));
    },
  );

  app.get(
    "/tasks/:id",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("getTask", "tasks", "A task, as it is or as it was"),
        params: TaskParams,
        querystring: GetQuery,
        response: { 200: Task },
      },
    },
    async (request, reply) => {
      const { fields, asOf } = request.query;
      const selection = selectionOf(fields, Task);
      const task = await core.tasks.get(contextOf(request), request.params.id, asOf);
      return sendVersioned(request, reply, task, selection);
    },
  );

  app.patch(
    "/tasks/:id",
    {
      config: { problems: taskProblems },
      schema: {
        ...operation("updateTask", "tasks", "Change a task"),
        params: TaskParams,
        querystring: NoQuery,
        headers: TaskChangeHeaders,
        consumes: patchTypes,
        body: named(TaskPatch, "TaskPatch", { status: "in-progress", assignee: "ada" }),
        response: { 200: Task },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const task = await core.tasks.update(contextOf(request), id, request.body, precondition(request));
      return sendVersioned(request, reply, task);
    },
  );

  app.delete(
    "/tasks/:id",
    {
      config: { problems: taskProblems },
      schema: {
        ...operation("deleteTask", "tasks", "Delete a task with its subtasks"),
        params: TaskParams,
        querystring: NoQuery,
        headers: TaskChangeHeaders,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await core.tasks.delete(contextOf(request), request.params.id, precondition(request));
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/tasks/:id/move",
    {
      config: { problems: [...taskProblems, "cycle", "conflict"] },
      schema: {
        ...operation("moveTask", "tasks", "Move a task to another place, parent or tag"),
        params: TaskParams,
        querystring: NoQuery,
        headers: TaskPostHeaders,
        body: named(Move, "TaskMove", { before: "DEMO:master:1" }),
        response: { 200: Task },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const task = await core.tasks.move(contextOf(request), id, request.body, precondition(request));
      return sendVersioned(request, reply, task);
    },
  );

  app.get(
    "/tasks/:id/subtasks",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("listSubtasks", "tasks", "A task's subtasks by rank"),
        params: TaskParams,
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Task) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Task);
      const page = await core.tasks.listSubtasks(contextOf(request), request.params.id, query);
      return sendPage(request, reply, page, edge, selection);
    },
  );

  app.post(
    "/tasks/:id/subtasks",
    {
      config: { problems: ["not_found", "cycle", "conflict"] },
      schema: {
        ...operation("createSubtask", "tasks", "Add a subtask"),
        params: TaskParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: newTask,
        response: { 201: Task },
      },
    },
    async (request, reply) => {
      const task = await core.tasks.createSubtask(contextOf(request), request.params.id, request.body);
      return sendCreated(reply, addressOf(task), task);
    },
  );
};

import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import {
  ComplexityAnalysis,
  ComplexityRequest,
  ExpandedTask,
  Expansion,
  PlannedTasks,
  Requirements,
  Task,
  TaskDraft,
  TaskRevision,
} from "../../core/index.ts";
import { contextOf, type Edge, path, precondition, sendCreated, sendVersioned } from "../http.ts";
import type { ProblemCode } from "../problem.ts";
import {
  changeProblems,
  NoQuery,
  named,
  operation,
  PostHeaders,
  TagParams,
  TaskParams,
  TaskPostHeaders,
} from "../schemas.ts";

const modelProblems: ProblemCode[] = ["llm_not_configured", "llm_failed"];
const planProblems: ProblemCode[] = [...modelProblems, "not_found", "conflict", "version_mismatch"];

/** What a language model is asked for; each waits for it as long as the configuration allows. */
export const planningRoutes: FastifyPluginAsyncTypebox<Edge & { waitSeconds: number }> = async (
  app,
  { core, base, waitSeconds },
) => {
  const handlerTimeout = waitSeconds * 1000;

  app.post(
    "/tasks/:id/expand",
    {
      handlerTimeout,
      config: { problems: [...planProblems, "claimed"] },
      schema: {
        ...operation("expandTask", "tasks", "Have a task broken down into subtasks"),
        params: TaskParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(Expansion, "Expansion", { count: 4, prompt: "One of them is the migration." }),
        response: { 200: ExpandedTask },
      },
    },
    async (request) => core.planning.expandTask(contextOf(request), request.params.id, request.body),
  );

  app.post(
    "/tasks/:id/revise",
    {
      handlerTimeout,
      config: { problems: [...modelProblems, ...changeProblems, "claimed", "stale_fence"] },
      schema: {
        ...operation("reviseTask", "tasks", "Have a task's words changed"),
        params: TaskParams,
        querystring: NoQuery,
        headers: TaskPostHeaders,
        body: named(TaskRevision, "TaskRevision", { prompt: "Use the new payment service." }),
        response: { 200: Task },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const task = await core.planning.reviseTask(
        contextOf(request),
        id,
        request.body,
        precondition(request),
      );
      return sendVersioned(request, reply, task);
    },
  );

  app.post(
    "/projects/:key/tags/:tag/draft-task",
    {
      handlerTimeout,
      config: { problems: [...modelProblems, "not_found", "cycle"] },
      schema: {
        ...operation("draftTask", "tasks", "Have a task written and add it"),
        params: TagParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(TaskDraft, "TaskDraft", { prompt: "Let people sign in with a passkey." }),
        response: { 201: Task },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      const task = await core.planning.draftTask(contextOf(request), key, tag, request.body);
      return sendCreated(reply, `${base}${path("tasks", task.id)}`, task);
    },
  );

  app.post(
    "/projects/:key/tags/:tag/parse-prd",
    {
      handlerTimeout,
      config: { problems: [...planProblems, "claimed", "too_large"] },
      schema: {
        ...operation("parsePrd", "tasks", "Have tasks made of a requirements document"),
        params: TagParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(Requirements, "Requirements", {
          text: "The kitchen sees new orders at once.",
          existing: "append",
        }),
        response: { 200: PlannedTasks },
      },
    },
    async (request) => {
      const { key, tag } = request.params;
      return core.planning.parsePrd(contextOf(request), key, tag, request.body);
    },
  );

  app.post(
    "/projects/:key/tags/:tag/analyze-complexity",
    {
      handlerTimeout,
      config: { problems: [...modelProblems, "not_found", "conflict", "too_large"] },
      schema: {
        ...operation(
          "analyzeComplexity",
          "tasks",
          "Have the complexity of tasks judged, and keep it on them",
        ),
        params: TagParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(ComplexityRequest, "ComplexityRequest", { tasks: ["1", "2"] }),
        response: { 200: ComplexityAnalysis },
      },
    },
    async (request) => {
      const { key, tag } = request.params;
      return core.planning.analyzeComplexity(contextOf(request), key, tag, request.body);
    },
  );
};

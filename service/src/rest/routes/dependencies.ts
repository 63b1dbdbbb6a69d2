import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { FixResult, TaskDependencies, Validation } from "../../core/index.ts";
import { contextOf, type Edge } from "../http.ts";
import {
  DependencyParams,
  NoContent,
  NoQuery,
  named,
  operation,
  PostHeaders,
  TagParams,
  TaskParams,
} from "../schemas.ts";

const dependencies = named(TaskDependencies, "TaskDependencies");

export const dependencyRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, { core }) => {
  app.get(
    "/tasks/:id/dependencies",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("listDependencies", "dependencies", "What a task waits for, and what waits for it"),
        params: TaskParams,
        querystring: NoQuery,
        response: { 200: dependencies },
      },
    },
    async (request, reply) => reply.send(await core.dependencies.list(contextOf(request), request.params.id)),
  );

  app.put(
    "/tasks/:id/dependencies/:other",
    {
      config: { problems: ["not_found", "cycle", "conflict"] },
      schema: {
        ...operation("addDependency", "dependencies", "Make a task wait for another"),
        params: DependencyParams,
        querystring: NoQuery,
        response: { 200: dependencies },
      },
    },
    async (request, reply) => {
      const { id, other } = request.params;
      return reply.send(await core.dependencies.add(contextOf(request), id, other));
    },
  );

  app.delete(
    "/tasks/:id/dependencies/:other",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("removeDependency", "dependencies", "Make a task no longer wait for another"),
        params: DependencyParams,
        querystring: NoQuery,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      const { id, other } = request.params;
      await core.dependencies.remove(contextOf(request), id, other);
      return reply.code(204).send(null);
    },
  );

  app.get(
    "/projects/:key/tags/:tag/validate",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("validateDependencies", "dependencies", "Imported dependencies that cannot hold"),
        params: TagParams,
        querystring: NoQuery,
        response: { 200: named(Validation, "Validation") },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return reply.send(await core.dependencies.validate(contextOf(request), key, tag));
    },
  );

  app.post(
    "/projects/:key/tags/:tag/fix",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation(
          "fixDependencies",
          "dependencies",
          "Settle the imported dependencies that could not hold",
        ),
        params: TagParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(Type.Object({}, { additionalProperties: false }), "NoInput"),
        response: { 200: named(FixResult, "FixResult") },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return reply.send(await core.dependencies.fix(contextOf(request), key, tag));
    },
  );
};

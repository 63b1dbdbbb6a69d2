import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { BlockedList, CriticalPath, Graph, NextAnswer, NextQuery, ReadyList } from "../../core/index.ts";
import { contextOf, type Edge } from "../http.ts";
import { NoQuery, named, operation, TagParams } from "../schemas.ts";

export const graphRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, { core }) => {
  const config = { problems: ["not_found" as const] };
  const common = { params: TagParams, querystring: NoQuery };

  app.get(
    "/projects/:key/tags/:tag/graph",
    {
      config,
      schema: {
        ...operation("getGraph", "graph", "All tasks and dependencies of a tag"),
        ...common,
        response: { 200: named(Graph, "Graph") },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return reply.send(await core.graphs.graph(contextOf(request), key, tag));
    },
  );

  app.get(
    "/projects/:key/tags/:tag/ready",
    {
      config,
      schema: {
        ...operation("getReady", "graph", "What can be started now"),
        ...common,
        response: { 200: named(ReadyList, "ReadyList") },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return reply.send(await core.graphs.ready(contextOf(request), key, tag));
    },
  );

  app.get(
    "/projects/:key/tags/:tag/blocked",
    {
      config,
      schema: {
        ...operation("getBlocked", "graph", "What waits, and for what"),
        ...common,
        response: { 200: named(BlockedList, "BlockedList") },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return reply.send(await core.graphs.blocked(contextOf(request), key, tag));
    },
  );

  app.get(
    "/projects/:key/tags/:tag/critical-path",
    {
      config,
      schema: {
        ...operation("getCriticalPath", "graph", "The chain of tasks that decides the end"),
        ...common,
        response: { 200: named(CriticalPath, "CriticalPath") },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return reply.send(await core.graphs.criticalPath(contextOf(request), key, tag));
    },
  );

  app.get(
    "/projects/:key/tags/:tag/next",
    {
      config,
      schema: {
        ...operation("getNext", "graph", "The task to do next, without claiming it"),
        params: TagParams,
        querystring: NextQuery,
        response: { 200: named(NextAnswer, "NextAnswer") },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return reply.send(await core.graphs.next(contextOf(request), key, tag, request.query.mode ?? "compat"));
    },
  );
};

import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Agent, AgentPatch, NewAgent, pageOf } from "../../core/index.ts";
import {
  contextOf,
  type Edge,
  ifMatch,
  path,
  selectionOf,
  sendCreated,
  sendPage,
  sendVersioned,
} from "../http.ts";
import {
  ChangeHeaders,
  changeProblems,
  FieldsQuery,
  IdParams,
  NoContent,
  NoQuery,
  named,
  operation,
  PageAndFieldsQuery,
  PostHeaders,
  patchTypes,
} from "../schemas.ts";

export const agentRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;

  app.get(
    "/agents",
    {
      config: { selectable: true },
      schema: {
        ...operation("listAgents", "agents", "The organization's agents"),
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Agent) },
      },
    },
    async (request, reply) => {
      const { fields, ...page } = request.query;
      const selection = selectionOf(fields, Agent);
      return sendPage(request, reply, await core.agents.list(contextOf(request), page), edge, selection);
    },
  );

  app.post(
    "/agents",
    {
      config: { problems: ["already_exists"] },
      schema: {
        ...operation("createAgent", "agents", "Make an agent"),
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewAgent, "NewAgent", { name: "builder", capabilities: ["typescript"] }),
        response: { 201: Agent },
      },
    },
    async (request, reply) => {
      const agent = await core.agents.create(contextOf(request), request.body);
      return sendCreated(reply, `${base}${path("agents", agent.id)}`, agent);
    },
  );

  app.get(
    "/agents/:id",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("getAgent", "agents", "One of the organization's agents"),
        params: IdParams,
        querystring: FieldsQuery,
        response: { 200: Agent },
      },
    },
    async (request, reply) => {
      const selection = selectionOf(request.query.fields, Agent);
      return sendVersioned(
        request,
        reply,
        await core.agents.get(contextOf(request), request.params.id),
        selection,
      );
    },
  );

  app.patch(
    "/agents/:id",
    {
      config: { problems: [...changeProblems, "conflict"] },
      schema: {
        ...operation("updateAgent", "agents", "Change or disable an agent"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        consumes: patchTypes,
        body: named(AgentPatch, "AgentPatch", { disabled: true }),
        response: { 200: Agent },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      return sendVersioned(
        request,
        reply,
        await core.agents.update(contextOf(request), id, request.body, ifMatch(request)),
      );
    },
  );

  app.delete(
    "/agents/:id",
    {
      config: { problems: [...changeProblems, "conflict"] },
      schema: {
        ...operation("deleteAgent", "agents", "Delete an agent, with its tokens"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await core.agents.delete(contextOf(request), request.params.id, ifMatch(request));
      return reply.code(204).send(null);
    },
  );
};

import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { AuditEntry, AuditQuery, EventList, EventQuery, pageOf } from "../../core/index.ts";
import { contextOf, type Edge, linkNext, selectionOf, sendPage } from "../http.ts";
import { named, operation, ProjectParams, withFields } from "../schemas.ts";

export const eventRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core } = edge;

  app.get(
    "/projects/:key/events",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("listEvents", "projects", "What happened in a project, oldest first and without gaps"),
        params: ProjectParams,
        querystring: EventQuery,
        response: { 200: named(EventList, "EventList") },
      },
    },
    async (request, reply) => {
      const list = await core.events.list(contextOf(request), request.params.key, request.query);
      if (list.more) linkNext(request, reply, edge, { after: String(list.last) });
      return reply.send(list);
    },
  );

  app.get(
    "/audit",
    {
      config: { selectable: true },
      schema: {
        ...operation("listAudit", "organizations", "Who did what in the organization, newest first"),
        querystring: withFields(AuditQuery),
        response: { 200: pageOf(AuditEntry) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, AuditEntry);
      return sendPage(request, reply, await core.events.audit(contextOf(request), query), edge, selection);
    },
  );
};

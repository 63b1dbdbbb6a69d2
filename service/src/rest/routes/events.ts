import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { AuditEntry, AuditQuery, EventList, EventQuery, pageOf } from "../../core/index.ts";
import { callerOf, contextOf, type Edge, linkNext, selectionOf, sendPage } from "../http.ts";
import { named, operation, ProjectParams, withFields } from "../schemas.ts";
import type { Streams } from "../streams.ts";

const place = {
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
};
const StreamQuery = Type.Object(
  {
    after: Type.Optional(
      Type.Integer({
        ...place,
        description:
          "The last sequence you have, when you connect first; without it, you get what comes from now on.",
      }),
    ),
  },
  { additionalProperties: false },
);
const StreamHeaders = Type.Object({
  "Last-Event-ID": Type.Optional(
    Type.Integer({
      ...place,
      description: "The last id you have, when you connect again; wins over `after`.",
    }),
  ),
});
const streamDescription =
  "Server-sent events (WHATWG HTML): `id` is the event's sequence, `event` its type and `data` the Event as JSON, as in " +
  "the list. Beside them: `start` with the log's end as its id, if you named no place; `reset` with the log's end, if " +
  "yours is ahead of the log, as after a restore: read everything again; `end` with a problem's code and detail, when the " +
  "stream ends though you did not leave: connect again, unless the code says that it would not help. Comments are the " +
  "heartbeat.";

export const eventRoutes: FastifyPluginAsyncTypebox<Edge & { streams: Streams }> = async (app, edge) => {
  const { core, streams } = edge;

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
    "/projects/:key/events/stream",
    {
      // A HEAD would be as endless.
      exposeHeadRoute: false,
      config: { problems: ["not_found"] },
      schema: {
        ...operation("streamEvents", "projects", "What happens in a project, as it happens"),
        description: streamDescription,
        params: ProjectParams,
        querystring: StreamQuery,
        headers: StreamHeaders,
        response: {
          200: {
            description: "The stream, without an end of its own.",
            content: { "text/event-stream": { schema: Type.String() } },
          },
        },
      },
    },
    async (request, reply) => {
      const controller = streams.take(request);
      const after = request.headers["last-event-id"] ?? request.query.after;
      try {
        const who = { ...contextOf(request), ...callerOf(request) };
        const { signal } = controller;
        const following = await core.events.follow(who, request.params.key, { after, signal });
        streams.send(request, reply, { following, placed: after !== undefined, controller });
        return reply;
      } catch (error) {
        controller.abort();
        throw error;
      }
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

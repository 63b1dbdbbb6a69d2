import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { Event, eventTypes, strict } from "../../core/index.ts";
import { callerOf, contextOf, type Edge } from "../http.ts";
import { operation, ProjectParams } from "../schemas.ts";
import type { Streams } from "../streams.ts";

const sequence = { minimum: 0, maximum: Number.MAX_SAFE_INTEGER };

const StreamQuery = Type.Object(
  {
    after: Type.Optional(
      Type.Integer({
        ...sequence,
        description:
          "The last sequence you have, when you connect first; without it, you get what comes from now on.",
      }),
    ),
  },
  strict,
);
const StreamHeaders = Type.Object({
  "Last-Event-ID": Type.Optional(
    Type.Integer({
      ...sequence,
      description: "The last id you have, when you connect again; wins over `after`.",
    }),
  ),
});

const Place = Type.Object(
  { last: Type.Integer({ minimum: 0, description: "The log's end, where it begins." }) },
  strict,
);
const End = Type.Object({ code: Type.String(), detail: Type.String() }, strict);
/** One block of many: OpenAPI 3.1 has no word for a sequence of them. */
const Block = Type.Object(
  {
    id: Type.Optional(Type.String({ pattern: "^[0-9]+$" })),
    event: Type.Enum([...eventTypes, "start", "reset", "end"], { type: "string" }),
    data: Type.String({
      contentMediaType: "application/json",
      contentSchema: Type.Union([Event, Place, End]),
    }),
  },
  { title: "StreamBlock" },
);
const description =
  "Server-sent events (WHATWG HTML): `id` is an event's sequence, `event` its type, and `data` the Event as JSON, as in the " +
  "list. Beside them: `start`, whose id is the log's end, if you named no place; `reset` with the log's end, if your place " +
  "is ahead of the log, as after a restore: read everything again; `end` with a problem's code and detail, when the stream " +
  "ends though you did not leave: connect again, and see. Comments are signs of life.";

export const streamRoutes: FastifyPluginAsyncTypebox<Edge & { streams: Streams }> = async (app, edge) => {
  const { core, streams } = edge;

  app.get(
    "/projects/:key/events/stream",
    {
      // The answer to a HEAD would be as endless.
      exposeHeadRoute: false,
      config: { problems: ["not_found"] },
      schema: {
        ...operation("streamEvents", "projects", "What happens in a project, as it happens"),
        description,
        params: ProjectParams,
        querystring: StreamQuery,
        headers: StreamHeaders,
        response: {
          200: {
            description: "The stream, which has no end of its own.",
            content: { "text/event-stream": { schema: Block } },
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
};

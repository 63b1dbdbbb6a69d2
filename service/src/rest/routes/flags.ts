import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Flag, pageOf } from "../../core/index.ts";
import { contextOf, type Edge } from "../http.ts";
import { NoQuery, operation, wholeList } from "../schemas.ts";

export const flagRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, { core }) => {
  app.get(
    "/flags",
    {
      schema: {
        ...operation("listFlags", "flags", "Which features are on for you"),
        querystring: NoQuery,
        response: { 200: pageOf(Flag) },
      },
    },
    async (request, reply) => reply.send(wholeList(await core.flags.list(contextOf(request)))),
  );
};

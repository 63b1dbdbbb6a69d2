import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Delivery, DeliveryQuery, pageOf } from "../../core/index.ts";
import { contextOf, type Edge, selectionOf, sendPage } from "../http.ts";
import { IdParams, NoQuery, operation, PostHeaders, withFields } from "../schemas.ts";

export const deliveryRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core } = edge;

  app.get(
    "/webhooks/:id/deliveries",
    {
      config: { problems: ["not_found", "not_supported"], selectable: true },
      schema: {
        ...operation("listDeliveries", "webhooks", "What was and will be sent to a webhook, newest first"),
        params: IdParams,
        querystring: withFields(DeliveryQuery),
        response: { 200: pageOf(Delivery) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Delivery);
      const page = await core.webhooks.listDeliveries(contextOf(request), request.params.id, query);
      return sendPage(request, reply, page, edge, selection);
    },
  );

  app.get(
    "/deliveries/:id",
    {
      config: { problems: ["not_found", "not_supported"] },
      schema: {
        ...operation("getDelivery", "webhooks", "A message to a webhook, and what came of it"),
        params: IdParams,
        querystring: NoQuery,
        response: { 200: Delivery },
      },
    },
    async (request, reply) =>
      reply.send(await core.webhooks.getDelivery(contextOf(request), request.params.id)),
  );

  app.post(
    "/deliveries/:id/replay",
    {
      config: { problems: ["not_found", "conflict", "not_supported"] },
      schema: {
        ...operation("replayDelivery", "webhooks", "Send a message again, under the same id"),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        response: { 202: Delivery },
      },
    },
    async (request, reply) =>
      reply.code(202).send(await core.webhooks.replay(contextOf(request), request.params.id)),
  );
};

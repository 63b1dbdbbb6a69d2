import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import {
  Delivery,
  IssuedWebhook,
  NewWebhook,
  pageOf,
  Replayed,
  Webhook,
  WebhookPatch,
} from "../../core/index.ts";
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
import type { ProblemCode } from "../problem.ts";
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

const actProblems: ProblemCode[] = ["not_found", "conflict", "not_supported"];

export const webhookRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;

  app.get(
    "/webhooks",
    {
      config: { problems: ["not_supported"], selectable: true },
      schema: {
        ...operation("listWebhooks", "webhooks", "The organization's webhooks, without their secrets"),
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Webhook) },
      },
    },
    async (request, reply) => {
      const { fields, ...page } = request.query;
      const selection = selectionOf(fields, Webhook);
      return sendPage(request, reply, await core.webhooks.list(contextOf(request), page), edge, selection);
    },
  );

  app.post(
    "/webhooks",
    {
      config: { problems: ["conflict", "not_supported"] },
      schema: {
        ...operation("createWebhook", "webhooks", "Have events sent to a URL"),
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewWebhook, "NewWebhook", {
          url: "https://example.com/hooks/tasks",
          events: ["task.*", "claim.expired"],
        }),
        response: { 201: IssuedWebhook },
      },
    },
    async (request, reply) => {
      const webhook = await core.webhooks.create(contextOf(request), request.body);
      // The answer holds a secret, which no cache may keep.
      reply.header("cache-control", "no-store");
      return sendCreated(reply, `${base}${path("webhooks", webhook.id)}`, webhook);
    },
  );

  app.get(
    "/webhooks/:id",
    {
      config: { problems: ["not_found", "not_supported"], selectable: true },
      schema: {
        ...operation("getWebhook", "webhooks", "A webhook, without its secret"),
        params: IdParams,
        querystring: FieldsQuery,
        response: { 200: Webhook },
      },
    },
    async (request, reply) => {
      const selection = selectionOf(request.query.fields, Webhook);
      const webhook = await core.webhooks.get(contextOf(request), request.params.id);
      return sendVersioned(request, reply, webhook, selection);
    },
  );

  app.patch(
    "/webhooks/:id",
    {
      config: { problems: [...changeProblems, "not_supported"] },
      schema: {
        ...operation("updateWebhook", "webhooks", "Change, disable or enable a webhook"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        consumes: patchTypes,
        body: named(WebhookPatch, "WebhookPatch", { disabled: false }),
        response: { 200: Webhook },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const webhook = await core.webhooks.update(contextOf(request), id, request.body, ifMatch(request));
      return sendVersioned(request, reply, webhook);
    },
  );

  app.delete(
    "/webhooks/:id",
    {
      config: { problems: [...changeProblems, "not_supported"] },
      schema: {
        ...operation("deleteWebhook", "webhooks", "Delete a webhook, with what waits to be sent to it"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await core.webhooks.delete(contextOf(request), request.params.id, ifMatch(request));
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/webhooks/:id/rotate-secret",
    {
      config: { problems: actProblems },
      schema: {
        ...operation(
          "rotateWebhookSecret",
          "webhooks",
          "A new secret; the one before is used beside it for a day",
        ),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        response: { 200: IssuedWebhook },
      },
    },
    async (request, reply) => {
      const webhook = await core.webhooks.rotateSecret(contextOf(request), request.params.id);
      reply.header("cache-control", "no-store");
      return sendVersioned(request, reply, webhook);
    },
  );

  app.post(
    "/webhooks/:id/test",
    {
      config: { problems: actProblems },
      schema: {
        ...operation("testWebhook", "webhooks", "Send a message of the type webhook.test"),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        response: { 202: Delivery },
      },
    },
    async (request, reply) => {
      const delivery = await core.webhooks.test(contextOf(request), request.params.id);
      return reply
        .code(202)
        .header("location", `${base}${path("deliveries", delivery.id)}`)
        .send(delivery);
    },
  );

  app.post(
    "/webhooks/:id/replay",
    {
      config: { problems: actProblems },
      schema: {
        ...operation("replayWebhook", "webhooks", "Send a webhook's dead letters again, the oldest 10000"),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        response: { 202: Replayed },
      },
    },
    async (request, reply) =>
      reply.code(202).send(await core.webhooks.replayDead(contextOf(request), request.params.id)),
  );
};

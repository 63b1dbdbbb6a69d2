import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { IssuedReceiver, NewReceiver, pageOf, Receiver, ReceiverPatch } from "../../core/index.ts";
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

export const receiverRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;

  app.get(
    "/receivers",
    {
      config: { selectable: true },
      schema: {
        ...operation("listReceivers", "receivers", "The organization's receivers"),
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Receiver) },
      },
    },
    async (request, reply) => {
      const { fields, ...page } = request.query;
      const selection = selectionOf(fields, Receiver);
      return sendPage(request, reply, await core.receivers.list(contextOf(request), page), edge, selection);
    },
  );

  app.post(
    "/receivers",
    {
      config: { problems: ["already_exists"] },
      schema: {
        ...operation("createReceiver", "receivers", "Make a receiver for GitHub's webhooks"),
        description:
          "Enter the address /receivers/github/{id} and the secret at GitHub, with the content type application/json.",
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewReceiver, "NewReceiver", {
          name: "acme/web",
          statuses: { pullRequestMerged: "review" },
        }),
        response: { 201: IssuedReceiver },
      },
    },
    async (request, reply) => {
      const receiver = await core.receivers.create(contextOf(request), request.body);
      // The answer holds a secret, which no cache may keep.
      reply.header("cache-control", "no-store");
      return sendCreated(reply, `${base}${path("receivers", receiver.id)}`, receiver);
    },
  );

  app.get(
    "/receivers/:id",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("getReceiver", "receivers", "A receiver, without its secret"),
        params: IdParams,
        querystring: FieldsQuery,
        response: { 200: Receiver },
      },
    },
    async (request, reply) => {
      const selection = selectionOf(request.query.fields, Receiver);
      const receiver = await core.receivers.get(contextOf(request), request.params.id);
      return sendVersioned(request, reply, receiver, selection);
    },
  );

  app.patch(
    "/receivers/:id",
    {
      config: { problems: [...changeProblems, "already_exists"] },
      schema: {
        ...operation("updateReceiver", "receivers", "Change a receiver's name, or what it does"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        consumes: patchTypes,
        body: named(ReceiverPatch, "ReceiverPatch", { statuses: { issueReopened: null } }),
        response: { 200: Receiver },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const receiver = await core.receivers.update(contextOf(request), id, request.body, ifMatch(request));
      return sendVersioned(request, reply, receiver);
    },
  );

  app.delete(
    "/receivers/:id",
    {
      config: { problems: changeProblems },
      schema: {
        ...operation(
          "deleteReceiver",
          "receivers",
          "Delete a receiver: what is sent to it is refused from then on",
        ),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await core.receivers.delete(contextOf(request), request.params.id, ifMatch(request));
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/receivers/:id/rotate",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation(
          "rotateReceiver",
          "receivers",
          "Give a receiver a new secret; the old one is good for a day more",
        ),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        response: { 200: IssuedReceiver },
      },
    },
    async (request, reply) => {
      const receiver = await core.receivers.rotate(contextOf(request), request.params.id);
      reply.header("cache-control", "no-store");
      return sendVersioned(request, reply, receiver);
    },
  );
};

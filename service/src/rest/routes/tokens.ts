import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { AccessToken, IssuedToken, NewAccessToken, pageOf } from "../../core/index.ts";
import { contextOf, type Edge, path, selectionOf, sendCreated, sendPage } from "../http.ts";
import {
  IdParams,
  NoContent,
  NoQuery,
  named,
  operation,
  PageAndFieldsQuery,
  PostHeaders,
} from "../schemas.ts";

export const tokenRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;

  app.get(
    "/tokens",
    {
      config: { selectable: true },
      schema: {
        ...operation("listTokens", "tokens", "Your access tokens; for an admin, the organization's"),
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(AccessToken) },
      },
    },
    async (request, reply) => {
      const { fields, ...page } = request.query;
      const selection = selectionOf(fields, AccessToken);
      return sendPage(request, reply, await core.tokens.list(contextOf(request), page), edge, selection);
    },
  );

  app.post(
    "/tokens",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("createToken", "tokens", "Make an access token, for yourself or an agent"),
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewAccessToken, "NewAccessToken", {
          name: "laptop",
          scopes: ["read", "write"],
          expiresInDays: 30,
        }),
        response: { 201: IssuedToken },
      },
    },
    async (request, reply) => {
      const token = await core.tokens.create(contextOf(request), request.body);
      // The answer holds a credential, which no cache may keep (RFC 6750, 5.3).
      reply.header("cache-control", "no-store");
      return sendCreated(reply, `${base}${path("tokens", token.id)}`, token);
    },
  );

  app.get(
    "/tokens/:id",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("getToken", "tokens", "An access token, without its text"),
        params: IdParams,
        querystring: NoQuery,
        response: { 200: AccessToken },
      },
    },
    async (request, reply) => reply.send(await core.tokens.get(contextOf(request), request.params.id)),
  );

  app.delete(
    "/tokens/:id",
    {
      config: { problems: ["not_found", "conflict"] },
      schema: {
        ...operation("revokeToken", "tokens", "Revoke an access token at once"),
        params: IdParams,
        querystring: NoQuery,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await core.tokens.revoke(contextOf(request), request.params.id);
      return reply.code(204).send(null);
    },
  );
};

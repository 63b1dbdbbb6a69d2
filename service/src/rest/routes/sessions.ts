import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { Slug, strict } from "../../core/index.ts";
import { callerOf, type Edge } from "../http.ts";
import { NoQuery, named, operation, PostHeaders } from "../schemas.ts";

const NewSession = Type.Object(
  {
    organization: Type.Optional({
      ...Slug,
      description: "The organization to act in; otherwise the present one.",
    }),
  },
  strict,
);
const Session = Type.Object(
  {
    token: Type.String({ description: "To be sent as Authorization: Bearer." }),
    expiresAt: Type.String({ format: "date-time" }),
  },
  { ...strict, title: "Session" },
);

export const sessionRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, { core }) => {
  app.post(
    "/sessions",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation(
          "createSession",
          "organizations",
          "Get a short-lived token, for one of your organizations",
        ),
        description: "Nothing is stored, so a repeat under the same Idempotency-Key gets another token.",
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewSession, "NewSession", { organization: "acme" }),
        response: { 201: Session },
      },
    },
    async (request, reply) => {
      const claims = await core.access.openSession(callerOf(request), request.body.organization);
      // The answer holds a credential, which no cache may keep (RFC 6750, 5.3).
      return reply.code(201).header("cache-control", "no-store").send(app.signSession(claims));
    },
  );
};

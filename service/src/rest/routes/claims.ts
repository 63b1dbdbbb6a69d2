import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import {
  Attempt,
  Claim,
  ClaimEnd,
  ClaimFailure,
  Heartbeat,
  NewClaim,
  NewNextClaim,
  pageOf,
} from "../../core/index.ts";
import { contextOf, type Edge, path, selectionOf, sendCreated, sendPage } from "../http.ts";
import type { ProblemCode } from "../problem.ts";
import {
  IdParams,
  NoContent,
  NoQuery,
  named,
  operation,
  PageAndFieldsQuery,
  PostHeaders,
  TagParams,
  TaskParams,
} from "../schemas.ts";

const endProblems: ProblemCode[] = ["not_found", "stale_fence", "claim_ended"];

export const claimRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;
  const addressOf = (claim: Claim) => `${base}${path("claims", claim.id)}`;

  app.get(
    "/projects/:key/tags/:tag/claims",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("listClaims", "claims", "The live claims of a tag"),
        params: TagParams,
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Claim) },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Claim);
      return sendPage(
        request,
        reply,
        await core.claims.list(contextOf(request), key, tag, query),
        edge,
        selection,
      );
    },
  );

  app.post(
    "/projects/:key/tags/:tag/claims",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("claimNext", "claims", "Claim the next ready task; 204 when nothing is ready"),
        params: TagParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewNextClaim, "NewNextClaim", { ttlSeconds: 900, mode: "compat" }),
        response: { 201: Claim, 204: NoContent },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      const claim = await core.claims.claimNext(contextOf(request), key, tag, request.body);
      return claim === null ? reply.code(204).send(null) : sendCreated(reply, addressOf(claim), claim);
    },
  );

  app.post(
    "/tasks/:id/claims",
    {
      config: { problems: ["not_found", "claimed", "conflict"] },
      schema: {
        ...operation("claimTask", "claims", "Claim this task"),
        params: TaskParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewClaim, "NewClaim", { ttlSeconds: 900 }),
        response: { 201: Claim },
      },
    },
    async (request, reply) => {
      const claim = await core.claims.claim(contextOf(request), request.params.id, request.body);
      return sendCreated(reply, addressOf(claim), claim);
    },
  );

  app.get(
    "/tasks/:id/attempts",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("listAttempts", "claims", "How earlier claims of a task ended, with their notes"),
        params: TaskParams,
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Attempt) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Attempt);
      return sendPage(
        request,
        reply,
        await core.attempts.list(contextOf(request), request.params.id, query),
        edge,
        selection,
      );
    },
  );

  app.get(
    "/claims/:id",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("getClaim", "claims", "A claim, live or ended"),
        params: IdParams,
        querystring: NoQuery,
        response: { 200: Claim },
      },
    },
    async (request, reply) => reply.send(await core.claims.get(contextOf(request), request.params.id)),
  );

  app.post(
    "/claims/:id/heartbeat",
    {
      config: { problems: endProblems },
      schema: {
        ...operation("heartbeatClaim", "claims", "Hold a claim for longer"),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(Heartbeat, "Heartbeat", { fence: 1, ttlSeconds: 900 }),
        response: { 200: Claim },
      },
    },
    async (request, reply) =>
      reply.send(await core.claims.heartbeat(contextOf(request), request.params.id, request.body)),
  );

  app.post(
    "/claims/:id/release",
    {
      config: { problems: endProblems },
      schema: {
        ...operation("releaseClaim", "claims", "Give the task back as it was"),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(ClaimEnd, "ClaimEnd", { fence: 1, note: "The form is written; its tests are missing." }),
        response: { 200: Claim },
      },
    },
    async (request, reply) =>
      reply.send(await core.claims.release(contextOf(request), request.params.id, request.body)),
  );

  app.post(
    "/claims/:id/complete",
    {
      config: { problems: endProblems },
      schema: {
        ...operation("completeClaim", "claims", "The task is done"),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(ClaimEnd, "ClaimEnd", { fence: 1, note: "The form is written; its tests are missing." }),
        response: { 200: Claim },
      },
    },
    async (request, reply) =>
      reply.send(await core.claims.complete(contextOf(request), request.params.id, request.body)),
  );

  app.post(
    "/claims/:id/fail",
    {
      config: { problems: endProblems },
      schema: {
        ...operation("failClaim", "claims", "Give the task back, saying what went wrong"),
        params: IdParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(ClaimFailure, "ClaimFailure", {
          fence: 1,
          note: "The library lacks a form that takes files.",
        }),
        response: { 200: Claim },
      },
    },
    async (request, reply) =>
      reply.send(await core.claims.fail(contextOf(request), request.params.id, request.body)),
  );
};

import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Membership, MembershipPatch, NewMembership, pageOf } from "../../core/index.ts";
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

export const membershipRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;

  app.get(
    "/memberships",
    {
      config: { selectable: true },
      schema: {
        ...operation("listMemberships", "organizations", "The organization's memberships"),
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Membership) },
      },
    },
    async (request, reply) => {
      const { fields, ...page } = request.query;
      const selection = selectionOf(fields, Membership);
      return sendPage(request, reply, await core.memberships.list(contextOf(request), page), edge, selection);
    },
  );

  app.post(
    "/memberships",
    {
      config: { problems: ["already_exists"] },
      schema: {
        ...operation("createMembership", "organizations", "Invite a person"),
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewMembership, "NewMembership", {
          email: "ada@example.com",
          name: "Ada",
          role: "member",
        }),
        response: { 201: Membership },
      },
    },
    async (request, reply) => {
      const membership = await core.memberships.create(contextOf(request), request.body);
      return sendCreated(reply, `${base}${path("memberships", membership.id)}`, membership);
    },
  );

  app.get(
    "/memberships/:id",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("getMembership", "organizations", "One of the organization's memberships"),
        params: IdParams,
        querystring: FieldsQuery,
        response: { 200: Membership },
      },
    },
    async (request, reply) => {
      const selection = selectionOf(request.query.fields, Membership);
      return sendVersioned(
        request,
        reply,
        await core.memberships.get(contextOf(request), request.params.id),
        selection,
      );
    },
  );

  app.patch(
    "/memberships/:id",
    {
      config: { problems: [...changeProblems, "conflict"] },
      schema: {
        ...operation("updateMembership", "organizations", "Change a member's role"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        consumes: patchTypes,
        body: named(MembershipPatch, "MembershipPatch", { role: "admin" }),
        response: { 200: Membership },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      return sendVersioned(
        request,
        reply,
        await core.memberships.update(contextOf(request), id, request.body, ifMatch(request)),
      );
    },
  );

  app.delete(
    "/memberships/:id",
    {
      config: { problems: [...changeProblems, "conflict"] },
      schema: {
        ...operation("deleteMembership", "organizations", "Take a member out of the organization"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await core.memberships.delete(contextOf(request), request.params.id, ifMatch(request));
      return reply.code(204).send(null);
    },
  );
};

import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import {
  Actor,
  NewOrganization,
  Organization,
  OrganizationPatch,
  pageOf,
  RoleSchema,
  ScopeSchema,
  strict,
  Uuid,
} from "../../core/index.ts";
import { callerOf, contextOf, type Edge, ifMatch, path, sendCreated, sendVersioned } from "../http.ts";
import {
  ChangeHeaders,
  changeProblems,
  NoQuery,
  named,
  operation,
  PostHeaders,
  patchTypes,
  SlugParams,
  wholeList,
} from "../schemas.ts";

const BelongsTo = Type.Object(
  { organization: Organization, role: RoleSchema },
  { ...strict, title: "BelongsTo" },
);
const Me = Type.Object(
  {
    actor: Actor,
    role: RoleSchema,
    scopes: Type.Array(ScopeSchema),
    organizationId: Uuid,
    membershipId: Uuid,
    tokenId: Type.Union([Uuid, Type.Null()]),
  },
  { ...strict, title: "Me" },
);

export const organizationRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, { core, base }) => {
  app.get(
    "/me",
    {
      schema: {
        ...operation("getMe", "organizations", "Who you are, and what you may do"),
        querystring: NoQuery,
        response: { 200: Me },
      },
    },
    async (request, reply) => reply.send({ ...callerOf(request), scopes: [...callerOf(request).scopes] }),
  );

  app.get(
    "/organizations",
    {
      schema: {
        ...operation("listOrganizations", "organizations", "The organizations that you belong to"),
        querystring: NoQuery,
        response: { 200: pageOf(BelongsTo) },
      },
    },
    async (request, reply) => reply.send(wholeList(await core.access.listOrganizations(callerOf(request)))),
  );

  app.post(
    "/organizations",
    {
      config: { problems: ["already_exists"] },
      schema: {
        ...operation(
          "createOrganization",
          "organizations",
          "Make an organization, with yourself as its owner",
        ),
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewOrganization, "NewOrganization", { slug: "acme", name: "Acme" }),
        response: { 201: Organization },
      },
    },
    async (request, reply) => {
      const organization = await core.organizations.create(contextOf(request), request.body);
      return sendCreated(reply, `${base}${path("organizations", organization.slug)}`, organization);
    },
  );

  app.get(
    "/organizations/:slug",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("getOrganization", "organizations", "Your organization"),
        params: SlugParams,
        querystring: NoQuery,
        response: { 200: Organization },
      },
    },
    async (request, reply) =>
      sendVersioned(request, reply, await core.organizations.get(contextOf(request), request.params.slug)),
  );

  app.patch(
    "/organizations/:slug",
    {
      config: { problems: changeProblems },
      schema: {
        ...operation("updateOrganization", "organizations", "Change your organization"),
        params: SlugParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        consumes: patchTypes,
        body: named(OrganizationPatch, "OrganizationPatch", { name: "Acme Works" }),
        response: { 200: Organization },
      },
    },
    async (request, reply) => {
      const { slug } = request.params;
      return sendVersioned(
        request,
        reply,
        await core.organizations.update(contextOf(request), slug, request.body, ifMatch(request)),
      );
    },
  );
};

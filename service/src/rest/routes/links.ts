import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { Link, LinkQuery, NewLink, pageOf, strict, Uuid } from "../../core/index.ts";
import { contextOf, type Edge, path, selectionOf, sendCreated, sendPage } from "../http.ts";
import {
  NoContent,
  NoQuery,
  named,
  operation,
  PageAndFieldsQuery,
  PostHeaders,
  TaskParams,
  withFields,
} from "../schemas.ts";

const LinkParams = Type.Object({ ...TaskParams.properties, link: Uuid }, strict);

export const linkRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;

  app.get(
    "/links",
    {
      config: { selectable: true },
      schema: {
        ...operation("searchLinks", "links", "Which tasks link to an issue or a pull request"),
        querystring: withFields(LinkQuery),
        response: { 200: pageOf(Link) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Link);
      return sendPage(request, reply, await core.links.search(contextOf(request), query), edge, selection);
    },
  );

  app.get(
    "/tasks/:id/links",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("listLinks", "links", "What a task links to, oldest first"),
        params: TaskParams,
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Link) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Link);
      const page = await core.links.list(contextOf(request), request.params.id, query);
      return sendPage(request, reply, page, edge, selection);
    },
  );

  app.post(
    "/tasks/:id/links",
    {
      config: { problems: ["not_found", "already_exists", "conflict"] },
      schema: {
        ...operation("addLink", "links", "Link a task to an issue, a pull request or a merge request"),
        params: TaskParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewLink, "NewLink", {
          url: "https://github.com/acme/web/issues/12",
          title: "The form forgets what was typed",
        }),
        response: { 201: Link },
      },
    },
    async (request, reply) => {
      const link = await core.links.add(contextOf(request), request.params.id, request.body);
      return sendCreated(reply, `${base}${path("tasks", link.task, "links", link.id)}`, link);
    },
  );

  app.get(
    "/tasks/:id/links/:link",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("getLink", "links", "A link of a task"),
        params: LinkParams,
        querystring: NoQuery,
        response: { 200: Link },
      },
    },
    async (request, reply) => {
      const { id, link } = request.params;
      return reply.send(await core.links.get(contextOf(request), id, link));
    },
  );

  app.delete(
    "/tasks/:id/links/:link",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("removeLink", "links", "Take a link away"),
        params: LinkParams,
        querystring: NoQuery,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      const { id, link } = request.params;
      await core.links.remove(contextOf(request), id, link);
      return reply.code(204).send(null);
    },
  );
};

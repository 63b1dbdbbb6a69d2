import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { NewTag, pageOf, Tag, TagCopy, TagPatch } from "../../core/index.ts";
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
  NoContent,
  NoQuery,
  named,
  operation,
  PostHeaders,
  ProjectParams,
  patchTypes,
  TagParams,
  wholeList,
} from "../schemas.ts";

export const tagRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;
  const addressOf = (tag: Tag) => `${base}${path("projects", tag.project, "tags", tag.name)}`;

  app.get(
    "/projects/:key/tags",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("listTags", "tags", "A project's tags"),
        params: ProjectParams,
        querystring: FieldsQuery,
        response: { 200: pageOf(Tag) },
      },
    },
    async (request, reply) => {
      const selection = selectionOf(request.query.fields, Tag);
      const list = wholeList(await core.tags.list(contextOf(request), request.params.key));
      return sendPage(request, reply, list, edge, selection);
    },
  );

  app.post(
    "/projects/:key/tags",
    {
      config: { problems: ["not_found", "already_exists"] },
      schema: {
        ...operation("createTag", "tags", "Make a tag"),
        params: ProjectParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewTag, "NewTag", { name: "sprint-2", description: "The second sprint" }),
        response: { 201: Tag },
      },
    },
    async (request, reply) => {
      const tag = await core.tags.create(contextOf(request), request.params.key, request.body);
      return sendCreated(reply, addressOf(tag), tag);
    },
  );

  app.get(
    "/projects/:key/tags/:tag",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("getTag", "tags", "A tag"),
        params: TagParams,
        querystring: FieldsQuery,
        response: { 200: Tag },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      const selection = selectionOf(request.query.fields, Tag);
      return sendVersioned(request, reply, await core.tags.get(contextOf(request), key, tag), selection);
    },
  );

  app.patch(
    "/projects/:key/tags/:tag",
    {
      config: { problems: [...changeProblems, "already_exists"] },
      schema: {
        ...operation("updateTag", "tags", "Change or rename a tag"),
        params: TagParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        consumes: patchTypes,
        body: named(TagPatch, "TagPatch", { description: "Done with" }),
        response: { 200: Tag },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      return sendVersioned(
        request,
        reply,
        await core.tags.update(contextOf(request), key, tag, request.body, ifMatch(request)),
      );
    },
  );

  app.delete(
    "/projects/:key/tags/:tag",
    {
      config: { problems: [...changeProblems, "claimed"] },
      schema: {
        ...operation("deleteTag", "tags", "Delete a tag with its tasks"),
        params: TagParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      await core.tags.delete(contextOf(request), key, tag, ifMatch(request));
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/projects/:key/tags/:tag/copy",
    {
      config: { problems: ["not_found", "already_exists"] },
      schema: {
        ...operation("copyTag", "tags", "Copy a tag with its tasks and dependencies"),
        params: TagParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(TagCopy, "TagCopy", { name: "experiment" }),
        response: { 201: Tag },
      },
    },
    async (request, reply) => {
      const { key, tag } = request.params;
      const copy = await core.tags.copy(contextOf(request), key, tag, request.body);
      return sendCreated(reply, addressOf(copy), copy);
    },
  );
};

import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Comment, CommentPatch, NewComment, pageOf } from "../../core/index.ts";
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
  TaskParams,
} from "../schemas.ts";

export const commentRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;

  app.get(
    "/tasks/:id/comments",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("listComments", "comments", "A task's comments, oldest first"),
        params: TaskParams,
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Comment) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Comment);
      const page = await core.comments.list(contextOf(request), request.params.id, query);
      return sendPage(request, reply, page, edge, selection);
    },
  );

  app.post(
    "/tasks/:id/comments",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("createComment", "comments", "Say something about a task"),
        params: TaskParams,
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewComment, "NewComment", { body: "The form needs a label." }),
        response: { 201: Comment },
      },
    },
    async (request, reply) => {
      const comment = await core.comments.create(contextOf(request), request.params.id, request.body);
      return sendCreated(reply, `${base}${path("comments", comment.id)}`, comment);
    },
  );

  app.get(
    "/comments/:id",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("getComment", "comments", "A comment"),
        params: IdParams,
        querystring: FieldsQuery,
        response: { 200: Comment },
      },
    },
    async (request, reply) => {
      const selection = selectionOf(request.query.fields, Comment);
      return sendVersioned(
        request,
        reply,
        await core.comments.get(contextOf(request), request.params.id),
        selection,
      );
    },
  );

  app.patch(
    "/comments/:id",
    {
      config: { problems: changeProblems },
      schema: {
        ...operation("updateComment", "comments", "Change your comment"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        consumes: patchTypes,
        body: named(CommentPatch, "CommentPatch", { body: "The form needs two labels." }),
        response: { 200: Comment },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      return sendVersioned(
        request,
        reply,
        await core.comments.update(contextOf(request), id, request.body, ifMatch(request)),
      );
    },
  );

  app.delete(
    "/comments/:id",
    {
      config: { problems: changeProblems },
      schema: {
        ...operation("deleteComment", "comments", "Delete a comment"),
        params: IdParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await core.comments.delete(contextOf(request), request.params.id, ifMatch(request));
      return reply.code(204).send(null);
    },
  );
};

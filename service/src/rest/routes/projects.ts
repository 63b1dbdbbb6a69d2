import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { NewProject, PageQuery, Project, ProjectPatch, pageOf, Task } from "../../core/index.ts";
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
  PageAndFieldsQuery,
  PostHeaders,
  ProjectParams,
  patchTypes,
  withFields,
} from "../schemas.ts";

const SearchQuery = withFields(
  Type.Object({
    ...PageQuery,
    q: Type.String({
      minLength: 1,
      maxLength: 500,
      description: 'Words; "a phrase", or, and - as on the web.',
      examples: ["login"],
    }),
  }),
);

export const projectRoutes: FastifyPluginAsyncTypebox<Edge> = async (app, edge) => {
  const { core, base } = edge;

  app.get(
    "/projects",
    {
      config: { selectable: true },
      schema: {
        ...operation("listProjects", "projects", "The organization's projects"),
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(Project) },
      },
    },
    async (request, reply) => {
      const { fields, ...page } = request.query;
      const selection = selectionOf(fields, Project);
      return sendPage(request, reply, await core.projects.list(contextOf(request), page), edge, selection);
    },
  );

  app.post(
    "/projects",
    {
      config: { problems: ["already_exists"] },
      schema: {
        ...operation("createProject", "projects", "Make a project"),
        querystring: NoQuery,
        headers: PostHeaders,
        body: named(NewProject, "NewProject", { key: "DEMO", name: "Demonstration" }),
        response: { 201: Project },
      },
    },
    async (request, reply) => {
      const project = await core.projects.create(contextOf(request), request.body);
      return sendCreated(reply, `${base}${path("projects", project.key)}`, project);
    },
  );

  app.get(
    "/projects/:key",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("getProject", "projects", "A project"),
        params: ProjectParams,
        querystring: FieldsQuery,
        response: { 200: Project },
      },
    },
    async (request, reply) => {
      const selection = selectionOf(request.query.fields, Project);
      return sendVersioned(
        request,
        reply,
        await core.projects.get(contextOf(request), request.params.key),
        selection,
      );
    },
  );

  app.patch(
    "/projects/:key",
    {
      config: { problems: changeProblems },
      schema: {
        ...operation("updateProject", "projects", "Change a project"),
        params: ProjectParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        consumes: patchTypes,
        body: named(ProjectPatch, "ProjectPatch", { name: "Demonstration, second part" }),
        response: { 200: Project },
      },
    },
    async (request, reply) => {
      const { key } = request.params;
      return sendVersioned(
        request,
        reply,
        await core.projects.update(contextOf(request), key, request.body, ifMatch(request)),
      );
    },
  );

  app.delete(
    "/projects/:key",
    {
      config: { problems: [...changeProblems, "claimed"] },
      schema: {
        ...operation("deleteProject", "projects", "Delete a project with everything in it"),
        params: ProjectParams,
        querystring: NoQuery,
        headers: ChangeHeaders,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await core.projects.delete(contextOf(request), request.params.key, ifMatch(request));
      return reply.code(204).send(null);
    },
  );

  app.get(
    "/projects/:key/search",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("searchTasks", "projects", "Tasks that hold the words, best first"),
        params: ProjectParams,
        querystring: SearchQuery,
        response: { 200: pageOf(Task) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, Task);
      const page = await core.tasks.search(contextOf(request), request.params.key, query);
      return sendPage(request, reply, page, edge, selection);
    },
  );
};

import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { ExportQuery, ImportQuery, ImportReport, ImportRun, pageOf } from "../../core/index.ts";
import { contextOf, type Edge, selectionOf, sendPage } from "../http.ts";
import { addTextBodies } from "../plugins/body.ts";
import { operation, PageAndFieldsQuery, PostHeaders, ProjectParams } from "../schemas.ts";

export const importExportRoutes: FastifyPluginAsyncTypebox<Edge & { limitBytes: number }> = async (
  app,
  options,
) => {
  const { core, limitBytes } = options;
  // The file is read by core's own rules, which tell of every fault and keep the file's exact form.
  addTextBodies(app);

  app.post(
    "/projects/:key/import",
    {
      bodyLimit: limitBytes,
      config: { problems: ["not_found", "import_refused", "too_large", "unsupported_media_type"] },
      schema: {
        ...operation("importTasks", "projects", "Import a tasks.json file: all of it, or nothing"),
        description: "A refusal lists every fault of the file by JSON pointer, in `report`.",
        params: ProjectParams,
        querystring: ImportQuery,
        headers: PostHeaders,
        body: {
          content: {
            "application/json": {
              schema: {
                description: "The text of the file.",
                examples: [{ master: { tasks: [{ id: 1, title: "Start" }] } }],
              },
            },
          },
        },
        response: { 200: ImportReport },
      },
    },
    async (request, reply) =>
      reply.send(
        await core.importExport.import(
          contextOf(request),
          request.params.key,
          String(request.body ?? ""),
          request.query,
        ),
      ),
  );

  app.get(
    "/projects/:key/export",
    {
      config: { problems: ["not_found"] },
      schema: {
        ...operation("exportTasks", "projects", "The project as a tasks.json file"),
        params: ProjectParams,
        querystring: ExportQuery,
        response: {
          200: { content: { "application/json": { schema: { description: "The text of the file." } } } },
        },
      },
    },
    async (request, reply) => {
      const text = await core.importExport.export(contextOf(request), request.params.key, request.query);
      return reply
        .type("application/json; charset=utf-8")
        .header("content-disposition", 'attachment; filename="tasks.json"')
        .serializer((file: unknown) => String(file))
        .send(text);
    },
  );

  app.get(
    "/projects/:key/imports",
    {
      config: { problems: ["not_found"], selectable: true },
      schema: {
        ...operation("listImports", "projects", "The project's imports, with their reports"),
        params: ProjectParams,
        querystring: PageAndFieldsQuery,
        response: { 200: pageOf(ImportRun) },
      },
    },
    async (request, reply) => {
      const { fields, ...query } = request.query;
      const selection = selectionOf(fields, ImportRun);
      const page = await core.importExport.listRuns(contextOf(request), request.params.key, query);
      return sendPage(request, reply, page, options, selection);
    },
  );
};

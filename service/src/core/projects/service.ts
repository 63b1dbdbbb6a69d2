import { change, changesOf, record, type Services, staleWrite, versionMismatch } from "../change.ts";
import type { Context } from "../context.ts";
import { newId } from "../ids.ts";
import { getProject } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import type { ProjectRecord } from "../storage.ts";
import type { NewProject, Project, ProjectPatch } from "./schema.ts";

export interface Projects {
  list(ctx: Context, page: PageRequest): Promise<Page<Project>>;
  get(ctx: Context, key: string): Promise<Project>;
  create(ctx: Context, input: NewProject): Promise<Project>;
  update(ctx: Context, key: string, patch: ProjectPatch, version: number): Promise<Project>;
  /** With everything in it; its events stay in the audit. */
  delete(ctx: Context, key: string, version: number): Promise<void>;
}

export function createProjects(services: Services): Projects {
  return {
    async list(ctx, page) {
      authorize(ctx, "project:read");
      const keyset = openPage("projects", page, ["uuid"]);
      const rows = await services.storage.reader(ctx.organizationId).projects.list(keyset);
      return closePage("projects", keyset, rows, (row) => [row.id]);
    },

    async get(ctx, key) {
      authorize(ctx, "project:read");
      return toProject(await getProject(services.storage.reader(ctx.organizationId), key));
    },

    async create(ctx, input) {
      authorize(ctx, "project:create");
      return change(services, ctx, { operation: "project.create", input }, async (tx) => {
        const project = await tx.projects.insert({ id: newId(), description: "", ...input });
        await tx.tags.insert({
          id: newId(),
          projectId: project.id,
          name: "master",
          description: "",
          metadata: {},
          source: null,
          nextLocalNumber: 1,
        });
        await record(
          tx,
          ctx,
          "project.created",
          { projectId: project.id },
          { key: project.key, name: project.name },
        );
        return toProject(project);
      });
    },

    async update(ctx, key, patch, version) {
      authorize(ctx, "project:update");
      return change(
        services,
        ctx,
        { operation: "project.update", input: { key, patch, version } },
        async (tx) => {
          const before = await getProject(tx, key);
          if (before.version !== version) throw versionMismatch("project", version, before.version);
          const changes = changesOf<Project>(before, patch);
          if (Object.keys(changes).length === 0) return toProject(before);
          const after = await tx.projects.update(before.id, patch, version);
          if (after === undefined) throw await staleWrite("project", key, version, tx.projects.find);
          await record(tx, ctx, "project.updated", { projectId: before.id }, { key, changes });
          return toProject(after);
        },
      );
    },

    async delete(ctx, key, version) {
      authorize(ctx, "project:delete");
      await change(services, ctx, { operation: "project.delete", input: { key, version } }, async (tx) => {
        const before = await getProject(tx, key);
        // The cascade takes rows in an order of its own; behind these locks it meets nobody who holds one and wants another.
        await tx.projects.lock(before.id);
        await tx.tags.lockGraphs((await tx.tags.list(before.id)).map((tag) => tag.id));
        if (!(await tx.projects.delete(before.id, version)))
          throw await staleWrite("project", key, version, tx.projects.find);
        await record(tx, ctx, "project.deleted", { projectId: before.id }, { key, name: before.name });
      });
    },
  };
}

function toProject(record: ProjectRecord): Project {
  const { source: _, ...project } = record;
  return project;
}

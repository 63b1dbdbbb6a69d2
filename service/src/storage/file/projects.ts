import { AppError } from "../../core/errors.ts";
import type { Project } from "../../core/projects/schema.ts";
import type { ProjectRecord, ProjectStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { fileId, type ProjectRow, pair, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { byId, pageById, plain, removeProject } from "./rows.ts";

function projectRecord({ organizationId: _, ...project }: ProjectRow): ProjectRecord {
  return project;
}

function shown({ organizationId: _o, source: _s, ...project }: ProjectRow): Project {
  return project;
}

export function createProjectStore(db: Db, organizationId: string): ProjectStore {
  const { getLocked } = owned(organizationId);

  return {
    list: async (keyset) =>
      await db.read((rows) =>
        pageById(rows.projects.where("organization", organizationId), keyset).map(shown),
      ),

    find: async (key) =>
      await db.read((rows) => {
        const [project] = rows.projects.where("key", pair(organizationId, key));
        return project && projectRecord(project);
      }),

    insert: async ({ id, key, name, description }) =>
      await db.write(({ rows }) => {
        const now = timestamp();
        const dates = { version: 1, createdAt: now, updatedAt: now };
        const project: ProjectRow = { id, organizationId, key, name, description, source: null, ...dates };
        rows.projects.put(project);
        return projectRecord(project);
      }),

    update: async (id, patch, version) =>
      await db.write(async (tx) => {
        const project = await getLocked(tx, "projects", id);
        if (project?.version !== version) return undefined;
        const after: ProjectRow = {
          ...project,
          ...plain(patch),
          version: version + 1,
          updatedAt: timestamp(),
        };
        tx.rows.projects.put(after);
        return projectRecord(after);
      }),

    delete: async (id, version) =>
      await db.write(async (tx) => {
        const project = await getLocked(tx, "projects", id);
        if (project?.version !== version) return false;
        if (tx.rows.file.get(fileId)?.projectId === id) {
          const message = `The project ${project.key} is the folder's tasks.json; delete its tags and tasks, or the folder.`;
          throw new AppError("conflict", message);
        }
        for (const tag of tx.rows.tags.where("project", id).sort(byId)) await tx.lock("tags", tag.id);
        for (const task of tx.rows.tasks.where("project", id).sort(byId)) await tx.lock("tasks", task.id);
        removeProject(tx.rows, id);
        return true;
      }),

    lock: async (id) =>
      await db.write(async (tx) => {
        await getLocked(tx, "projects", id);
      }),
  };
}

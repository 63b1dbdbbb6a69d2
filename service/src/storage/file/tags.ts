import { AppError, notFound } from "../../core/errors.ts";
import type { TagRecord, TagStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { pair, type Reading, type TagRow, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { byId, compare, plain, removeTag } from "./rows.ts";

function tagRecord(rows: Reading, { organizationId: _, ...tag }: TagRow): TagRecord {
  return { ...tag, project: rows.projects.get(tag.projectId)?.key ?? "" };
}

export function createTagStore(db: Db, organizationId: string): TagStore {
  const { own, getLocked } = owned(organizationId);

  const inProject = (rows: Reading, projectId: string): TagRow[] =>
    rows.tags
      .where("project", projectId)
      .filter((tag) => own(tag) !== undefined)
      .sort((a, b) => a.position - b.position || compare(a.id, b.id));

  return {
    findById: async (id) =>
      await db.read((rows) => {
        const tag = own(rows.tags.get(id));
        return tag && tagRecord(rows, tag);
      }),

    list: async (projectId) =>
      await db.read((rows) => inProject(rows, projectId).map((tag) => tagRecord(rows, tag))),

    find: async (projectKey, name) =>
      await db.read((rows) => {
        const [project] = rows.projects.where("key", pair(organizationId, projectKey));
        const tag = own(rows.tags.where("name", pair(project?.id ?? "", name))[0]);
        return tag && tagRecord(rows, tag);
      }),

    insert: async (tag) =>
      await db.write(async ({ rows }) => {
        const project = rows.projects.get(tag.projectId);
        if (project?.organizationId !== organizationId)
          throw new AppError("conflict", "The project is gone.");
        const now = timestamp();
        const row: TagRow = {
          ...plain(tag),
          organizationId,
          position: (inProject(rows, project.id).at(-1)?.position ?? -1) + 1,
          version: 1,
          createdAt: now,
          updatedAt: now,
        };
        rows.tags.put(row);
        return tagRecord(rows, row);
      }),

    update: async (id, patch, version) =>
      await db.write(async (tx) => {
        const tag = await getLocked(tx, "tags", id);
        if (tag?.version !== version) return undefined;
        const row: TagRow = { ...tag, ...plain(patch), version: version + 1, updatedAt: timestamp() };
        tx.rows.tags.put(row);
        return tagRecord(tx.rows, row);
      }),

    delete: async (id, version) =>
      await db.write(async (tx) => {
        const tag = await getLocked(tx, "tags", id);
        if (tag?.version !== version) return false;
        for (const task of tx.rows.tasks.where("tag", id).sort(byId)) await tx.lock("tasks", task.id);
        removeTag(tx.rows, id);
        return true;
      }),

    lockGraphs: async (tagIds) =>
      await db.write(async (tx) => {
        const tags = [...new Set(tagIds)].sort();
        for (const id of tags) await getLocked(tx, "tags", id);
        return tags.flatMap((id) => own(tx.rows.tags.get(id)) ?? []).map((tag) => tagRecord(tx.rows, tag));
      }),

    takeNumbers: async (tagId, count) =>
      await db.write(async (tx) => {
        const tag = await getLocked(tx, "tags", tagId);
        if (tag === undefined) throw notFound("tag", tagId);
        tx.rows.tags.put({ ...tag, nextLocalNumber: tag.nextLocalNumber + count });
        return tag.nextLocalNumber;
      }),
  };
}

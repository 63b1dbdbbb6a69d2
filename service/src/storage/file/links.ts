import { notFound } from "../../core/errors.ts";
import type { LinkRecord, LinkStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { type LinkRow, pair, type Reading, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { gone, localIdOf, pageById, plain } from "./rows.ts";

function linkOf(rows: Reading, { organizationId: _, taskId, ...link }: LinkRow): LinkRecord {
  const task = rows.tasks.get(taskId);
  const tag = task && rows.tags.get(task.tagId);
  const project = task && rows.projects.get(task.projectId);
  if (task === undefined || tag === undefined || project === undefined) throw gone();
  return {
    ...link,
    task: taskId,
    project: project.key,
    tag: tag.name,
    localId: localIdOf(rows, task),
    projectId: task.projectId,
  };
}

export function createLinkStore(db: Db, organizationId: string): LinkStore {
  const { own, getLocked } = owned(organizationId);

  return {
    list: async (of, keyset) =>
      await db.read((rows) => {
        const links =
          "url" in of
            ? rows.links.where("url", pair(organizationId, of.url))
            : rows.links.where("task", of.taskId).filter((row) => own(row) !== undefined);
        return pageById(links, keyset).map((row) => linkOf(rows, row));
      }),

    find: async (id) =>
      await db.read((rows) => {
        const link = own(rows.links.get(id));
        return link && linkOf(rows, link);
      }),

    insert: async ({ id, taskId, url, provider, kind, key, title }) =>
      await db.write(({ rows }) => {
        if (own(rows.tasks.get(taskId)) === undefined) throw notFound("task", taskId);
        const target = { url, provider, kind, key, title };
        const link: LinkRow = { id, organizationId, taskId, ...target, told: null, createdAt: timestamp() };
        rows.links.put(link);
        return linkOf(rows, link);
      }),

    tell: async (id, told) =>
      await db.write(async (tx) => {
        const link = await getLocked(tx, "links", id);
        if (link !== undefined) tx.rows.links.put({ ...link, told: plain(told) });
      }),

    delete: async (id) =>
      await db.write(async (tx) => {
        if ((await getLocked(tx, "links", id)) === undefined) return false;
        tx.rows.links.remove(id);
        return true;
      }),
  };
}

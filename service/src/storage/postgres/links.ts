import { notFound } from "../../core/errors.ts";
import type { LinkRecord, LinkStore } from "../../core/storage.ts";
import { type Db, first, iso, present, sql } from "./sql.ts";
import { localId } from "./tasks.ts";

const columns = sql`l.id, l.task_id AS task, p.key AS project, g.name AS tag, ${localId("t")} AS "localId", l.url,
  l.provider, l.kind, l.key, l.title, ${iso("l.created_at")} AS "createdAt", t.project_id AS "projectId",
  CASE WHEN l.told_at IS NOT NULL THEN json_build_object('at', ${iso("l.told_at")}, 'delivery', l.told_delivery,
    'digest', l.told_digest) END AS told`;
const source = sql`links l JOIN tasks t ON t.id = l.task_id LEFT JOIN tasks t_parent ON t_parent.id = t.parent_id
  JOIN tags g ON g.id = t.tag_id JOIN projects p ON p.id = t.project_id`;

export function createLinkStore(db: Db, organizationId: string): LinkStore {
  const own = sql`l.organization_id = ${organizationId}::uuid`;

  const find = async (id: string): Promise<LinkRecord | undefined> =>
    first(
      await db.query<LinkRecord>(sql`SELECT ${columns} FROM ${source} WHERE ${own} AND l.id = ${id}::uuid`),
    );

  return {
    find,

    async list(of, { limit, after }) {
      const condition = "url" in of ? sql`l.url = ${of.url}` : sql`l.task_id = ${of.taskId}::uuid`;
      return await db.query<LinkRecord>(sql`
        SELECT ${columns} FROM ${source}
        WHERE ${own} AND ${condition}
          AND (${after?.[0] ?? null}::uuid IS NULL OR l.id > ${after?.[0] ?? null}::uuid)
        ORDER BY l.id LIMIT ${limit + 1}`);
    },

    async insert({ id, taskId, url, provider, kind, key, title }) {
      const made = await db.execute(sql`
        INSERT INTO links (id, organization_id, task_id, url, provider, kind, key, title)
        SELECT ${id}::uuid, organization_id, id, ${url}, ${provider}, ${kind}, ${key}, ${title}
        FROM tasks WHERE id = ${taskId}::uuid AND organization_id = ${organizationId}::uuid`);
      if (made === 0) throw notFound("task", taskId);
      return present(await find(id));
    },

    async tell(id, { at, delivery, digest }) {
      await db.execute(sql`
        UPDATE links l SET told_at = ${at}::timestamptz, told_delivery = ${delivery}, told_digest = ${digest}
        WHERE ${own} AND id = ${id}::uuid`);
    },

    async delete(id) {
      return (await db.execute(sql`DELETE FROM links l WHERE ${own} AND id = ${id}::uuid`)) > 0;
    },
  };
}

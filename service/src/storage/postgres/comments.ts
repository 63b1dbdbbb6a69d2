import type { Comment } from "../../core/comments/schema.ts";
import { notFound } from "../../core/errors.ts";
import type { CommentRecord, CommentStore } from "../../core/storage.ts";
import { type Db, first, iso, sql } from "./sql.ts";

const columns = sql`m.id, m.task_id AS task,
  json_build_object('kind', m.author_kind, 'id', m.author_id, 'name', m.author_name) AS author,
  m.body, m.version, ${iso("m.created_at")} AS "createdAt", ${iso("m.updated_at")} AS "updatedAt"`;

export function createCommentStore(db: Db, organizationId: string): CommentStore {
  const own = sql`m.organization_id = ${organizationId}::uuid`;

  return {
    async list(taskId, { limit, after }) {
      return await db.query<Comment>(sql`
        SELECT ${columns} FROM comments m
        WHERE ${own} AND m.task_id = ${taskId}::uuid
          AND (${after?.[0] ?? null}::uuid IS NULL OR m.id > ${after?.[0] ?? null}::uuid)
        ORDER BY m.id LIMIT ${limit + 1}`);
    },

    async find(id) {
      return first(
        await db.query<CommentRecord>(sql`
          SELECT ${columns}, t.project_id AS "projectId" FROM comments m JOIN tasks t ON t.id = m.task_id
          WHERE ${own} AND m.id = ${id}::uuid`),
      );
    },

    async insert({ id, taskId, author, body }) {
      const made = await db.query<Comment>(sql`
        INSERT INTO comments AS m (id, organization_id, task_id, author_id, author_kind, author_name, body)
        SELECT ${id}::uuid, organization_id, id, ${author.id}::uuid, ${author.kind}, ${author.name}, ${body}
        FROM tasks WHERE id = ${taskId}::uuid AND organization_id = ${organizationId}::uuid
        RETURNING ${columns}`);
      const comment = first(made);
      if (comment === undefined) throw notFound("task", taskId);
      return comment;
    },

    async update(id, body, version) {
      return first(
        await db.query<Comment>(sql`
          UPDATE comments m SET body = ${body}, version = version + 1, updated_at = clock_timestamp()
          WHERE ${own} AND id = ${id}::uuid AND version = ${version} RETURNING ${columns}`),
      );
    },

    async delete(id, version) {
      const touched = await db.execute(
        sql`DELETE FROM comments m WHERE ${own} AND id = ${id}::uuid AND version = ${version}`,
      );
      return touched > 0;
    },
  };
}

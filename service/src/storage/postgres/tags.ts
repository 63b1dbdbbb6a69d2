import { AppError, notFound } from "../../core/errors.ts";
import type { TagRecord, TagStore } from "../../core/storage.ts";
import { assignments, type Db, first, iso, json, present, sql } from "./sql.ts";

const columns = sql`g.id, p.key AS project, g.name, g.description, g.metadata, g.version,
  ${iso("g.created_at")} AS "createdAt", ${iso("g.updated_at")} AS "updatedAt",
  g.project_id AS "projectId", g.position, g.next_local_number AS "nextLocalNumber", g.source`;
const source = sql`tags g JOIN projects p ON p.id = g.project_id`;

export function createTagStore(db: Db, organizationId: string): TagStore {
  const findById = async (id: string): Promise<TagRecord | undefined> =>
    first(
      await db.query<TagRecord>(sql`
        SELECT ${columns} FROM ${source} WHERE g.id = ${id}::uuid AND g.organization_id = ${organizationId}::uuid`),
    );

  return {
    findById,

    async list(projectId) {
      return await db.query<TagRecord>(sql`
        SELECT ${columns} FROM ${source}
        WHERE g.project_id = ${projectId}::uuid AND g.organization_id = ${organizationId}::uuid
        ORDER BY g.position, g.id`);
    },

    async find(projectKey, name) {
      return first(
        await db.lookup<TagRecord>(sql`
          SELECT ${columns} FROM ${source}
          WHERE p.organization_id = ${organizationId}::uuid AND p.key = ${projectKey} AND g.name = ${name}`),
      );
    },

    async insert({ id, projectId, name, description, metadata, source, nextLocalNumber }) {
      const made = await db.execute(sql`
        INSERT INTO tags (id, organization_id, project_id, name, description, metadata, source, next_local_number, position)
        SELECT ${id}::uuid, p.organization_id, p.id, ${name}, ${description}, ${json(metadata)}::jsonb,
          ${json(source)}::jsonb, ${nextLocalNumber}::int,
          (SELECT COALESCE(max(position) + 1, 0) FROM tags WHERE project_id = p.id)
        FROM projects p WHERE p.id = ${projectId}::uuid AND p.organization_id = ${organizationId}::uuid`);
      if (made === 0) throw new AppError("conflict", "The project is gone.");
      return present(await findById(id));
    },

    async update(id, patch, version) {
      const touched = await db.execute(sql`
        UPDATE tags SET
          ${assignments([
            patch.name !== undefined && sql`name = ${patch.name}`,
            patch.description !== undefined && sql`description = ${patch.description}`,
            patch.metadata !== undefined && sql`metadata = ${json(patch.metadata)}::jsonb`,
            patch.source !== undefined && sql`source = ${json(patch.source)}::jsonb`,
            patch.nextLocalNumber !== undefined && sql`next_local_number = ${patch.nextLocalNumber}::int`,
          ])}
          version = version + 1, updated_at = clock_timestamp()
        WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND version = ${version}`);
      return touched === 0 ? undefined : await findById(id);
    },

    async delete(id, version) {
      const touched = await db.execute(sql`
        DELETE FROM tags
        WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND version = ${version}`);
      return touched > 0;
    },

    async lockGraphs(tagIds) {
      const lock = sql`
        SELECT id FROM tags WHERE id = ANY(${tagIds}::uuid[]) AND organization_id = ${organizationId}::uuid
        ORDER BY id FOR NO KEY UPDATE`;
      // A statement of its own: the one that waited for the lock still sees what was before it.
      const read = sql`
        SELECT ${columns} FROM ${source}
        WHERE g.id = ANY(${tagIds}::uuid[]) AND g.organization_id = ${organizationId}::uuid ORDER BY g.id`;
      return (await db.executeAndQuery<TagRecord>(lock, read)).rows;
    },

    async takeNumbers(tagId, count) {
      const rows = await db.query<{ number: number }>(sql`
        UPDATE tags SET next_local_number = next_local_number + ${count}::int
        WHERE id = ${tagId}::uuid AND organization_id = ${organizationId}::uuid
        RETURNING next_local_number - ${count}::int AS number`);
      const taken = first(rows);
      if (taken === undefined) throw notFound("tag", tagId);
      return taken.number;
    },
  };
}

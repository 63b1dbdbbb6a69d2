import type { Project } from "../../core/projects/schema.ts";
import type { ProjectRecord, ProjectStore } from "../../core/storage.ts";
import { assignments, type Db, first, iso, json, only, sql } from "./sql.ts";

const shown = sql`p.id, p.key, p.name, p.description, p.version,
  ${iso("p.created_at")} AS "createdAt", ${iso("p.updated_at")} AS "updatedAt"`;
const columns = sql`${shown}, p.source`;

export function createProjectStore(db: Db, organizationId: string): ProjectStore {
  return {
    async list({ limit, after }) {
      return await db.query<Project>(sql`
        SELECT ${shown} FROM projects p
        WHERE p.organization_id = ${organizationId}::uuid
          AND (${after?.[0] ?? null}::uuid IS NULL OR p.id > ${after?.[0] ?? null}::uuid)
        ORDER BY p.id LIMIT ${limit + 1}`);
    },

    async find(key) {
      return first(
        await db.query<ProjectRecord>(sql`
          SELECT ${columns} FROM projects p
          WHERE p.organization_id = ${organizationId}::uuid AND p.key = ${key}`),
      );
    },

    async insert({ id, key, name, description }) {
      return only(
        await db.query<ProjectRecord>(sql`
          INSERT INTO projects AS p (id, organization_id, key, name, description)
          VALUES (${id}::uuid, ${organizationId}::uuid, ${key}, ${name}, ${description})
          RETURNING ${columns}`),
      );
    },

    async update(id, patch, version) {
      return first(
        await db.query<ProjectRecord>(sql`
          UPDATE projects p SET
            ${assignments([
              patch.name !== undefined && sql`name = ${patch.name}`,
              patch.description !== undefined && sql`description = ${patch.description}`,
              patch.source !== undefined && sql`source = ${json(patch.source)}::jsonb`,
            ])}
            version = version + 1, updated_at = clock_timestamp()
          WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND version = ${version}
          RETURNING ${columns}`),
      );
    },

    async delete(id, version) {
      const touched = await db.execute(sql`
        DELETE FROM projects
        WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND version = ${version}`);
      return touched > 0;
    },

    async lock(id) {
      await db.query(sql`
        SELECT id FROM projects WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid
        FOR NO KEY UPDATE`);
    },
  };
}

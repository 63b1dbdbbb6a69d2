import { notFound } from "../../core/errors.ts";
import type { ImportRun } from "../../core/import-export/schema.ts";
import type { ImportRunStore } from "../../core/storage.ts";
import { type Db, iso, json, sql } from "./sql.ts";

export function createImportRunStore(db: Db, organizationId: string): ImportRunStore {
  return {
    async list(projectId, { limit, after }) {
      return await db.query<ImportRun>(sql`
        SELECT r.id, r.mode, r.sha256, r.report, ${iso("r.created_at")} AS "createdAt" FROM import_runs r
        WHERE r.organization_id = ${organizationId}::uuid AND r.project_id = ${projectId}::uuid
          AND (${after?.[0] ?? null}::uuid IS NULL OR r.id > ${after?.[0] ?? null}::uuid)
        ORDER BY r.id LIMIT ${limit + 1}`);
    },

    async insert({ id, projectId, actorId, mode, sha256, report }) {
      const made = await db.execute(sql`
        INSERT INTO import_runs (id, organization_id, project_id, actor_id, mode, sha256, report)
        SELECT ${id}::uuid, organization_id, id, ${actorId}::uuid, ${mode}, ${sha256}, ${json(report)}::jsonb
        FROM projects WHERE id = ${projectId}::uuid AND organization_id = ${organizationId}::uuid`);
      if (made === 0) throw notFound("project", projectId);
    },
  };
}

import type { Agent } from "../../core/agents/schema.ts";
import type { AgentStore } from "../../core/storage.ts";
import { assignments, type Db, first, iso, only, sql } from "./sql.ts";

const columns = sql`a.id, a.name, a.description, a.capabilities, a.disabled_at IS NOT NULL AS disabled, a.version,
  ${iso("a.created_at")} AS "createdAt", ${iso("a.updated_at")} AS "updatedAt"`;

export function createAgentStore(db: Db, organizationId: string): AgentStore {
  return {
    async list({ limit, after }) {
      return await db.query<Agent>(sql`
        SELECT ${columns} FROM agents a
        WHERE a.organization_id = ${organizationId}::uuid
          AND (${after?.[0] ?? null}::uuid IS NULL OR a.id > ${after?.[0] ?? null}::uuid)
        ORDER BY a.id LIMIT ${limit + 1}`);
    },

    async find(id) {
      return first(
        await db.query<Agent>(sql`
          SELECT ${columns} FROM agents a
          WHERE a.id = ${id}::uuid AND a.organization_id = ${organizationId}::uuid`),
      );
    },

    async insert({ id, membershipId, name, description, capabilities }) {
      return only(
        await db.query<Agent>(sql`
          WITH a AS (
            INSERT INTO agents (id, organization_id, name, description, capabilities)
            VALUES (${id}::uuid, ${organizationId}::uuid, ${name}, ${description}, ${capabilities}::text[])
            RETURNING *
          ), member AS (
            INSERT INTO memberships (id, organization_id, agent_id, role)
            SELECT ${membershipId}::uuid, a.organization_id, a.id, 'agent' FROM a
          )
          SELECT ${columns} FROM a`),
      );
    },

    async update(id, patch, version) {
      return first(
        await db.query<Agent>(sql`
          UPDATE agents a SET
            ${assignments([
              patch.name !== undefined && sql`name = ${patch.name}`,
              patch.description !== undefined && sql`description = ${patch.description}`,
              patch.capabilities !== undefined && sql`capabilities = ${patch.capabilities}::text[]`,
              patch.disabled !== undefined &&
                sql`disabled_at = CASE WHEN ${patch.disabled} THEN COALESCE(disabled_at, clock_timestamp()) END`,
            ])}
            version = version + 1, updated_at = clock_timestamp()
          WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND version = ${version}
          RETURNING ${columns}`),
      );
    },

    async delete(id, version) {
      const touched = await db.execute(sql`
        DELETE FROM agents
        WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND version = ${version}`);
      return touched > 0;
    },
  };
}

import type { Membership } from "../../core/memberships/schema.ts";
import type { MembershipStore } from "../../core/storage.ts";
import { type Db, first, iso, present, sql } from "./sql.ts";

/** Whom a membership `m` is of, as an actor; with `u` and `a` its user and agent. */
export const memberActor = sql`json_build_object(
  'kind', CASE WHEN m.user_id IS NULL THEN 'agent' ELSE 'user' END,
  'id', COALESCE(m.user_id, m.agent_id),
  'name', COALESCE(u.name, a.name))`;

export const memberJoins = sql`LEFT JOIN users u ON u.id = m.user_id LEFT JOIN agents a ON a.id = m.agent_id`;

const columns = sql`m.id, ${memberActor} AS member, u.email, m.role, m.version,
  ${iso("m.created_at")} AS "createdAt", ${iso("m.updated_at")} AS "updatedAt"`;

export function createMembershipStore(db: Db, organizationId: string): MembershipStore {
  const find = async (id: string): Promise<Membership | undefined> =>
    first(
      await db.query<Membership>(sql`
        SELECT ${columns} FROM memberships m ${memberJoins}
        WHERE m.id = ${id}::uuid AND m.organization_id = ${organizationId}::uuid`),
    );

  return {
    find,

    async list({ limit, after }) {
      return await db.query<Membership>(sql`
        SELECT ${columns} FROM memberships m ${memberJoins}
        WHERE m.organization_id = ${organizationId}::uuid
          AND (${after?.[0] ?? null}::uuid IS NULL OR m.id > ${after?.[0] ?? null}::uuid)
        ORDER BY m.id LIMIT ${limit + 1}`);
    },

    async insert({ id, userId, email, name, role }) {
      await db.execute(
        sql`INSERT INTO users (id, email, name) VALUES (${userId}::uuid, ${email}, ${name}) ON CONFLICT (email) DO NOTHING`,
      );
      await db.execute(sql`
        INSERT INTO memberships (id, organization_id, user_id, role)
        SELECT ${id}::uuid, ${organizationId}::uuid, id, ${role} FROM users WHERE email = ${email}`);
      return present(await find(id));
    },

    async updateRole(id, role, version) {
      const touched = await db.execute(sql`
        UPDATE memberships SET role = ${role}, version = version + 1, updated_at = clock_timestamp()
        WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND version = ${version}`);
      return touched === 0 ? undefined : await find(id);
    },

    async delete(id, version) {
      const touched = await db.execute(sql`
        DELETE FROM memberships
        WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND version = ${version}`);
      return touched > 0;
    },

    async countOwnersLocked() {
      const owners = await db.query<{ id: string }>(sql`
        SELECT id FROM memberships
        WHERE organization_id = ${organizationId}::uuid AND role = 'owner'
        ORDER BY id FOR UPDATE`);
      return owners.length;
    },
  };
}

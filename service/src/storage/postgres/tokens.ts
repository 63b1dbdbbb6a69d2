import type { TokenStore } from "../../core/storage.ts";
import type { AccessToken } from "../../core/tokens/schema.ts";
import { memberActor, memberJoins } from "./memberships.ts";
import { type Db, first, iso, sql } from "./sql.ts";

const columns = sql`k.id, k.name, ${memberActor} AS owner, k.hint, k.scopes, ${iso("k.expires_at")} AS "expiresAt",
  ${iso("k.revoked_at")} AS "revokedAt", ${iso("k.created_at")} AS "createdAt"`;
const source = sql`access_tokens k JOIN memberships m ON m.id = k.membership_id ${memberJoins}`;

export function createTokenStore(db: Db, organizationId: string): TokenStore {
  const find = async (id: string): Promise<AccessToken | undefined> =>
    first(
      await db.query<AccessToken>(sql`
        SELECT ${columns} FROM ${source} WHERE k.id = ${id}::uuid AND k.organization_id = ${organizationId}::uuid`),
    );

  return {
    find,

    async list({ limit, after }, ownerId) {
      return await db.query<AccessToken>(sql`
        SELECT ${columns} FROM ${source}
        WHERE k.organization_id = ${organizationId}::uuid
          AND (${ownerId ?? null}::uuid IS NULL OR ${ownerId ?? null}::uuid IN (m.user_id, m.agent_id))
          AND (${after?.[0] ?? null}::uuid IS NULL OR k.id > ${after?.[0] ?? null}::uuid)
        ORDER BY k.id LIMIT ${limit + 1}`);
    },

    async insert({ id, owner, name, hash, hint, scopes, expiresInDays }) {
      const member =
        "membershipId" in owner
          ? sql`m.id = ${owner.membershipId}::uuid`
          : sql`m.agent_id = ${owner.agentId}::uuid`;
      const made = await db.execute(sql`
        INSERT INTO access_tokens (id, organization_id, membership_id, name, hash, hint, scopes, expires_at)
        SELECT ${id}::uuid, m.organization_id, m.id, ${name}, ${hash}, ${hint}, ${scopes}::text[],
          clock_timestamp() + make_interval(days => ${expiresInDays}::int)
        FROM memberships m WHERE m.organization_id = ${organizationId}::uuid AND ${member}`);
      return made === 0 ? undefined : await find(id);
    },

    async revoke(id) {
      const touched = await db.execute(sql`
        UPDATE access_tokens SET revoked_at = clock_timestamp()
        WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid AND revoked_at IS NULL`);
      return touched === 0 ? undefined : await find(id);
    },
  };
}

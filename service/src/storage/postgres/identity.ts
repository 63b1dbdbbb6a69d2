import type { Organization } from "../../core/organizations/schema.ts";
import type { IdentityStore, Principal, Standing, TokenOwner, UserIdentity } from "../../core/storage.ts";
import { appendEvents } from "./events.ts";
import { memberActor, memberJoins } from "./memberships.ts";
import { organizationColumns } from "./organizations.ts";
import { findReceiver } from "./receivers.ts";
import { type Db, first, iso, only, records, sql } from "./sql.ts";

const principalColumns = sql`m.organization_id AS "organizationId", m.id AS "membershipId", ${memberActor} AS actor,
  m.role, a.disabled_at IS NOT NULL AS disabled`;
const organizationObject = sql`json_build_object('id', o.id, 'slug', o.slug, 'name', o.name, 'version', o.version,
  'createdAt', ${iso("o.created_at")}, 'updatedAt', ${iso("o.updated_at")}) AS organization`;
const tokenColumns = sql`${principalColumns}, k.id AS "tokenId", k.scopes, k.revoked_at IS NOT NULL AS revoked,
  COALESCE(k.expires_at <= clock_timestamp(), false) AS expired`;
const tokenSource = sql`access_tokens k JOIN memberships m ON m.id = k.membership_id ${memberJoins}`;

type NewOrganization = Parameters<IdentityStore["createOrganization"]>[0];
type Transact = <T>(work: (db: Db) => Promise<T>) => Promise<T>;

export function createIdentityStore(db: Db, transact: Transact): IdentityStore {
  return {
    async findToken(hash) {
      return first(
        await db.lookup<TokenOwner>(sql`SELECT ${tokenColumns} FROM ${tokenSource} WHERE k.hash = ${hash}`),
      );
    },

    async findTokenById(tokenId) {
      return first(
        await db.lookup<TokenOwner>(
          sql`SELECT ${tokenColumns} FROM ${tokenSource} WHERE k.id = ${tokenId}::uuid`,
        ),
      );
    },

    async findStandings(credentials) {
      const rows = await db.query<Standing & { place: number }>(sql`
        SELECT c.place, m.role, a.disabled_at IS NOT NULL AS disabled, k.revoked_at IS NOT NULL AS revoked,
          COALESCE(k.expires_at <= clock_timestamp(), false) AS expired
        FROM json_to_recordset(${records(credentials.map((one, place) => ({ place, ...one })))}::json)
          AS c(place int, "membershipId" uuid, "tokenId" uuid)
        JOIN memberships m ON m.id = c."membershipId" ${memberJoins}
        LEFT JOIN access_tokens k ON k.id = c."tokenId"
        WHERE c."tokenId" IS NULL OR k.id IS NOT NULL`);
      const found = new Map(rows.map(({ place, ...standing }) => [place, standing]));
      return credentials.map((_, place) => found.get(place));
    },

    async listPrincipals(member) {
      const condition =
        "userId" in member
          ? sql`m.user_id = ${member.userId}::uuid`
          : sql`m.agent_id = ${member.agentId}::uuid`;
      return await db.query<Principal & { organization: Organization }>(sql`
        SELECT ${principalColumns}, ${organizationObject}
        FROM memberships m ${memberJoins} JOIN organizations o ON o.id = m.organization_id
        WHERE ${condition} ORDER BY m.id`);
    },

    async findUser(by) {
      const condition =
        "email" in by ? sql`email = ${by.email}` : sql`issuer = ${by.issuer} AND subject = ${by.subject}`;
      return first(
        await db.query<UserIdentity>(
          sql`SELECT id, email, name, issuer, subject FROM users WHERE ${condition}`,
        ),
      );
    },

    async bindUser(userId, issuer, subject) {
      const bound = await db.execute(sql`
        UPDATE users SET issuer = ${issuer}, subject = ${subject} WHERE id = ${userId}::uuid AND issuer IS NULL`);
      return bound > 0;
    },

    createOrganization: async (input) => await transact(async (tx) => await createOrganization(tx, input)),

    findReceiver: async (id) => await findReceiver(db, id),

    async countOrganizations() {
      return only(await db.query<{ count: number }>(sql`SELECT count(*)::int AS count FROM organizations`))
        .count;
    },

    async firstOwner() {
      return first(
        await db.query<Principal & { organization: Organization }>(sql`
          SELECT ${principalColumns}, ${organizationObject}
          FROM memberships m ${memberJoins} JOIN organizations o ON o.id = m.organization_id
          WHERE m.role = 'owner' ORDER BY o.created_at, o.id, m.created_at, m.id LIMIT 1`),
      );
    },
  };
}

/** In the transaction that it is given. */
export async function createOrganization(
  db: Db,
  { organization, owner, event }: NewOrganization,
): Promise<{ organization: Organization; principal: Principal }> {
  const made = only(
    await db.query<Organization>(sql`
      INSERT INTO organizations AS o (id, slug, name)
      VALUES (${organization.id}::uuid, ${organization.slug}, ${organization.name})
      RETURNING ${organizationColumns}`),
  );
  await db.execute(sql`
    INSERT INTO users (id, email, name) VALUES (${owner.userId}::uuid, ${owner.email}, ${owner.name})
    ON CONFLICT (email) DO NOTHING`);
  await db.execute(sql`
    INSERT INTO memberships (id, organization_id, user_id, role)
    SELECT ${owner.membershipId}::uuid, ${made.id}::uuid, id, 'owner' FROM users WHERE email = ${owner.email}`);
  await appendEvents(db, made.id, [event]);
  const principals = await db.query<Principal>(sql`
    SELECT ${principalColumns} FROM memberships m ${memberJoins} WHERE m.id = ${owner.membershipId}::uuid`);
  return { organization: made, principal: only(principals) };
}

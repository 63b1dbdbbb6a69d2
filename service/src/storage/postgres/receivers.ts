import type { Receiver } from "../../core/receivers/schema.ts";
import type { ReceiverOwner, ReceiverStore } from "../../core/storage.ts";
import { type Db, first, iso, json, only, sql } from "./sql.ts";

const columns = sql`r.id, r.provider, r.name, r.statuses,
  CASE WHEN r.previous_secret_expires_at > clock_timestamp() THEN ${iso("r.previous_secret_expires_at")} END
    AS "previousSecretExpiresAt",
  r.version, ${iso("r.created_at")} AS "createdAt", ${iso("r.updated_at")} AS "updatedAt"`;

export function createReceiverStore(db: Db, organizationId: string): ReceiverStore {
  const own = sql`r.organization_id = ${organizationId}::uuid`;

  return {
    async list({ limit, after }) {
      return await db.query<Receiver>(sql`
        SELECT ${columns} FROM receivers r
        WHERE ${own} AND (${after?.[0] ?? null}::uuid IS NULL OR r.id > ${after?.[0] ?? null}::uuid)
        ORDER BY r.id LIMIT ${limit + 1}`);
    },

    async find(id) {
      return first(
        await db.query<Receiver>(sql`SELECT ${columns} FROM receivers r WHERE ${own} AND r.id = ${id}::uuid`),
      );
    },

    async insert({ id, name, statuses, secret }) {
      return only(
        await db.query<Receiver>(sql`
          INSERT INTO receivers AS r (id, organization_id, provider, name, statuses, secret)
          VALUES (${id}::uuid, ${organizationId}::uuid, 'github', ${name}, ${json(statuses)}::jsonb, ${secret})
          RETURNING ${columns}`),
      );
    },

    async update(id, { name, statuses }, version) {
      return first(
        await db.query<Receiver>(sql`
          UPDATE receivers r SET name = ${name}, statuses = ${json(statuses)}::jsonb, version = version + 1,
            updated_at = clock_timestamp()
          WHERE ${own} AND id = ${id}::uuid AND version = ${version} RETURNING ${columns}`),
      );
    },

    async rotate(id, secret, overlapHours) {
      return first(
        await db.query<Receiver>(sql`
          UPDATE receivers r SET previous_secret = secret, secret = ${secret},
            previous_secret_expires_at = clock_timestamp() + make_interval(hours => ${overlapHours}::int),
            version = version + 1, updated_at = clock_timestamp()
          WHERE ${own} AND id = ${id}::uuid RETURNING ${columns}`),
      );
    },

    async delete(id, version) {
      const touched = await db.execute(
        sql`DELETE FROM receivers r WHERE ${own} AND id = ${id}::uuid AND version = ${version}`,
      );
      return touched > 0;
    },
  };
}

/** Of whatever organization: nobody has said yet which. */
export async function findReceiver(db: Db, id: string): Promise<ReceiverOwner | undefined> {
  return first(
    await db.query<ReceiverOwner>(sql`
      SELECT r.id, r.organization_id AS "organizationId", r.name, r.statuses,
        CASE WHEN r.previous_secret_expires_at > clock_timestamp() THEN ARRAY[r.secret, r.previous_secret]
          ELSE ARRAY[r.secret] END AS secrets
      FROM receivers r WHERE r.id = ${id}::uuid`),
  );
}

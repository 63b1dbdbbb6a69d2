import type { IdempotencyStore } from "../../core/storage.ts";
import { type Db, first, sql } from "./sql.ts";

export function createIdempotencyStore(db: Db, organizationId: string): IdempotencyStore {
  const isKey = (actorId: string, keyHash: string) =>
    sql`organization_id = ${organizationId}::uuid AND actor_id = ${actorId}::uuid AND key_hash = ${keyHash}`;

  return {
    async reserve(actorId, keyHash, fingerprint) {
      for (;;) {
        const taken = await db.execute(sql`
          INSERT INTO idempotency_records (organization_id, actor_id, key_hash, fingerprint, result)
          VALUES (${organizationId}::uuid, ${actorId}::uuid, ${keyHash}, ${fingerprint}, '')
          ON CONFLICT (organization_id, actor_id, key_hash) DO NOTHING`);
        if (taken > 0) return undefined;
        const kept = first(
          await db.query<{ fingerprint: string; result: string }>(
            sql`SELECT fingerprint, result FROM idempotency_records WHERE ${isKey(actorId, keyHash)}`,
          ),
        );
        // None: housekeeping deleted it between the two statements, so the key is free again.
        if (kept !== undefined) return kept;
      }
    },

    async complete(actorId, keyHash, result) {
      await db.send(sql`UPDATE idempotency_records SET result = ${result} WHERE ${isKey(actorId, keyHash)}`);
    },
  };
}

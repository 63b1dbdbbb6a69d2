import type { Upkeep } from "../../core/storage.ts";
import { createDeliveryQueue } from "./deliveries.ts";
import { type Db, sql } from "./sql.ts";

export function createUpkeep(db: Db): Upkeep {
  return {
    async listExpiredClaims(limit) {
      return await db.query<{ organizationId: string; claimId: string }>(sql`
        SELECT organization_id AS "organizationId", id AS "claimId" FROM claims
        WHERE live_task_id IS NOT NULL AND expires_at <= clock_timestamp()
        ORDER BY expires_at, id LIMIT ${limit}`);
    },

    async deleteIdempotencyRecords(olderThanHours) {
      return await db.execute(sql`
        DELETE FROM idempotency_records
        WHERE created_at < clock_timestamp() - make_interval(hours => ${olderThanHours}::int)`);
    },

    ...createDeliveryQueue(db),
  };
}

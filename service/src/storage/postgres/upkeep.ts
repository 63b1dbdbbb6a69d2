import type { DeliveryQueue, Upkeep } from "../../core/storage.ts";
import { createDeliveryQueue } from "./deliveries.ts";
import { type Db, only, sql } from "./sql.ts";

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

    async countReadyTasks(statuses, completeStatuses) {
      // Held families come first as a set, which is small: a look for each task would be one for every task there is.
      const rows = await db.query<{ count: number }>(sql`
        WITH held AS MATERIALIZED (
          SELECT t.id, t.parent_id FROM claims c JOIN tasks t ON t.id = c.live_task_id
          WHERE c.live_task_id IS NOT NULL AND c.expires_at > clock_timestamp()
        )
        SELECT count(*)::float8 AS count FROM tasks t
        WHERE t.status = ANY(${[...statuses]}::text[])
          AND NOT EXISTS (SELECT FROM held WHERE held.id = t.id)
          AND NOT EXISTS (SELECT FROM held WHERE held.id = t.parent_id)
          AND NOT EXISTS (SELECT FROM held WHERE held.parent_id = t.id)
          AND NOT EXISTS (
            SELECT FROM dependencies d JOIN tasks o ON o.id = d.depends_on_id
            WHERE d.task_id = t.id AND o.status <> ALL(${[...completeStatuses]}::text[]))`);
      return only(rows).count;
    },

    async measureDeliveries() {
      const rows = await db.query<DeliveryQueue>(sql`
        SELECT count(*)::float8 AS pending,
          COALESCE(extract(epoch FROM clock_timestamp() - min(d.created_at)), 0)::float8 AS "oldestSeconds",
          COALESCE(GREATEST(0, extract(epoch FROM clock_timestamp() - min(d.next_attempt_at))), 0)::float8
            AS "overdueSeconds"
        FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id AND w.disabled_at IS NULL
        WHERE d.state = 'pending'`);
      return only(rows);
    },

    async findMigrationHead() {
      const rows = await db.query<{ head: string | null }>(sql`
        SELECT max(migration_name COLLATE "C") AS head FROM _prisma_migrations
        WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL`);
      return only(rows).head;
    },
  };
}

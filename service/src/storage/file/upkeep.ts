import type { Upkeep } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { timestamp } from "./model.ts";
import { byId, compare, isExpired, liveClaim } from "./rows.ts";

const hourMs = 3_600_000;

export function createUpkeep(db: Db): Upkeep {
  return {
    listExpiredClaims: async (limit) =>
      await db.read((rows) =>
        rows.claims
          .where("state", "live")
          .filter(isExpired)
          .sort((a, b) => compare(a.expiresAt, b.expiresAt) || byId(a, b))
          .slice(0, limit)
          .map(({ organizationId, id }) => ({ organizationId, claimId: id })),
      ),

    async deleteIdempotencyRecords(olderThanHours) {
      const until = timestamp(Date.now() - olderThanHours * hourMs);
      return await db.write(({ rows }) => {
        const old = rows.idempotency.all().filter(({ createdAt }) => createdAt < until);
        for (const { id } of old) rows.idempotency.remove(id);
        return old.length;
      });
    },

    // See withoutWebhooks: there are none.
    claimDeliveries: async () => [],
    deleteDeliveries: async () => 0,
    measureDeliveries: async () => ({ pending: 0, oldestSeconds: 0, overdueSeconds: 0 }),

    countReadyTasks: async (statuses, completeStatuses) =>
      await db.read((rows) => {
        const isHeld = (taskId: string) => liveClaim(rows, taskId) !== undefined;
        return rows.tasks.all().filter(({ id, parentId, status }) => {
          if (!statuses.includes(status) || isHeld(id) || (parentId !== null && isHeld(parentId)))
            return false;
          if (rows.tasks.where("parent", id).some((subtask) => isHeld(subtask.id))) return false;
          return rows.dependencies.where("task", id).every(({ dependsOnId }) => {
            const other = dependsOnId === null ? undefined : rows.tasks.get(dependsOnId);
            return other === undefined || completeStatuses.includes(other.status);
          });
        }).length;
      }),

    // Files have no schema.
    findMigrationHead: async () => null,
  };
}

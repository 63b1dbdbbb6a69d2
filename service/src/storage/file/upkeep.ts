import type { Upkeep } from "../../core/storage.ts";
import { isExpired } from "./claims.ts";
import type { Db } from "./engine.ts";
import { timestamp } from "./model.ts";
import { byId, compare } from "./rows.ts";

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
  };
}

import type { IdempotencyStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { pair, timestamp } from "./model.ts";

export function createIdempotencyStore(db: Db, organizationId: string): IdempotencyStore {
  const idOf = (actorId: string, keyHash: string) => pair(organizationId, actorId, keyHash);

  return {
    reserve: async (actorId, keyHash, fingerprint) =>
      await db.write(async ({ rows, lock }) => {
        const id = idOf(actorId, keyHash);
        await lock("idempotency", id);
        const kept = rows.idempotency.get(id);
        if (kept !== undefined) return { fingerprint: kept.fingerprint, result: kept.result };
        rows.idempotency.put({ id, fingerprint, result: "", createdAt: timestamp() });
        return undefined;
      }),

    complete: async (actorId, keyHash, result) =>
      await db.write(({ rows }) => {
        const record = rows.idempotency.get(idOf(actorId, keyHash));
        if (record !== undefined) rows.idempotency.put({ ...record, result });
      }),
  };
}

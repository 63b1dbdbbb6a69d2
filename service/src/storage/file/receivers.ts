import type { Receiver } from "../../core/receivers/schema.ts";
import type { ReceiverOwner, ReceiverStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { type Reading, type ReceiverRow, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { pageById, plain } from "./rows.ts";

const hourMs = 3_600_000;

/** Until when the secret from before the last rotation is good; null when it is no more. */
function overlapOf({ previousSecretExpiresAt: end }: ReceiverRow): string | null {
  return end !== null && end > timestamp() ? end : null;
}

function receiverOf(row: ReceiverRow): Receiver {
  const { organizationId: _, secret: _secret, previousSecret: _previous, ...receiver } = row;
  return { ...receiver, previousSecretExpiresAt: overlapOf(row) };
}

/** Of whatever organization: nobody has said yet which. */
export function findReceiver(rows: Reading, id: string): ReceiverOwner | undefined {
  const row = rows.receivers.get(id);
  if (row === undefined) return undefined;
  const { organizationId, name, statuses, secret, previousSecret } = row;
  const secrets = previousSecret !== null && overlapOf(row) !== null ? [secret, previousSecret] : [secret];
  return { id, organizationId, name, statuses, secrets };
}

export function createReceiverStore(db: Db, organizationId: string): ReceiverStore {
  const { own, getLocked } = owned(organizationId);

  return {
    list: async (keyset) =>
      await db.read((rows) =>
        pageById(rows.receivers.where("organization", organizationId), keyset).map(receiverOf),
      ),

    find: async (id) =>
      await db.read((rows) => {
        const row = own(rows.receivers.get(id));
        return row && receiverOf(row);
      }),

    insert: async ({ id, name, statuses, secret }) =>
      await db.write(({ rows }) => {
        const now = timestamp();
        const row: ReceiverRow = {
          ...{ id, organizationId, provider: "github", name, statuses: plain(statuses) },
          ...{ secret, previousSecret: null, previousSecretExpiresAt: null },
          ...{ version: 1, createdAt: now, updatedAt: now },
        };
        rows.receivers.put(row);
        return receiverOf(row);
      }),

    update: async (id, { name, statuses }, version) =>
      await db.write(async (tx) => {
        const row = await getLocked(tx, "receivers", id);
        if (row?.version !== version) return undefined;
        const values = { name, statuses: plain(statuses) };
        const after: ReceiverRow = { ...row, ...values, version: version + 1, updatedAt: timestamp() };
        tx.rows.receivers.put(after);
        return receiverOf(after);
      }),

    rotate: async (id, secret, overlapHours) =>
      await db.write(async (tx) => {
        const row = await getLocked(tx, "receivers", id);
        if (row === undefined) return undefined;
        const after: ReceiverRow = {
          ...row,
          ...{ secret, previousSecret: row.secret },
          previousSecretExpiresAt: timestamp(Date.now() + overlapHours * hourMs),
          ...{ version: row.version + 1, updatedAt: timestamp() },
        };
        tx.rows.receivers.put(after);
        return receiverOf(after);
      }),

    delete: async (id, version) =>
      await db.write(async (tx) => {
        const row = await getLocked(tx, "receivers", id);
        if (row?.version !== version) return false;
        tx.rows.receivers.remove(id);
        return true;
      }),
  };
}

import type { Storage, Transaction } from "../../src/core/storage.ts";

export type Protection =
  | "graph lock"
  | "family lock"
  | "compare-and-swap"
  | "idempotency record"
  | "owner lock";

/** Replacements of parts of a transaction, each taking one protection away. */
const replacements: Record<Protection, (tx: Transaction) => Partial<Transaction>> = {
  "graph lock": (tx) => ({
    tags: {
      ...tx.tags,
      lockGraphs: async (ids) =>
        (await Promise.all(ids.map((id) => tx.tags.findById(id)))).filter((tag) => tag !== undefined),
    },
  }),
  "family lock": (tx) => ({
    claims: {
      ...tx.claims,
      lockFamily: async () => true,
      lockCandidate: async (query) => (await tx.tasks.candidates(query))[0],
    },
  }),
  "compare-and-swap": (tx) => ({
    tasks: { ...tx.tasks, update: (id, change) => tx.tasks.update(id, change, null) },
  }),
  "idempotency record": () => ({
    idempotency: { reserve: async () => undefined, complete: async () => undefined },
  }),
  "owner lock": (tx) => ({ memberships: { ...tx.memberships, countOwnersLocked: async () => 2 } }),
};

/**
 * A storage that lacks one protection. A test that passes on it would prove nothing on the real one, so each of the
 * concurrency tests is also run on it and must find a violation.
 */
export function without(protection: Protection): (storage: Storage) => Storage {
  return (storage) => ({
    ...storage,
    transaction: (organizationId, work) =>
      storage.transaction(organizationId, (tx) => work({ ...tx, ...replacements[protection](tx) })),
  });
}

import type { EventType } from "../core/index.ts";
import type { Storage, Transaction } from "../core/storage.ts";

export interface EndedTransaction {
  kind: "change" | "snapshot";
  outcome: "committed" | "rolled_back";
  /** How often it was run again, because the database had given up on it. */
  retries: number;
  /** Of the events that are in the log now. */
  events: readonly EventType[];
}

/**
 * The same storage, which tells of each transaction when it is over. Events are told of then and not as they are written: what is
 * taken back, or written once more by a retry, has not happened.
 */
export function observeStorage(storage: Storage, ended: (transaction: EndedTransaction) => void): Storage {
  async function observe<Tx, T>(
    kind: EndedTransaction["kind"],
    begin: (work: (tx: Tx) => Promise<T>) => Promise<T>,
    work: (tx: Tx, heard: (type: EventType) => void) => Promise<T>,
  ): Promise<T> {
    let runs = 0;
    let events: EventType[] = [];
    const tell = (outcome: EndedTransaction["outcome"]) =>
      ended({ kind, outcome, retries: Math.max(0, runs - 1), events: outcome === "committed" ? events : [] });
    try {
      const result = await begin(async (tx) => {
        runs += 1;
        events = [];
        return await work(tx, (type) => void events.push(type));
      });
      tell("committed");
      return result;
    } catch (error) {
      tell("rolled_back");
      throw error;
    }
  }

  return {
    ...storage,
    snapshot: async (organizationId, work) =>
      await observe("snapshot", (run) => storage.snapshot(organizationId, run), work),
    transaction: async (organizationId, work) =>
      await observe(
        "change",
        (run: (tx: Transaction) => ReturnType<typeof work>) => storage.transaction(organizationId, run),
        async (tx, heard) => await work(listening(tx, heard)),
      ),
  };
}

function listening(tx: Transaction, heard: (type: EventType) => void): Transaction {
  return {
    ...tx,
    events: {
      ...tx.events,
      async append(events) {
        await tx.events.append(events);
        for (const { type } of events) heard(type);
      },
    },
    async createOrganization(input) {
      const made = await tx.createOrganization(input);
      heard(input.event.type);
      return made;
    },
  };
}

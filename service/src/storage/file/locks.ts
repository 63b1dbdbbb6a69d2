import { AppError } from "../../core/errors.ts";

/** What a transaction is to the locks. */
export interface Holder {
  /** The keys that it waits for: several when its statements run at once. */
  waitsFor: Set<string>;
  holds: Set<string>;
}

/** Thrown in a transaction that has to give way: it is undone, and run again. */
export class Retry extends Error {}

export interface RowLocks {
  /** Waits in turn. Throws Retry where waiting would never end, and unavailable after the longest wait. */
  lock(holder: Holder, key: string): Promise<void>;
  /** Without waiting: false when another has it. */
  tryLock(holder: Holder, key: string): boolean;
  releaseAll(holder: Holder): void;
}

interface Waiter {
  holder: Holder;
  grant(): void;
  refuse(error: Error): void;
}

/** Exclusive locks on rows, held to the end of a transaction, among the transactions of one process. */
export function createRowLocks(patienceMs: number): RowLocks {
  const owners = new Map<string, Holder>();
  const queues = new Map<string, Waiter[]>();

  const own = (holder: Holder, key: string) => {
    owners.set(key, holder);
    holder.holds.add(key);
  };

  /** Whom a wait for the key is a wait for: its owner, and who stands in the queue before `holder`. */
  const inFront = (key: string, holder: Holder): Holder[] => {
    const owner = owners.get(key);
    const queue = (queues.get(key) ?? []).map((waiter) => waiter.holder);
    const place = queue.indexOf(holder);
    return [...(owner === undefined ? [] : [owner]), ...(place === -1 ? queue : queue.slice(0, place))];
  };

  const closesCircle = (holder: Holder, key: string): boolean => {
    const seen = new Set<Holder>();
    const open = inFront(key, holder);
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (next === holder) return true;
      if (seen.has(next)) continue;
      seen.add(next);
      for (const waited of next.waitsFor) open.push(...inFront(waited, next));
    }
    return false;
  };

  const leave = (key: string, gone: (waiter: Waiter) => boolean): Waiter[] => {
    const queue = queues.get(key) ?? [];
    const [left, stay] = [queue.filter(gone), queue.filter((waiter) => !gone(waiter))];
    if (stay.length === 0) queues.delete(key);
    else queues.set(key, stay);
    return left;
  };

  const tryLock = (holder: Holder, key: string): boolean => {
    const owner = owners.get(key);
    if (owner === undefined) own(holder, key);
    return owner === undefined || owner === holder;
  };

  return {
    tryLock,

    async lock(holder, key) {
      if (tryLock(holder, key)) return;
      if (closesCircle(holder, key)) throw new Retry("The transactions would wait for each other.");
      holder.waitsFor.add(key);
      await new Promise<void>((resolve, reject) => {
        const settle = (done: () => void) => {
          clearTimeout(limit);
          holder.waitsFor.delete(key);
          done();
        };
        const waiter: Waiter = {
          holder,
          grant: () => settle(resolve),
          refuse: (error) => settle(() => reject(error)),
        };
        const limit = setTimeout(() => {
          leave(key, (other) => other === waiter);
          waiter.refuse(new AppError("unavailable", "Too many changes met at one place; try again."));
        }, patienceMs);
        queues.set(key, [...(queues.get(key) ?? []), waiter]);
      });
    },

    releaseAll(holder) {
      // Statements that still wait when their transaction ends: it has failed, and nobody hears their answer.
      for (const key of holder.waitsFor) {
        for (const waiter of leave(key, (other) => other.holder === holder)) {
          waiter.refuse(new Error("The transaction has ended."));
        }
      }
      for (const key of holder.holds) {
        owners.delete(key);
        const next = queues.get(key)?.[0]?.holder;
        if (next === undefined) continue;
        own(next, key);
        for (const waiter of leave(key, (other) => other.holder === next)) waiter.grant();
      }
      holder.holds.clear();
    },
  };
}

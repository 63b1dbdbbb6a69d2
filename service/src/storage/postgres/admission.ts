import type pg from "pg";
import { translate } from "./errors.ts";

/** Knows who waits for a pool's connections, or for an answer on one that is shared, and for how long. */
export interface Admission {
  acquire(): Promise<pg.PoolClient>;
  /** The same for the work of one who waits on a connection that others have as well. */
  wait<T>(work: Promise<T>): Promise<T>;
  backlog(): { count: number; oldestMs: number };
}

export function createAdmission(pool: pg.Pool): Admission {
  // In the order in which they came, so that the first is the one that waits longest.
  const waiting = new Set<{ since: number }>();

  async function wait<T>(work: Promise<T>): Promise<T> {
    const place = { since: performance.now() };
    waiting.add(place);
    try {
      return await work;
    } finally {
      waiting.delete(place);
    }
  }

  return {
    acquire: async () => await wait(pool.connect().catch(translate)),
    wait,
    backlog() {
      const [first] = waiting;
      return { count: waiting.size, oldestMs: first === undefined ? 0 : performance.now() - first.since };
    },
  };
}

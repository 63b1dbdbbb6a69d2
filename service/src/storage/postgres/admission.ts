import type pg from "pg";
import { AppError } from "../../core/errors.ts";
import { translate } from "./errors.ts";

/** How long a use case waits for a connection that others have. */
const waitTimeoutMs = 1_000;

/** The pool's connections, to those who want one in the order in which they came. */
export interface Admission {
  /** Throws unavailable after a second without one. */
  acquire(): Promise<pg.PoolClient>;
  /** The work of one who waits, though not for a connection of its own. */
  wait<T>(work: Promise<T>): Promise<T>;
  /** How long who waits longest has waited. */
  waitedMs(): number;
}

export function createAdmission(pool: pg.Pool, size: number): Admission {
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

  async function acquire(): Promise<pg.PoolClient> {
    const full = pool.idleCount === 0 && pool.totalCount >= size;
    const connecting = pool.connect();
    // A new connection, which may take longer, has the pool's own time limit.
    const client = full ? inTime(connecting) : connecting;
    return await wait(client.catch(translate));
  }

  return {
    acquire,
    wait,
    waitedMs() {
      const [first] = waiting;
      return first === undefined ? 0 : performance.now() - first.since;
    },
  };
}

async function inTime(connecting: Promise<pg.PoolClient>): Promise<pg.PoolClient> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      // One that comes after all goes to the next.
      connecting.then((client) => client.release()).catch(() => {});
      reject(new AppError("unavailable", "More is asked of the database than it can do now; try again."));
    }, waitTimeoutMs);
  });
  try {
    return await Promise.race([connecting, late]);
  } finally {
    clearTimeout(timer);
  }
}

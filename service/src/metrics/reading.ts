import { setTimeout as sleep } from "node:timers/promises";

/** A value that costs a query, kept for a while. */
export interface Reading<T> {
  /** Undefined while there is none: nothing was read yet, or the last time it failed. Never rejects. */
  current(): Promise<T | undefined>;
}

export interface ReadingOptions {
  /** A value is kept so long at the least. */
  keepMs?: number;
  /** How long whoever asks waits for a new one; then it is had the next time. */
  waitMs?: number;
  /** A query that takes long is asked for more seldom: after so many times as long as it took. */
  pauseFactor?: number;
}

/** A storage that was away is found again after this, however long it took to find it away. */
const longestPauseMs = 60_000;

/**
 * Read when it is asked for, at most once in `keepMs` and once at a time, whoever asks and how often. Scrapes are frequent and
 * several, and must not be what a database that is in need has to carry.
 */
export function createReading<T>(
  read: () => Promise<T>,
  { keepMs = 10_000, waitMs = 2_000, pauseFactor = 20 }: ReadingOptions = {},
): Reading<T> {
  let value: T | undefined;
  let goodUntil = 0;
  let running: Promise<void> | undefined;

  async function renew(): Promise<void> {
    const started = performance.now();
    let failed = false;
    try {
      value = await read();
    } catch {
      value = undefined;
      failed = true;
    }
    const pause = (performance.now() - started) * pauseFactor;
    goodUntil = performance.now() + Math.max(keepMs, failed ? Math.min(pause, longestPauseMs) : pause);
    running = undefined;
  }

  return {
    async current() {
      if (running === undefined && performance.now() >= goodUntil) running = renew();
      if (running !== undefined) {
        const stop = new AbortController();
        const patience = sleep(waitMs, undefined, { ref: false, signal: stop.signal }).catch(() => {});
        await Promise.race([running, patience]);
        stop.abort();
      }
      return value;
    },
  };
}

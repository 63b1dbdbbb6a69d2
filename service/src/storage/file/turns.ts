import { setImmediate as nextRound, setTimeout as sleep } from "node:timers/promises";
import type { ProcessLock } from "./process-lock.ts";

/**
 * The processes' turns at writing. A turn is shared by all that this process does at once, and lasts as long as somebody
 * is in it; when another process waits, nobody new comes in.
 */
export interface Turns {
  /** Waits for a turn, or joins the one that is on. Each enter has its leave. */
  enter(): Promise<void>;
  leave(): Promise<void>;
  /** As enter, for somebody who is in the turn that is on: at once, even while nobody else comes in. */
  stay(): void;
  /** The lock is not this process's any more: nobody new comes in, and whoever is in has to come back. */
  lose(): void;
  /** Undefined when no turn is on: then other processes may be writing. Else it resolves when the turn has begun. */
  current(): Promise<void> | undefined;
  /** Resolves when no turn is on. */
  idle(): Promise<void>;
}

const watchMs = 25;

/** `begin` is called under the lock, at the start of each turn; when it throws, there is no turn. */
export function createTurns(lock: ProcessLock, patienceMs: number, begin: () => Promise<void>): Turns {
  let active = 0;
  let turn: Promise<void> | undefined;
  let held = false;
  let closing = false;
  let watch: NodeJS.Timeout | undefined;
  let waiting: (() => void)[] = [];

  const open = async () => {
    await lock.acquire(patienceMs);
    held = true;
    watch = setInterval(() => {
      // A folder that cannot be read fails the next commit, which says so.
      const look = lock.isWantedByOthers().catch(() => false);
      void look.then((wanted) => {
        closing ||= wanted && held;
      });
    }, watchMs).unref();
    await begin();
  };

  const close = async () => {
    const yields = closing;
    closing = true;
    held = false;
    clearInterval(watch);
    // What is left of it is taken for what it is by the next process: the lock of one that is gone, or of this one.
    await lock.release().catch(() => {});
    // Longer than the others' pause between two looks.
    if (yields) await sleep(watchMs);
    turn = undefined;
    closing = false;
    const woken = waiting;
    waiting = [];
    for (const wake of woken) wake();
  };

  const ended = async () => await new Promise<void>((resolve) => waiting.push(resolve));

  const leave = async () => {
    active -= 1;
    if (active === 0) await close();
  };

  return {
    leave,
    lose() {
      closing = true;
    },
    stay() {
      active += 1;
    },
    current: () => (held ? turn : undefined),

    async enter() {
      while (turn !== undefined && closing) await ended();
      turn ??= open();
      active += 1;
      try {
        await turn;
      } catch (error) {
        await leave();
        throw error;
      }
      // Or whoever asks again and again, of rows in memory, would let nothing else happen: no timer, file or client.
      await nextRound();
    },

    async idle() {
      while (turn !== undefined) await ended();
    },
  };
}

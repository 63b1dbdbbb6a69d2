/** Work that is done again and again, such as a look at what another process may have changed. */
export interface Rounds {
  /** Begins, unless they are on. */
  start(): void;
  /** No further one begins. Resolves when the one that is under way is over. */
  stop(): Promise<void>;
}

/**
 * A round each `ms`, never while the last one is under way, and never a reason for the process to live on. One that
 * rejects is over: the next one tries again.
 */
export function createRounds(ms: number, round: () => Promise<void>): Rounds {
  let timer: ReturnType<typeof setInterval> | undefined;
  let running: Promise<void> | undefined;
  return {
    start() {
      timer ??= setInterval(() => {
        running ??= round()
          .catch(() => {})
          .finally(() => {
            running = undefined;
          });
      }, ms).unref();
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      await running;
    },
  };
}

import type { Core, Outcome, OutgoingMessage } from "../core/index.ts";
import type { TellDefect } from "../defects.ts";
import type { Logger } from "../log.ts";

export interface WorkerOptions {
  core: Pick<Core, "webhooks">;
  /** Makes one attempt; never rejects. */
  send(message: OutgoingMessage, stop: AbortSignal): Promise<Outcome>;
  /** The most attempts at the same time. */
  concurrency: number;
  /** Longer than an attempt and the writing down of it can take: then it is taken to be lost, and sent again. */
  leaseSeconds: number;
  pollMs: number;
  /** How long attempts that are under way may still take when the worker is stopped. */
  stopMs: number;
  log: Logger;
  tellDefect?: TellDefect;
}

/**
 * Sends what is due until it is stopped. Any number of processes may run one on the same database. Returns the stop:
 * nothing more is taken, what is under way may end, and the rest is given back at once. What a killed process had
 * taken is taken again when its lease is over, so a message may come twice, under the same id.
 */
export function startWorker(options: WorkerOptions): () => Promise<void> {
  const { core, send, concurrency, leaseSeconds, pollMs, stopMs, log, tellDefect } = options;
  const cut = new AbortController();
  const running = new Map<Promise<void>, string>();
  let stopped = false;
  let wake = () => {};

  async function attempt(message: OutgoingMessage): Promise<void> {
    const outcome = await send(message, cut.signal);
    await core.webhooks.settle(message, outcome);
    const { id: delivery, webhookId: webhook, attempts } = message;
    log.debug({ delivery, webhook, attempts, outcome }, "webhook attempt");
  }

  function start(message: OutgoingMessage): void {
    const run: Promise<void> = attempt(message)
      // The lease runs out, and it is sent once more.
      .catch((error: unknown) => {
        log.warn({ err: error, delivery: message.id }, "webhook attempt not noted");
        tellDefect?.(error, { part: "webhooks", what: "an attempt noted" });
      })
      .finally(() => {
        running.delete(run);
        wake();
      });
    running.set(run, message.webhookId);
  }

  function underWay() {
    const counts = new Map<string, number>();
    for (const webhook of running.values()) counts.set(webhook, (counts.get(webhook) ?? 0) + 1);
    return [...counts].map(([webhook, count]) => ({ webhook, count }));
  }

  async function run(): Promise<void> {
    let failing = false;
    while (!stopped) {
      const limit = concurrency - running.size;
      try {
        const claim = { limit, underWay: underWay(), leaseSeconds };
        for (const message of limit === 0 ? [] : await core.webhooks.take(claim)) start(message);
        failing = false;
      } catch (error) {
        // Once an outage: it is told by readiness as well.
        if (!failing) log.warn({ err: error }, "failed: webhook deliveries taken");
        tellDefect?.(error, { part: "webhooks", what: "deliveries taken" });
        failing = true;
      }
      if (!stopped) await nextTurn();
    }
  }

  /** When an attempt has ended, since there is room then for another; or else when it is time to look again. */
  function nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pollMs).unref();
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  const ended = run();
  return async () => {
    stopped = true;
    wake();
    await ended;
    const limit = setTimeout(() => cut.abort(), stopMs);
    await Promise.all(running.keys());
    clearTimeout(limit);
  };
}

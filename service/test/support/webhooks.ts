import type { WebhookOptions } from "../../src/core/webhooks/service.ts";
import type { Logger } from "../../src/log.ts";
import { createLog } from "../../src/log.ts";
import { createResolver } from "../../src/webhooks/resolver.ts";
import { createSender, type SenderOptions } from "../../src/webhooks/sender.ts";
import { startWorker } from "../../src/webhooks/worker.ts";
import { openTestCore, type TestCore } from "./core.ts";
import { query } from "./migrations.ts";

/** What tests need: receivers on loopback, over http. */
export const loopback = { allowHttp: true, allowedNetworks: ["127.0.0.0/8"] };

/** Three attempts within a blink, and no webhook disabled for it. */
export const quickly = {
  meanDelaysSeconds: [0.03, 0.03],
  longestRetryAfterSeconds: 2,
  disableAfterHours: 1,
};

export interface WebhookTest extends TestCore {
  /** Straight into the database, for what only time would do. */
  sql(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  log: Logger;
  lines: string[];
  /** A worker beside those that run already; the last to be started is the first to be stopped at the end. */
  work(
    options?: Partial<SenderOptions> & { concurrency?: number; leaseSeconds?: number },
  ): () => Promise<void>;
}

/** A core whose webhooks may reach loopback, and workers for it as a server has one. */
export async function openWebhookTest(options: WebhookOptions = {}): Promise<WebhookTest> {
  const test = await openTestCore({ webhooks: { addresses: loopback, retries: quickly, ...options } });
  const lines: string[] = [];
  const log = createLog({ logLevel: "debug" }, { write: (line) => void lines.push(line) });
  const stops: (() => Promise<void>)[] = [];
  return {
    ...test,
    sql: (text, values) => query(test.connectionString, text, values),
    log,
    lines,
    work({ concurrency = 20, leaseSeconds = 30, ...sending } = {}) {
      const send = createSender({
        rules: loopback,
        resolve: createResolver(),
        timeoutMs: 5000,
        userAgent: "test",
        ...sending,
      });
      const stop = startWorker({
        core: test.core,
        send,
        concurrency,
        leaseSeconds,
        pollMs: 20,
        stopMs: 200,
        log,
      });
      stops.push(stop);
      return stop;
    },
    async close() {
      await Promise.all(stops.map((stop) => stop()));
      await test.close();
    },
  };
}

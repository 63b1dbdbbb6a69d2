import { makeOwner } from "../../src/bin/owner.ts";
import { compose } from "../../src/compose.ts";
import { loadConfig } from "../../src/config.ts";
import type { Core } from "../../src/core/index.ts";
import { createLog } from "../../src/log.ts";
import { buildMcpEdge } from "../../src/mcp/http.ts";
import { createMetrics } from "../../src/metrics/create.ts";
import { listen, type MetricsServer } from "../../src/metrics/listen.ts";
import { buildApp } from "../../src/rest/app.ts";
import type { TestDatabase } from "./database.ts";
import { type Scrape, scrape } from "./metrics.ts";

export const api = "/api/v1";
const log = createLog({ logLevel: "silent" });

export interface WatchedServer {
  url: string;
  metrics: MetricsServer;
  core: Core;
  token: string;
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: Record<string, unknown> }>;
  scrape(): Promise<Scrape>;
  close(): Promise<void>;
}

/** A server as the program puts it together, with a port for metrics; what it reads of the storage is new each time. */
export async function startWatchedServer(database: TestDatabase): Promise<WatchedServer> {
  const config = loadConfig({
    DATABASE_URL: database.connectionString,
    TASKMASTER_SESSION_SECRET: "a secret for tests, of thirty-two bytes or more",
    TASKMASTER_RATE_LIMIT_MAX: "1000000",
    TASKMASTER_DATABASE_POOL_SIZE: "7",
  });
  const counted = createMetrics({ version: "1.2.3" }, { keepMs: 0, waitMs: 10_000, pauseFactor: 0 });
  const { core, storage, sessionKey, close } = await compose(config, log, { metrics: counted });
  const owner = await makeOwner(storage);
  const lifecycle = { draining: false, obstacle: null };
  const app = await buildApp({
    core,
    config,
    log,
    sessionKey,
    lifecycle,
    version: "1.2.3",
    metrics: counted.http,
    streamMetrics: counted.streams,
    guest: buildMcpEdge({ core, config, log, version: "1.2.3", streamMetrics: counted.streams }),
  });
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const metrics = await listen(counted, { host: "127.0.0.1", port: 0, log });
  return {
    url,
    metrics,
    core,
    token: owner?.token ?? "",
    async call(method, path, body, headers = {}) {
      const response = await fetch(`${url}${api}${path}`, {
        method,
        headers: {
          ...headers,
          authorization: `Bearer ${owner?.token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === "" ? {} : JSON.parse(text) };
    },
    scrape: () => scrape(metrics.address),
    async close() {
      await metrics.close();
      await app.close();
      await close();
    },
  };
}

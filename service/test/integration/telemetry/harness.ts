import { makeOwner } from "../../../src/bin/owner.ts";
import { openTelemetry } from "../../../src/bin/telemetry.ts";
import { compose } from "../../../src/compose.ts";
import { loadConfig } from "../../../src/config.ts";
import { buildMcpEdge } from "../../../src/mcp/http.ts";
import { createMetrics } from "../../../src/metrics/create.ts";
import { buildApp } from "../../../src/rest/app.ts";
import type { TestDatabase } from "../../support/database.ts";

export type LogLine = Record<string, unknown>;

export interface TracedServer {
  url: string;
  token: string;
  lines: LogLine[];
  metrics: ReturnType<typeof createMetrics>;
  startUpkeep(): void;
  call(
    method: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string> },
  ): Promise<{ status: number; body: Record<string, unknown> }>;
  close(): Promise<void>;
}

/** A server as the program puts it together, with these settings beside its own. */
export async function startTraced(
  database: TestDatabase,
  settings: Record<string, string>,
): Promise<TracedServer> {
  const config = loadConfig({
    DATABASE_URL: database.connectionString,
    TASKMASTER_SESSION_SECRET: "a secret for tests, of thirty-two bytes or more",
    TASKMASTER_RATE_LIMIT_MAX: "1000000",
    ...settings,
  });
  const lines: LogLine[] = [];
  const { log, telemetry } = await openTelemetry(config, "1.2.3", {
    write: (line) => void lines.push(JSON.parse(line)),
  });
  const metrics = createMetrics({ version: "1.2.3" });
  const { core, storage, sessionKey, startUpkeep, close } = await compose(config, log, {
    metrics,
    telemetry,
  });
  const owner = await makeOwner(storage);
  if (owner === undefined) throw new Error("the database has an owner already");
  const app = await buildApp({
    core,
    config,
    log,
    sessionKey,
    lifecycle: { draining: false, obstacle: null },
    version: "1.2.3",
    guest: buildMcpEdge({ core, config, log, version: "1.2.3", observe: telemetry?.observeCall }),
    metrics: metrics.http,
    tracing: telemetry?.http,
  });
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  return {
    url,
    token: owner.token,
    lines,
    metrics,
    startUpkeep,
    async call(method, path, { body, headers } = {}) {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${owner.token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === "" ? {} : JSON.parse(text) };
    },
    async close() {
      await app.close();
      await close();
      await telemetry?.close();
    },
  };
}

import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { compose } from "../compose.ts";
import { type Config, loadConfig } from "../config.ts";
import type { OwnerToken } from "../core/access/bootstrap.ts";
import type { Storage } from "../core/storage.ts";
import type { Logger } from "../log.ts";
import { buildMcpEdge } from "../mcp/http.ts";
import type { Metrics } from "../metrics/create.ts";
import { buildApp } from "../rest/app.ts";
import type { Lifecycle } from "../rest/plugins/health.ts";
import { startServer } from "../rest/server.ts";
import { switchLevelBySignal } from "./log-level.ts";
import { type Observed, runObserved } from "./observed.ts";
import { makeOwner } from "./owner.ts";

/** Runs the server until it is told to stop. */
export async function serve({ welcome }: { welcome: boolean }): Promise<void> {
  // V8 lets its heap grow to four times what is in use before it collects. At twice, a server under load holds 270 MB instead of
  // 350, and is no slower.
  setFlagsFromString("--heap-growing-percent=100");
  const config = loadConfig(process.env);
  await runObserved(config, async (observed) => {
    const endSwitch = switchLevelBySignal(observed.log);
    await run(config, { ...observed, welcome }).finally(endSwitch);
  });
}

async function run(
  config: Config,
  { log, version, telemetry, tellDefect, welcome }: Observed & { welcome: boolean },
): Promise<void> {
  const started = performance.now();
  const metrics = await openMetrics(config, version);
  const { core, storage, sessionKey, startUpkeep, close } = await compose(config, log, {
    metrics,
    telemetry,
    tellDefect,
  });
  let closeMetrics = async () => {};
  try {
    if (metrics !== undefined && config.metricsPort !== null) {
      const { listen } = await import("../metrics/listen.ts");
      const served = await listen(metrics, { host: config.host, port: config.metricsPort, log });
      closeMetrics = served.close;
      log.info({ address: served.address }, "metrics served");
    }
    // Known before it listens: whoever sees it listen, and nothing in the way, may send at once.
    const lifecycle: Lifecycle = { draining: false, obstacle: await findObstacle(storage) };
    const makeFirst = async () => (welcome ? await makeOwner(storage) : undefined);
    // Before it listens, too: whoever finds it ready is shown the token.
    let first = lifecycle.obstacle === null ? await makeFirst() : undefined;
    const guest = buildMcpEdge({
      core,
      config,
      log,
      version,
      observe: telemetry?.observeCall,
      tellDefect,
      streamMetrics: metrics?.streams,
    });
    const app = await buildApp({
      core,
      config,
      log,
      sessionKey,
      lifecycle,
      version,
      guest,
      metrics: metrics?.http,
      tracing: telemetry?.http,
      tellDefect,
      streamMetrics: metrics?.streams,
    });
    const server = await startServer({ app, config, lifecycle, log });
    if (lifecycle.obstacle !== null) {
      await waitForSchema(storage, lifecycle, log);
      // Told to stop before it could serve.
      if (lifecycle.obstacle !== null) {
        await server.closed;
        return;
      }
      first = await makeFirst();
    }
    startUpkeep();
    log.info({ database: config.database.kind, startMs: Math.round(performance.now() - started) }, "ready");
    if (welcome) {
      // Below the log's lines, not above.
      log.flush();
      process.stdout.write(welcomeText(config.publicUrl ?? server.address, first));
    }
    await server.closed;
  } finally {
    await closeMetrics();
    await close();
  }
}

/** Loaded only where they are asked for: what they take of memory and of the start is for those who are watched. */
async function openMetrics(config: Config, version: string): Promise<Metrics | undefined> {
  if (config.metricsPort === null) return undefined;
  const { createMetrics } = await import("../metrics/create.ts");
  return createMetrics({ version });
}

/** Why the server cannot serve on its database as that is now; null when it can. */
async function findObstacle(storage: Storage): Promise<string | null> {
  const { database, migrations } = await storage.check();
  if (!database.ok) return "The database does not answer.";
  return migrations.ok ? null : migrations.detail;
}

/**
 * Waits, answering health checks meanwhile, for the migrations: a pod that ended would be started ever less often, and
 * so still be away when they are done. The obstacle is still there when the server is told to stop before.
 */
async function waitForSchema(storage: Storage, lifecycle: Lifecycle, log: Logger): Promise<void> {
  for (let said: string | null = null; lifecycle.obstacle !== null && !lifecycle.draining; ) {
    if (said !== lifecycle.obstacle) {
      log.warn({ obstacle: lifecycle.obstacle }, "waiting until the server can serve");
    }
    said = lifecycle.obstacle;
    await sleep(pollMs, undefined, { ref: false });
    lifecycle.obstacle = await findObstacle(storage);
  }
}

const pollMs = 500;

function welcomeText(url: string, first: OwnerToken | undefined): string {
  const token =
    first === undefined
      ? `Your token was shown at the first start. Lost it? In another terminal: make token`
      : `Your token (owner of the organization ${first.organization}; shown only now):\n\n  ${first.token}`;
  return `
Task Master Pro is ready at ${url}   (reference: ${url}/docs)

${token}

Paste this to make a project, import a tasks.json into it, and ask what comes next:

  export TOKEN=${first?.token ?? "…"}
  curl -sS ${url}/api/v1/projects -H "Authorization: Bearer $TOKEN" \\
    -H 'Content-Type: application/json' -d '{"key":"DEMO","name":"Demo"}' &&
  curl -sS "${url}/api/v1/projects/DEMO/import" -H "Authorization: Bearer $TOKEN" \\
    -H 'Content-Type: application/json' --data-binary @service/examples/tasks.json &&
  curl -sS "${url}/api/v1/projects/DEMO/tags/master/next" -H "Authorization: Bearer $TOKEN"

Your own file is .taskmaster/tasks/tasks.json. Ctrl+C stops the server; what it holds stays.

`;
}

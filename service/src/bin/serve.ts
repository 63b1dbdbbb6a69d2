import { setTimeout as sleep } from "node:timers/promises";
import { compose } from "../compose.ts";
import { loadConfig } from "../config.ts";
import { createFirstOwner, type OwnerToken } from "../core/access/bootstrap.ts";
import type { Storage } from "../core/storage.ts";
import { createLog, type Logger } from "../log.ts";
import { buildApp } from "../rest/app.ts";
import type { Lifecycle } from "../rest/plugins/health.ts";
import { startServer } from "../rest/server.ts";
import { readVersion } from "../version.ts";

/** Runs the server until it is told to stop. */
export async function serve({ welcome }: { welcome: boolean }): Promise<void> {
  const config = loadConfig(process.env);
  const log = createLog(config);
  const started = performance.now();
  const { core, storage, sessionKey, startUpkeep, close } = await compose(config, log);
  try {
    const lifecycle: Lifecycle = { draining: false, obstacle: "The server is starting; try again." };
    const app = await buildApp({ core, config, log, sessionKey, lifecycle, version: readVersion() });
    const server = await startServer({ app, config, lifecycle, log });
    if (!(await schemaReady(storage, lifecycle, log))) {
      await server.closed;
      return;
    }
    startUpkeep();
    const first = welcome
      ? await createFirstOwner(storage, { organization: "home", email: "owner@localhost" })
      : undefined;
    lifecycle.obstacle = null;
    log.info({ database: config.database.kind, startMs: Math.round(performance.now() - started) }, "ready");
    if (welcome) process.stdout.write(welcomeText(config.publicUrl ?? server.address, first));
    await server.closed;
  } finally {
    await close();
  }
}

/**
 * Waits, answering health checks meanwhile, for the migrations: a pod that ended would be started ever less often, and
 * so still be away when they are done. False when the server is told to stop before.
 */
async function schemaReady(storage: Storage, lifecycle: Lifecycle, log: Logger): Promise<boolean> {
  for (let said = ""; ; ) {
    if (lifecycle.draining) return false;
    const { database, migrations } = await storage.check();
    if (database.ok && migrations.ok) return true;
    const obstacle = database.ok ? migrations.detail : "The database does not answer.";
    lifecycle.obstacle = obstacle;
    if (said !== obstacle) log.warn({ obstacle }, "waiting until the server can serve");
    said = obstacle;
    await sleep(pollMs, undefined, { ref: false });
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

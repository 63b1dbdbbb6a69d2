import { compose } from "../compose.ts";
import { loadConfig } from "../config.ts";
import { createFirstOwner, type OwnerToken } from "../core/access/bootstrap.ts";
import { createLog } from "../log.ts";
import { buildApp } from "../rest/app.ts";
import { startServer } from "../rest/server.ts";
import { readVersion } from "./version.ts";

/** Runs the server until it is told to stop. */
export async function serve({ welcome }: { welcome: boolean }): Promise<void> {
  const config = loadConfig(process.env);
  const log = createLog(config);
  const started = performance.now();
  const { core, storage, sessionKey, close } = await compose(config, log);
  try {
    const first = welcome
      ? await createFirstOwner(storage, { organization: "home", email: "owner@localhost" })
      : undefined;
    const lifecycle = { draining: false };
    const app = await buildApp({ core, config, log, sessionKey, lifecycle, version: readVersion() });
    const server = await startServer({ app, config, lifecycle, log });
    log.info({ database: config.database.kind, startMs: Math.round(performance.now() - started) }, "ready");
    if (welcome) process.stdout.write(welcomeText(config.publicUrl ?? server.address, first));
    await server.closed;
  } finally {
    await close();
  }
}

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

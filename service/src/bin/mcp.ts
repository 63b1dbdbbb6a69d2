import { randomUUID } from "node:crypto";
import { type Composition, compose } from "../compose.ts";
import { type Config, loadConfig } from "../config.ts";
import { AppError, type Follower } from "../core/index.ts";
import { serveStdio } from "../mcp/stdio.ts";
import { type Observed, runObserved } from "./observed.ts";
import { actAsOwner } from "./owner.ts";

/** The MCP server on standard input and output, for a client that starts it by itself. */
export async function serveMcp(): Promise<void> {
  const config = loadConfig(process.env);
  // Standard output is the protocol's alone.
  const destination = { write: (line: string) => void process.stderr.write(line) };
  await runObserved(config, (observed) => run(config, observed), destination);
}

async function run(config: Config, { log, version, telemetry, tellDefect }: Observed): Promise<void> {
  const composition = await compose(config, log, { telemetry, tellDefect });
  try {
    const { database, migrations } = await composition.storage.check();
    if (!database.ok) throw new AppError("unavailable", "The database does not answer.");
    if (!migrations.ok) throw new AppError("unavailable", migrations.detail);
    const caller = await callerOf(config, composition);
    composition.startUpkeep();
    const { core } = composition;
    await serveStdio({
      core,
      log,
      caller,
      mode: config.mcp.mode,
      version,
      observe: telemetry?.observeCall,
      tellDefect,
    });
  } finally {
    await composition.close();
  }
}

/** Whom the calls are by: the token's owner, or who runs the program. */
async function callerOf({ mcp }: Config, { core, storage }: Composition): Promise<() => Promise<Follower>> {
  const { token } = mcp;
  if (token !== null) {
    const caller = async () => ({ ...(await core.access.fromAccessToken(token)), requestId: randomUUID() });
    await caller();
    return caller;
  }
  const caller = await actAsOwner(storage);
  return async () => ({ ...caller, requestId: randomUUID() });
}

import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { AppError } from "../core/index.ts";
import type { Logger } from "../log.ts";
import type { App } from "./http.ts";
import type { Lifecycle } from "./plugins/health.ts";

export interface ServerOptions {
  app: App;
  config: Config;
  lifecycle: Lifecycle;
  log: Logger;
}

export interface Server {
  /** Where it listens, such as http://127.0.0.1:3000. */
  address: string;
  /** Resolves when the server has stopped and everything that it opened is closed. */
  closed: Promise<void>;
}

/**
 * Listens until SIGTERM or SIGINT. Then readiness fails at once while requests are still served through the drain, so
 * that whoever sends them has time to look elsewhere; then nothing new is accepted, what is under way ends, and the
 * app's close hooks run. SIGINT comes from somebody at a terminal, who waits: there is no drain then. A second signal
 * cuts all of that short.
 */
export async function startServer({ app, config, lifecycle, log }: ServerOptions): Promise<Server> {
  const address = await app.listen({ host: config.host, port: config.port }).catch((error: unknown) => {
    throw explain(error, config);
  });

  let stop: (drainSeconds: number) => void = () => {};
  let force: () => void = () => {};
  const stopping = new Promise<number>((resolve) => {
    stop = resolve;
  });
  const forced = new Promise<void>((resolve) => {
    force = resolve;
  });
  const onSignal = (signal: NodeJS.Signals) => {
    log.info({ signal }, lifecycle.draining ? "stopping at once" : "stopping");
    if (lifecycle.draining) force();
    stop(signal === "SIGINT" ? 0 : config.shutdownDrainSeconds);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);

  async function run(): Promise<void> {
    const drainSeconds = await stopping;
    lifecycle.draining = true;
    // Unreferenced, or a drain that was cut short would still keep the process.
    await Promise.race([sleep(drainSeconds * 1000, undefined, { ref: false }), forced]);
    const closing = app.close();
    const cut = () => app.server.closeAllConnections();
    void forced.then(cut);
    // A client that never ends its request must not hold the process for ever.
    const limit = setTimeout(cut, (config.requestTimeoutSeconds + 5) * 1000);
    await closing;
    clearTimeout(limit);
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
    log.info("stopped");
  }
  return { address, closed: run() };
}

/** What an operator can mend, in a sentence; anything else as it is. */
function explain(error: unknown, { host, port }: Config): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE") {
    return new AppError(
      "conflict",
      `Port ${port} of ${host} is in use by another program; stop that one, or set PORT.`,
    );
  }
  if (code === "EACCES") {
    return new AppError("forbidden", `This user may not listen on port ${port}; set PORT to one above 1023.`);
  }
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") {
    return new AppError("invalid_input", `This machine has no address ${host}; set HOST to one that it has.`);
  }
  return error;
}

import type { Config } from "../config.ts";
import type { TellDefect } from "../defects.ts";
import type { Logger } from "../log.ts";
import type { Telemetry } from "../telemetry/create.ts";
import { readVersion } from "../version.ts";
import { withErrorReporting } from "./errors.ts";
import { openTelemetry } from "./telemetry.ts";

export interface Observed {
  log: Logger;
  version: string;
  telemetry: Telemetry | undefined;
  tellDefect: TellDefect;
}

/** Runs a program that runs for long, watched as the configuration asks for; what watches it ends after it. */
export async function runObserved(
  config: Config,
  work: (observed: Observed) => Promise<void>,
  destination?: { write(line: string): void },
): Promise<void> {
  const version = readVersion();
  const { log, telemetry } = await openTelemetry(config, version, destination);
  await withErrorReporting(config, { log, version }, async (tellDefect) => {
    try {
      await work({ log, version, telemetry, tellDefect });
    } finally {
      await telemetry?.close();
    }
  });
}

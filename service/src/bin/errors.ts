import type { Config } from "../config.ts";
import type { TellDefect } from "../defects.ts";
import type { Logger } from "../log.ts";
import { isExplained } from "./explained.ts";

/**
 * Runs a program that runs for long. What nobody caught is a line of the log, is told, and ends the process with exit code 1,
 * as it would without; so is what the work itself fails of, unless an operator can mend it.
 */
export async function withErrorReporting(
  config: Config,
  { log, version }: { log: Logger; version: string },
  work: (tellDefect: TellDefect) => Promise<void>,
): Promise<void> {
  const { tell, close } = await open(config, log, version);
  let crashed = false;
  const onCrash = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin) => {
    log.fatal({ err: error, origin }, "crashed");
    if (crashed) return;
    crashed = true;
    tell(error, { part: "process", what: origin });
    void close().finally(() => process.exit(1));
  };
  process.on("uncaughtException", onCrash);
  try {
    await work(tell);
  } catch (error) {
    if (!isExplained(error)) tell(error, { part: "process", what: "start" });
    throw error;
  } finally {
    await close();
    process.off("uncaughtException", onCrash);
  }
}

/** Loaded only where somebody is to be told: what it takes of memory is for those who are. */
async function open({ sentry }: Config, log: Logger, version: string) {
  if (sentry === null) return { tell: () => {}, close: async () => {} };
  const { openSentry } = await import("../error-reporting/sentry.ts");
  return openSentry(sentry, { version, log });
}

import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { ConfigError } from "../config.ts";
import type { Logger } from "../log.ts";

export const pollMs = 1000;

/** Throws ConfigError: at the start there is nothing good from before to go on with. */
export function readDefinitions<T>(file: string, take: (text: string) => T): T {
  try {
    return take(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ConfigError([
      `TASKMASTER_FLAGS_FILE ${JSON.stringify(file)} cannot be used. ${reasonOf(error)}`,
    ]);
  }
}

/**
 * Calls `take` whenever the file changes. Polled, because a Kubernetes ConfigMap changes by a symbolic link that is
 * swapped, of which the system's own notices say nothing to whoever watches the file.
 */
export function watchDefinitions(file: string, take: (text: string) => void, log: Logger): () => void {
  const look = () => {
    try {
      take(readFileSync(file, "utf8"));
      log.info({ file }, "flags read anew");
    } catch (error) {
      log.warn({ file, reason: reasonOf(error) }, "the flags' file cannot be used; those from before stay");
    }
  };
  watchFile(file, { interval: pollMs, persistent: false }, look);
  return () => unwatchFile(file, look);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

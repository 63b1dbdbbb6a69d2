import type { FlagConfig } from "../config.ts";
import type { Flags } from "../core/flags/service.ts";
import { flagDefault } from "../core/index.ts";
import type { Logger } from "../log.ts";

export interface OpenFlags {
  flags: Flags;
  close(): Promise<void>;
}

/**
 * The flags of the configuration: its own settings first, then the file's or flagd's, then the default. Throws
 * ConfigError for a file that cannot be used; a flagd that is away is waited for for half a second.
 */
export async function openFlags(config: FlagConfig, log: Logger): Promise<OpenFlags> {
  if (config.settings.length === 0 && config.file === null && config.flagd === null) {
    return {
      flags: { evaluate: async () => ({ on: flagDefault, reason: "default" }) },
      close: async () => {},
    };
  }
  // A tenth of a start, for those who have flags.
  const { openSources } = await import("./sources.ts");
  return await openSources(config, log);
}

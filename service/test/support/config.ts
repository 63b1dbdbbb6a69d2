import { ConfigError, loadConfig } from "../../src/config.ts";

/** What is wrong with these settings; nothing where they are good. */
export function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** What the command line, as a client of a server, takes from its environment. */
export interface ClientConfig {
  /** The server to work on, as it was given; null when a profile or a folder decides. */
  server: string | null;
  /** The access token for that server. */
  token: string | null;
  /** The access token for the Prometheus that service levels are read from. */
  prometheusToken: string | null;
  /** Where the profiles are kept. */
  directory: string;
}

/**
 * The client's part of the configuration. Apart from config.ts, which compiles the schema of every setting of the
 * server: a list of tasks should not wait for that, nor fail for a DATABASE_URL that is another program's.
 */
export function loadClientConfig(env: Record<string, string | undefined>): ClientConfig {
  const given = (name: string) => {
    const value = env[name]?.trim();
    return value === undefined || value === "" ? null : value;
  };
  // The XDG base directory specification: a relative path is no setting.
  const base = given("XDG_CONFIG_HOME");
  const root = base !== null && isAbsolute(base) ? base : join(given("HOME") ?? homedir(), ".config");
  return {
    server: given("TASKMASTER_SERVER"),
    token: given("TASKMASTER_TOKEN"),
    prometheusToken: given("TASKMASTER_PROMETHEUS_TOKEN"),
    directory: join(root, "task-master-pro"),
  };
}

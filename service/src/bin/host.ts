import type { Host } from "../cli/host.ts";
import { loadClientConfig } from "../client-config.ts";

/** What this process gives to the command line. */
export function createHost(): Host {
  return {
    exitCode: 0,
    config: loadClientConfig(process.env),
    environment: process.env,
    cwd: process.cwd(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    async openFile(path) {
      const { openLocal } = await import("./local.ts");
      return await openLocal(path);
    },
    async openProgress() {
      if (!process.stderr.isTTY) return undefined;
      const { openProgress } = await import("./progress.ts");
      return openProgress();
    },
    onInterrupt() {
      const controller = new AbortController();
      const stop = () => controller.abort();
      process.on("SIGINT", stop);
      process.on("SIGTERM", stop);
      return {
        signal: controller.signal,
        dispose() {
          process.off("SIGINT", stop);
          process.off("SIGTERM", stop);
        },
      };
    },
  };
}

import type { Config } from "../config.ts";
import { createLog, type Logger } from "../log.ts";
import type { Telemetry } from "../telemetry/create.ts";

/**
 * The log, and the traces that its lines name. These are loaded only where they are asked for: what they take of memory and of the
 * start is for those who look at them.
 */
export async function openTelemetry(
  config: Config,
  version: string,
  destination?: { write(line: string): void },
): Promise<{ log: Logger; telemetry: Telemetry | undefined }> {
  if (config.tracing === null) return { log: createLog(config, destination), telemetry: undefined };
  const { createTelemetry } = await import("../telemetry/create.ts");
  let telemetry: Telemetry | undefined;
  const log = createLog(config, destination, () => telemetry?.logFields());
  telemetry = createTelemetry(config.tracing, { version, log });
  return { log, telemetry };
}

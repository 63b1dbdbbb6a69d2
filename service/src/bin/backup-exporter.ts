import { readMetrics, renderScrape } from "../backup/metrics.ts";
import { openStore } from "../backup/open-store.ts";
import { loadConfig } from "../config.ts";
import { createLog } from "../log.ts";

/** The server's default in the chart, and Prometheus' list of ports has it for OpenTelemetry's. */
const defaultPort = 9464;
/** Backups change once an hour; who asks an object store is billed for it. */
const keepMs = 30_000;

/** Serves to Prometheus what the backup commands wrote beside the backups, until it is told to stop. */
export async function exportBackups(): Promise<void> {
  const config = loadConfig(process.env, { session: false });
  const log = createLog(config);
  const { listen } = await import("../metrics/listen.ts");
  const { createReading } = await import("../metrics/reading.ts");
  const store = await openStore(config.backup.target);
  const reading = createReading(
    async () => {
      try {
        return { written: await readMetrics(store) };
      } catch (error) {
        log.warn({ err: error, place: store.place }, "failed: backups read");
        throw error;
      }
    },
    { keepMs },
  );
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  try {
    const { address, close } = await listen(
      {
        text: async () => ({
          text: await renderScrape(await reading.current()),
          contentType: "text/plain; version=0.0.4; charset=utf-8",
        }),
      },
      { host: config.host, port: config.metricsPort ?? defaultPort, log },
    );
    log.info({ address, place: store.place }, "metrics served");
    await stopped;
    await close();
  } finally {
    await store.close();
  }
}

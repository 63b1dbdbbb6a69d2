import { Gauge, Registry } from "prom-client";
import { readCatalog } from "./catalog.ts";
import { readDrills } from "./drill.ts";
import type { BackupRun } from "./run.ts";
import type { BackupStore } from "./store.ts";

const metricsName = "metrics.prom";

/**
 * Writes what an alert needs to know of the backups beside them, in the text form of Prometheus, worked out anew from
 * what is there: age, size and duration of the newest, when one was last proven, and what came of the last drill.
 */
export async function writeMetrics(run: Pick<BackupRun, "store">): Promise<void> {
  const { entries, damaged } = await readCatalog(run.store);
  const drill = (await readDrills(run)).at(-1);
  const registry = new Registry();
  const gauge = (name: string, help: string, value: number | undefined) => {
    // What never happened has no sample, so that an alert on absence can tell.
    if (value === undefined) return;
    new Gauge({ name: `taskmaster_backup_${name}`, help, registers: [registry] }).set(value);
  };
  const seconds = (text: string | null | undefined) =>
    text === null || text === undefined ? undefined : new Date(text).getTime() / 1000;
  const latest = (member: "checkedAt" | "restoredAt") =>
    seconds(
      entries
        .map(({ marks }) => marks[member])
        .filter((at) => at !== null)
        .sort()
        .at(-1),
    );
  const newest = entries.at(-1);
  const proven = entries.filter(({ marks }) => marks.restoredAt !== null).at(-1);

  gauge("backups", "Complete backups that there are.", entries.length);
  gauge("damaged", "Backups whose manifest cannot be read.", damaged.length);
  gauge(
    "last_success_timestamp_seconds",
    "When the newest backup was made; the moment that it holds.",
    seconds(newest?.manifest.snapshot.at),
  );
  gauge("last_success_size_bytes", "Size of the newest backup as stored.", newest?.manifest.bytes);
  gauge(
    "last_success_duration_seconds",
    "How long the newest backup took.",
    newest === undefined ? undefined : newest.manifest.durationMs / 1000,
  );
  gauge(
    "last_checked_timestamp_seconds",
    "When every file of a backup was last found whole.",
    latest("checkedAt"),
  );
  gauge(
    "last_restored_timestamp_seconds",
    "When a backup was last restored, with every count and hash equal.",
    latest("restoredAt"),
  );
  gauge(
    "newest_proven_timestamp_seconds",
    "The moment that the newest backup holds that was proven by a restore.",
    seconds(proven?.manifest.snapshot.at),
  );
  gauge("drill_timestamp_seconds", "When the last drill began.", seconds(drill?.startedAt));
  gauge(
    "drill_success",
    "Whether the last drill succeeded.",
    drill === undefined ? undefined : Number(drill.ok),
  );
  gauge(
    "drill_rto_seconds",
    "How long the last successful drill took, from the first byte to a served request.",
    drill?.ok === true ? drill.rtoSeconds : undefined,
  );
  await run.store.writeRoot(metricsName, await registry.metrics());
}

/** What the last command wrote there; undefined where no command has yet. Rejects where the place does not answer. */
export async function readMetrics(store: BackupStore): Promise<string | undefined> {
  return await store.readRoot(metricsName);
}

/** For whoever scrapes: what was found, and whether anything could be; undefined where it could not. */
export async function renderScrape(found: { written: string | undefined } | undefined): Promise<string> {
  const registry = new Registry();
  new Gauge({
    name: "taskmaster_reading_success",
    help: "Whether the last reading of the storage succeeded.",
    labelNames: ["reading"],
    registers: [registry],
  }).set({ reading: "backups" }, Number(found !== undefined));
  return `${found?.written ?? ""}${await registry.metrics()}`;
}

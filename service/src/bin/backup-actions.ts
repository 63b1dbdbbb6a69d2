import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { setFlagsFromString } from "node:v8";
import { type Entry, readCatalog, resolveId } from "../backup/catalog.ts";
import { createBackup } from "../backup/create.ts";
import { type DrillReport, drillBackup } from "../backup/drill.ts";
import { createDecryption, createEncryption, readIdentities } from "../backup/encryption.ts";
import { createForms } from "../backup/forms.ts";
import type { Manifest } from "../backup/manifest.ts";
import { writeMetrics } from "../backup/metrics.ts";
import { openStore } from "../backup/open-store.ts";
import { pruneBackups } from "../backup/prune.ts";
import { restoreBackup } from "../backup/restore.ts";
import type { BackupRun } from "../backup/run.ts";
import { verifyBackup } from "../backup/verify.ts";
import { type Config, loadConfig } from "../config.ts";
import { AppError } from "../core/errors.ts";
import { readVersion } from "../version.ts";
import { onDatabase } from "./database.ts";
import { print } from "./print.ts";
import { openProgress } from "./progress.ts";
import { trySmoke } from "./trial.ts";

interface Flags {
  json?: boolean;
}
interface RestoreFlags extends Flags {
  replace?: boolean;
  confirm?: string;
  migrate: boolean;
  allowContract?: boolean;
  allowDataLoss?: boolean;
}
interface PruneFlags extends Flags {
  keepDaily: number;
  keepWeekly: number;
  keepMonthly: number;
  dryRun?: boolean;
}

/** Runs a command on the backups; a signal ends it after it has cleaned up, a second one at once. */
async function onBackups<T>(work: (run: BackupRun, config: Config) => Promise<T>): Promise<T> {
  // Streams leave buffers behind that are collected with the young objects. Where these have much room, that is seldom:
  // a backup of 0.5 GB then takes 183 MB of memory instead of 107 MB, and is no quicker.
  setFlagsFromString("--semi-space-growth-factor=1");
  const config = loadConfig(process.env, { session: false });
  const { recipients, identityFile, scratchDirectory, target } = config.backup;
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort(new AppError("unavailable", `Stopped by ${signal}; nothing half done is left.`));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const progress = openProgress();
  const store = await openStore(target);
  try {
    return await work(
      {
        store,
        forms: createForms(process.env),
        encryption: recipients.length === 0 ? null : createEncryption([...recipients]),
        decryption: identityFile === null ? null : createDecryption(await readKeys(identityFile)),
        scratchDirectory,
        program: readVersion(),
        progress,
        signal: controller.signal,
      },
      config,
    );
  } catch (error) {
    // What was aborted fails in many ways; why, only the signal knows.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    progress.close();
    await store.close();
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

async function readKeys(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new AppError(
      "invalid_input",
      `TASKMASTER_BACKUP_AGE_IDENTITY_FILE cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  });
  return readIdentities(text);
}

export async function create({ json }: Flags): Promise<void> {
  const manifest = await onBackups(async (run, config) => {
    const made = await onDatabase(config, async (database) => await createBackup(run, database));
    await writeMetrics(run);
    return made;
  });
  print(
    json,
    manifest,
    `Backup ${manifest.id}: ${describe(manifest)}, in ${seconds(manifest.durationMs / 1000)}.`,
  );
}

function describe({ tables, bytes, encryption, schema }: Manifest): string {
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  return `${rows} rows in ${tables.length} tables, ${size(bytes)}, ${encryption === null ? "not encrypted" : "encrypted"}, schema ${schema.head}`;
}

export async function list({ json }: Flags): Promise<void> {
  const catalog = await onBackups(async (run) => await readCatalog(run.store));
  const rows = [
    ["BACKUP", "MADE", "SIZE", "ROWS", "SCHEMA", "ENCRYPTED", "CHECKED", "RESTORED"],
    ...catalog.entries.map(row),
  ];
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  const lines = rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const damaged = catalog.damaged.map(({ id, problem }) => `${id}  DAMAGED: ${problem}`);
  const none = "There is no backup yet. Make one: task-master-pro backup create";
  print(
    json,
    {
      backups: catalog.entries.map(({ manifest: { files, tables, sequences, ...rest }, marks }) => ({
        ...rest,
        files: files.length,
        tables: tables.length,
        rows: tables.reduce((sum, table) => sum + table.rows, 0),
        ...marks,
      })),
      damaged: catalog.damaged,
    },
    rows.length === 1 && damaged.length === 0 ? none : [...lines, ...damaged].join("\n"),
  );
}

function row({ id, manifest, marks }: Entry): string[] {
  return [
    id,
    minute(manifest.createdAt),
    size(manifest.bytes),
    String(manifest.tables.reduce((sum, table) => sum + table.rows, 0)),
    manifest.schema.head ?? "",
    manifest.encryption === null ? "no" : "yes",
    marks.checkedAt === null ? "never" : minute(marks.checkedAt),
    marks.restoredAt === null ? "never" : `${minute(marks.restoredAt)} in ${seconds(marks.rtoSeconds ?? 0)}`,
  ];
}

export async function verify(
  id: string | undefined,
  { all, json }: Flags & { all?: boolean },
): Promise<void> {
  const results = await onBackups(async (run) => {
    const ids = all === true ? await run.store.list() : [await resolveId(run.store, id)];
    const found: { id: string; ok: boolean; problem: string | null; errors: AppError["errors"] }[] = [];
    for (const one of ids) {
      try {
        await verifyBackup(run, one);
        found.push({ id: one, ok: true, problem: null, errors: [] });
      } catch (error) {
        if (!(error instanceof AppError) || run.signal.aborted) throw error;
        found.push({ id: one, ok: false, problem: error.message, errors: error.errors });
      }
    }
    await writeMetrics(run);
    return found;
  });
  print(
    json,
    { backups: results },
    results.map((one) => (one.ok ? `whole    ${one.id}` : `DAMAGED  ${one.id}: ${one.problem}`)).join("\n"),
  );
  if (results.some(({ ok }) => !ok)) process.exitCode = 1;
}

export async function restore(id: string | undefined, flags: RestoreFlags): Promise<void> {
  const report = await onBackups(
    async (run, config) =>
      await onDatabase(config, async ({ connectionString, embedded }) => {
        const wanted = await resolveId(run.store, id);
        const done = await restoreBackup(run, {
          id: wanted,
          connectionString,
          embedded,
          replace: flags.replace === true,
          confirm: async (database) => await confirm(database, wanted, flags.confirm),
          migrate: flags.migrate,
          allowContract: flags.allowContract === true,
          allowDataLoss: flags.allowDataLoss === true,
        });
        await writeMetrics(run).catch(() => {});
        return done;
      }),
  );
  const lines = [
    `Restored ${report.id} into ${report.database}: ${report.rows} rows in ${report.tables} tables, every count and hash equal, in ${seconds(report.seconds)}.`,
    ...report.migrated.map((name) => `applied  ${name}`),
  ];
  if (report.kept !== null) {
    lines.push(
      `What was there before is backed up as ${report.safetyBackup}, and kept, with all that was written since, in the database`,
      `${report.kept}. Once you are sure: DROP DATABASE "${report.kept}";`,
    );
  }
  print(flags.json, report, lines.join("\n"));
}

/** Asks twice where somebody is there to answer; a script says the database's name instead. */
async function confirm(name: string, id: string, given: string | undefined): Promise<void> {
  if (given === undefined && process.stdin.isTTY) {
    const ask = createInterface({ input: process.stdin, output: process.stderr });
    try {
      const first = await ask.question(
        `Backup ${id} will take the place of all that ${name} holds, and every client is cut off for a moment.\nType the database's name to go on: `,
      );
      const second = first.trim() === name ? await ask.question("Really? (yes/no) ") : "no";
      if (second.trim().toLowerCase() === "yes") return;
      throw new AppError("invalid_input", "Not confirmed. Nothing was changed.");
    } finally {
      ask.close();
    }
  }
  if (given === name) return;
  throw new AppError(
    "invalid_input",
    given === undefined
      ? `Nobody is there to ask. To replace what is in ${name}: --confirm ${name}`
      : `--confirm says ${given}, and the database is ${name}. Nothing was changed.`,
  );
}

export async function drill(id: string | undefined, { json }: Flags): Promise<void> {
  const report = await onBackups(async (run, config) => {
    const wanted = await resolveId(run.store, id);
    const perform = async (connectionString: string) =>
      await drillBackup(run, {
        id: wanted,
        connectionString,
        smoke: async (restored) => await trySmoke(restored, run.signal),
      }).finally(async () => await writeMetrics(run));
    return config.backup.drillUrl === null
      ? await onDatabase(config, async ({ connectionString }) => await perform(connectionString))
      : await perform(config.backup.drillUrl);
  });
  print(json, report, drillText(report));
}

function drillText(report: DrillReport): string {
  const { fetchSeconds, loadSeconds, smokeSeconds } = report.phases;
  const steps = report.smoke?.steps ?? [];
  const perGb = report.rtoSeconds / (report.databaseBytes / 1e9);
  return [
    `Drill of ${report.id}: proven. ${report.rows} rows in ${report.tables} tables, every count and hash equal.`,
    `RTO ${seconds(report.rtoSeconds)} (fetch ${seconds(fetchSeconds)}, load and compare ${seconds(loadSeconds)}, smoke test ${seconds(smokeSeconds)}),`,
    // Of a small one, most of the time is what every drill takes.
    `for a database of ${size(report.databaseBytes)}${report.databaseBytes < 1e8 ? "" : `: ${seconds(perGb)} a GB`}.`,
    ...steps.map(({ name, ms }) => `  ok ${name} (${Math.round(ms)} ms)`),
  ].join("\n");
}

export async function prune(flags: PruneFlags): Promise<void> {
  const rule = { daily: flags.keepDaily, weekly: flags.keepWeekly, monthly: flags.keepMonthly };
  const dryRun = flags.dryRun === true;
  const report = await onBackups(async (run) => {
    const done = await pruneBackups(run, rule, { dryRun });
    if (!dryRun) await writeMetrics(run);
    return done;
  });
  const verb = dryRun ? "would remove" : "removed";
  const lines = [
    ...report.keep.map(({ id, reasons }) => `keep          ${id}  ${reasons.join(", ")}`),
    ...report.remove.map((id) => `${verb.padEnd(13)} ${id}`),
    ...report.incomplete.map((id) => `${verb.padEnd(13)} ${id}  a run that was cut off`),
    ...report.damaged.map(({ id, problem }) => `left alone    ${id}  ${problem}`),
  ];
  print(flags.json, report, lines.length === 0 ? "There is no backup yet." : lines.join("\n"));
}

function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

function seconds(value: number): string {
  return value < 120 ? `${value.toFixed(1)} s` : `${(value / 60).toFixed(1)} min`;
}

function minute(instant: string): string {
  return instant.slice(0, 16).replace("T", " ");
}

import { AppError } from "../core/errors.ts";
import { loadManifest } from "./catalog.ts";
import type { Manifest } from "./manifest.ts";
import { mark, unmark } from "./marks.ts";
import { fetchFiles, load } from "./restore.ts";
import { type BackupRun, withScratch } from "./run.ts";
import { connectForBackup } from "./snapshot.ts";
import { inspectTarget, makeAside, type Target } from "./target.ts";

/** What came of trying the restored database as a client would. */
export interface Smoke {
  ok: boolean;
  steps: { name: string; ok: boolean; ms: number; detail: string }[];
  ms: number;
}

export interface DrillReport {
  id: string;
  ok: boolean;
  /** Why not; null when it is. */
  problem: string | null;
  startedAt: string;
  /** From the first byte fetched to the end of the smoke test: how long a real restore would take. */
  rtoSeconds: number;
  phases: { fetchSeconds: number; loadSeconds: number; smokeSeconds: number };
  tables: number;
  rows: number;
  /** Of the backup as it is stored. */
  backupBytes: number;
  /** Of the database that was made of it. */
  databaseBytes: number;
  smoke: Smoke | null;
}

export interface DrillOptions {
  id: string;
  /** A server whose user may make databases. */
  connectionString: string;
  /** Brings the restored database to this program's schema and works with it. */
  smoke(connectionString: string): Promise<Smoke>;
}

/** The drills so far, newest last, as many as are of interest. */
const historyName = "drills.json";
const historyLength = 100;

/**
 * Proves a backup by restoring it into a database aside, comparing every count and hash, and working with it. What
 * came of it is kept at the store, also when it failed. Throws AppError when it did.
 */
export async function drillBackup(run: BackupRun, options: DrillOptions): Promise<DrillReport> {
  const report: DrillReport = {
    id: options.id,
    ok: false,
    problem: null,
    startedAt: new Date().toISOString(),
    rtoSeconds: 0,
    phases: { fetchSeconds: 0, loadSeconds: 0, smokeSeconds: 0 },
    tables: 0,
    rows: 0,
    backupBytes: 0,
    databaseBytes: 0,
    smoke: null,
  };
  try {
    await perform(run, options, report);
    const at = new Date().toISOString();
    await mark(run.store, report.id, { checkedAt: at, restoredAt: at, rtoSeconds: report.rtoSeconds });
    report.ok = true;
    return report;
  } catch (error) {
    report.problem = error instanceof Error ? error.message : String(error);
    // Not for a server that cannot be reached or may not be used: that says nothing of the backup.
    if (error instanceof AppError && error.code === "conflict") {
      await unmark(run.store, report.id).catch(() => {});
    }
    throw error;
  } finally {
    const history = [...(await readDrills(run)), report].slice(-historyLength);
    await run.store.writeRoot(historyName, `${JSON.stringify(history, null, 2)}\n`);
  }
}

export async function readDrills({ store }: Pick<BackupRun, "store">): Promise<DrillReport[]> {
  const text = await store.readRoot(historyName);
  return text === undefined ? [] : (JSON.parse(text) as DrillReport[]);
}

async function perform(run: BackupRun, options: DrillOptions, report: DrillReport): Promise<void> {
  const manifest = await loadManifest(run.store, options.id);
  report.tables = manifest.tables.length;
  report.rows = manifest.tables.reduce((sum, { rows }) => sum + rows, 0);
  report.backupBytes = manifest.bytes;
  const server = await inspectTarget(options.connectionString);
  if (!server.canCreate) {
    throw new AppError(
      "forbidden",
      `A drill restores into a database of its own, and the user of ${server.name} may not make one. ` +
        "Allow it (ALTER ROLE … CREATEDB), or name another server in TASKMASTER_BACKUP_DRILL_DATABASE_URL.",
    );
  }
  await run.forms[manifest.data.form].prepare(server.major);
  await withScratch(
    run,
    async (scratch) => await restoreAndTry(run, manifest, server, scratch, options, report),
  );
}

async function restoreAndTry(
  run: BackupRun,
  manifest: Manifest,
  server: Target,
  scratch: string,
  options: DrillOptions,
  report: DrillReport,
): Promise<void> {
  const clock = stopwatch();
  const folder = await fetchFiles(run, manifest, scratch);
  report.phases.fetchSeconds = clock();
  const aside = await makeAside(options.connectionString, server.name, "drill");
  try {
    await load(run, manifest, folder, server, aside.connectionString, false);
    report.phases.loadSeconds = clock();
    report.smoke = await options.smoke(aside.connectionString);
    report.phases.smokeSeconds = clock();
    const { fetchSeconds, loadSeconds, smokeSeconds } = report.phases;
    report.rtoSeconds = fetchSeconds + loadSeconds + smokeSeconds;
    report.databaseBytes = await sizeOf(aside.connectionString);
  } finally {
    await aside.drop();
  }
  const failed = report.smoke.steps.filter(({ ok }) => !ok);
  if (!report.smoke.ok) {
    throw new AppError(
      "conflict",
      `The restored database of ${manifest.id} does not serve: ${failed.map(({ name, detail }) => `${name}: ${detail}`).join("; ")}`,
    );
  }
}

/** Seconds since the last call. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
}

async function sizeOf(connectionString: string): Promise<number> {
  const client = await connectForBackup(connectionString);
  try {
    const { rows } = await client.query<{ size: string }>(
      "SELECT pg_database_size(current_database()) AS size",
    );
    return Number(rows[0]?.size);
  } finally {
    await client.end();
  }
}

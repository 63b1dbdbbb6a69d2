import { mkdir } from "node:fs/promises";
import path from "node:path";
import { AppError, type InputError } from "../core/errors.ts";
import { applyMigrations } from "../migrate/apply.ts";
import { loadManifest } from "./catalog.ts";
import { fetchFile } from "./check-files.ts";
import { hashTable, listSequences, listTables } from "./contents.ts";
import { createBackup } from "./create.ts";
import type { Manifest } from "./manifest.ts";
import { manifestName, marksName } from "./manifest.ts";
import { mark } from "./marks.ts";
import { type BackupRun, withScratch } from "./run.ts";
import { connectForBackup } from "./snapshot.ts";
import { dropDatabase, inspectTarget, makeAside, swap, type Target } from "./target.ts";

export interface RestoreOptions {
  id: string;
  connectionString: string;
  embedded: boolean;
  /** Whether a database that holds something may be replaced. */
  replace: boolean;
  /** Asked with the database's name before one that holds something is replaced; throws to refuse. */
  confirm?: (database: string) => Promise<void>;
  /** Whether to bring the schema to that of this program afterwards. */
  migrate: boolean;
  allowContract?: boolean;
  allowDataLoss?: boolean;
}

export interface RestoreReport {
  id: string;
  database: string;
  tables: number;
  rows: number;
  /** Migrations that were applied on top of the backup's schema. */
  migrated: string[];
  /** The backup made of what was there before; null when nothing was. */
  safetyBackup: string | null;
  /** The database that what was there before is kept in; null when nothing was. */
  kept: string | null;
  seconds: number;
}

/**
 * Restores a backup. Every file is compared with the manifest before the database is touched, and every count and hash
 * afterwards. Where the database's user may, it happens in a database aside that takes the place of the real one in
 * the end, in one transaction: killed at any moment, the database is as it was or as it shall be.
 */
export async function restoreBackup(run: BackupRun, options: RestoreOptions): Promise<RestoreReport> {
  const started = Date.now();
  const { connectionString } = options;
  const manifest = await loadManifest(run.store, options.id);
  const target = await inspectTarget(connectionString);
  refuse(manifest, target, options);
  await run.forms[manifest.data.form].prepare(target.major);
  if (!target.empty) {
    await run.store.check();
    await options.confirm?.(target.name);
  }
  return await withScratch(run, async (scratch) => {
    const folder = await fetchFiles(run, manifest, scratch);
    const result = target.canSwap
      ? await restoreAside(run, manifest, folder, target, options)
      : await restoreInPlace(run, manifest, folder, target, options);
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    const now = new Date().toISOString();
    const seconds = (Date.now() - started) / 1000;
    // What is proven is known here whether or not the store can be written to.
    await mark(run.store, manifest.id, { checkedAt: now, restoredAt: now, rtoSeconds: seconds }).catch(
      () => {},
    );
    return {
      id: manifest.id,
      database: target.name,
      tables: manifest.tables.length,
      rows,
      ...result,
      seconds,
    };
  });
}

type Outcome = Pick<RestoreReport, "migrated" | "safetyBackup" | "kept">;

async function restoreAside(
  run: BackupRun,
  manifest: Manifest,
  folder: string,
  target: Target,
  options: RestoreOptions,
): Promise<Outcome> {
  const { connectionString, embedded } = options;
  const aside = await makeAside(connectionString, target.name, "restore");
  try {
    await load(run, manifest, folder, target, aside.connectionString, false);
    const migrated = await migrate(aside.connectionString, options);
    const safety = target.empty ? null : await createBackup(run, { connectionString, embedded });
    run.signal.throwIfAborted();
    run.progress.say({ event: "swap", database: target.name }, `Putting it in the place of ${target.name}`);
    const kept = await swap(connectionString, target.name, aside.name);
    await aside.keep();
    if (target.empty) await dropDatabase(connectionString, kept);
    return { migrated, safetyBackup: safety?.id ?? null, kept: target.empty ? null : kept };
  } catch (error) {
    await aside.drop().catch(() => {});
    throw error;
  }
}

/** Without the right to make a database, in one transaction into the empty one. */
async function restoreInPlace(
  run: BackupRun,
  manifest: Manifest,
  folder: string,
  target: Target,
  options: RestoreOptions,
): Promise<Outcome> {
  await load(run, manifest, folder, target, options.connectionString, true);
  const migrated = await migrate(options.connectionString, options);
  return { migrated, safetyBackup: null, kept: null };
}

async function migrate(connectionString: string, options: RestoreOptions): Promise<string[]> {
  if (!options.migrate) return [];
  const { allowContract = false, allowDataLoss = false } = options;
  return await applyMigrations(connectionString, { allowContract, allowDataLoss });
}

/** Every refusal that can be known before the first byte is read. */
function refuse(manifest: Manifest, target: Target, { replace }: RestoreOptions): void {
  if (manifest.data.form === "pg_dump" && manifest.server.major > target.major) {
    throw new AppError(
      "conflict",
      `Backup ${manifest.id} is of PostgreSQL ${manifest.server.major}, and ${target.name} is on PostgreSQL ${target.major}, which cannot read it. Restore it on PostgreSQL ${manifest.server.major} or newer.`,
    );
  }
  if (target.empty) return;
  if (!replace) {
    const some = target.holds.slice(0, 3).join(", ");
    throw new AppError(
      "conflict",
      `The database ${target.name} is not empty: it holds ${some}${target.holds.length > 3 ? ` and ${target.holds.length - 3} more` : ""}. ` +
        "Name an empty one in DATABASE_URL, or replace what is there by: --replace",
    );
  }
  if (target.installation === null) {
    throw new AppError(
      "conflict",
      `The database ${target.name} holds what is not of this program, so it is not replaced. Name the right one in DATABASE_URL, or an empty one.`,
    );
  }
  if (target.installation !== manifest.database.installation) {
    throw new AppError(
      "conflict",
      `Backup ${manifest.id} is of another installation (${manifest.database.installation}, database ${manifest.database.name}) ` +
        `than ${target.name} (${target.installation}). To have its data there all the same, restore it into an empty database.`,
    );
  }
  if (!target.canSwap) {
    throw new AppError(
      "forbidden",
      `To replace ${target.name}, its user must own it and may make databases (ALTER ROLE … CREATEDB): the backup is restored beside it and the two are exchanged. ` +
        "Or restore it into an empty database, and point DATABASE_URL there.",
    );
  }
}

/** Brings every file of a backup here, compared with the manifest on the way. Returns the folder with the data. */
export async function fetchFiles(run: BackupRun, manifest: Manifest, scratch: string): Promise<string> {
  if (manifest.encryption !== null && run.decryption === null) {
    throw new AppError(
      "invalid_input",
      `Backup ${manifest.id} is encrypted for ${manifest.encryption.recipients.join(", ")}. ` +
        "Name the file with the key in TASKMASTER_BACKUP_AGE_IDENTITY_FILE.",
    );
  }
  await refuseStrangers(run, manifest);
  const decryption = manifest.encryption === null ? null : run.decryption;
  const folder = path.join(scratch, "data");
  await mkdir(folder, { mode: 0o700 });
  let fetched = 0;
  for (const file of manifest.files) {
    const stored = file.name.replace(/^data\//, "");
    const name = decryption === null ? stored : stored.replace(/\.age$/, "");
    await fetchFile(run.store, manifest, file, path.join(folder, name), decryption, {
      signal: run.signal,
      onProgress(bytes) {
        fetched += bytes;
        run.progress.step("fetch", fetched, manifest.bytes);
      },
    });
  }
  return folder;
}

/** A file that the manifest does not name came from somewhere else, and so may others. */
async function refuseStrangers(run: BackupRun, manifest: Manifest): Promise<void> {
  const known = new Set([manifestName, marksName, ...manifest.files.map(({ name }) => name)]);
  const strangers = (await run.store.files(manifest.id)).filter(({ name }) => !known.has(name));
  if (strangers.length === 0) return;
  const errors = strangers.map(
    ({ name }): InputError => ({ pointer: name, detail: "is no file of this backup" }),
  );
  throw new AppError(
    "conflict",
    `Backup ${manifest.id} is damaged: ${errors.map(({ pointer, detail }) => `${pointer} ${detail}`).join("; ")}.`,
    { errors },
  );
}

/** Loads the data into an empty database and compares every table with the manifest. */
export async function load(
  run: BackupRun,
  manifest: Manifest,
  folder: string,
  server: Pick<Target, "major" | "roles">,
  connectionString: string,
  atomic: boolean,
): Promise<void> {
  const missing = manifest.database.grantees.filter((role) => !server.roles.has(role));
  if (missing.length > 0) {
    run.progress.say(
      { event: "warning", text: "grants left out", roles: missing },
      `This server has no role ${missing.join(", ")}, so what was granted to anybody is left out; grant it again.`,
    );
  }
  await run.forms[manifest.data.form].load(server.major, {
    connectionString,
    folder,
    sequences: manifest.sequences,
    atomic,
    grants: missing.length === 0,
    onStep: (done, total) => run.progress.step("load", done, total),
    signal: run.signal,
  });
  await compare(run, manifest, connectionString);
}

async function compare(run: BackupRun, manifest: Manifest, connectionString: string): Promise<void> {
  const client = await connectForBackup(connectionString);
  try {
    const tables = await listTables(client);
    const wanted = new Map(manifest.tables.map((table) => [`${table.schema}.${table.name}`, table]));
    const faults: InputError[] = [];
    for (const [index, table] of tables.entries()) {
      run.signal.throwIfAborted();
      const name = `${table.schema}.${table.name}`;
      const said = wanted.get(name);
      wanted.delete(name);
      const found = await hashTable(client, table);
      if (said === undefined) faults.push({ pointer: name, detail: "is no table of the backup" });
      else if (said.rows !== found.rows)
        faults.push({ pointer: name, detail: `has ${found.rows} rows instead of ${said.rows}` });
      else if (said.hash !== found.hash) faults.push({ pointer: name, detail: "has other values" });
      run.progress.step("compare", index + 1, tables.length);
    }
    for (const name of wanted.keys()) faults.push({ pointer: name, detail: "is missing" });
    const sequences = new Map((await listSequences(client)).map((one) => [`${one.schema}.${one.name}`, one]));
    for (const one of manifest.sequences) {
      const name = `${one.schema}.${one.name}`;
      const value = sequences.get(name)?.value;
      if (value === undefined || BigInt(value) < BigInt(one.value)) {
        faults.push({ pointer: name, detail: `stands at ${value ?? "nothing"} instead of ${one.value}` });
      }
    }
    if (faults.length === 0) return;
    throw new AppError(
      "conflict",
      `What was restored of ${manifest.id} is not what was backed up: ${faults.map(({ pointer, detail }) => `${pointer} ${detail}`).join("; ")}.`,
      { errors: faults },
    );
  } finally {
    await client.end();
  }
}

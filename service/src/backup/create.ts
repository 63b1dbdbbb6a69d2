import { createReadStream } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { hashTable, listSequences, type TableContents } from "./contents.ts";
import { type Manifest, type ManifestFile, manifestName, newBackupId, writeManifest } from "./manifest.ts";
import { type BackupRun, withScratch } from "./run.ts";
import { openSnapshot, type Snapshot } from "./snapshot.ts";
import { createMeasure } from "./streams.ts";

/**
 * Backs a database up, from one snapshot of it, and returns the manifest. The manifest is written last, so a run that
 * is killed at any moment leaves no backup rather than half of one. Throws AppError for what the operator can mend.
 */
export async function createBackup(
  run: BackupRun,
  database: { connectionString: string; embedded: boolean },
): Promise<Manifest> {
  const started = new Date();
  const form = run.forms[database.embedded ? "copy" : "pg_dump"];
  await run.store.check();
  const snapshot = await openSnapshot(database.connectionString, (one) => {
    if (one.event === "waiting") run.progress.say({ ...one }, `Waiting for ${one.for} (${one.seconds} s)…`);
  });
  try {
    const { client } = await form.prepare(snapshot.server.major);
    const id = newBackupId(started);
    run.progress.say({ event: "backup", id, place: run.store.place }, `Backup ${id} to ${run.store.place}`);
    return await withScratch(run, async (scratch) => {
      const folder = path.join(scratch, "data");
      const [tables] = await both(
        hashTables(run, snapshot),
        form.dump(snapshot, folder, (done, total) => run.progress.step("dump", done, total), run.signal),
      );
      const sequences = await listSequences(snapshot.client);
      try {
        const files = await store(run, id, folder);
        const finished = new Date();
        const manifest: Manifest = {
          format: 1,
          id,
          createdAt: started.toISOString(),
          finishedAt: finished.toISOString(),
          durationMs: finished.getTime() - started.getTime(),
          program: { version: run.program },
          server: snapshot.server,
          database: snapshot.database,
          snapshot: { lsn: snapshot.lsn, at: snapshot.at.toISOString() },
          schema: { head: snapshot.migrations.at(-1) ?? null, migrations: snapshot.migrations },
          data: { form: form.name, client },
          encryption:
            run.encryption === null ? null : { scheme: "age", recipients: [...run.encryption.recipients] },
          files,
          tables,
          sequences,
          bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
        };
        run.signal.throwIfAborted();
        await run.store.writeText(id, manifestName, writeManifest(manifest));
        return manifest;
      } catch (error) {
        await run.store.remove(id).catch(() => {});
        throw error;
      }
    });
  } finally {
    await snapshot.close();
  }
}

/** Waits for both ends even when one fails: the other still uses the snapshot. */
async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  // The dump's failure says more: it is the one that meets full disks and missing rights.
  if (b.status === "rejected") throw b.reason;
  if (a.status === "rejected") throw a.reason;
  return [a.value, b.value];
}

async function hashTables(run: BackupRun, snapshot: Snapshot): Promise<TableContents[]> {
  const client = await snapshot.connect();
  try {
    const contents: TableContents[] = [];
    for (const table of snapshot.tables) {
      run.signal.throwIfAborted();
      contents.push(await hashTable(client, table));
      run.progress.step("hash", contents.length, snapshot.tables.length);
    }
    return contents;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Every file goes from the scratch folder to the store, and out of the scratch folder when it is there. */
async function store(run: BackupRun, id: string, folder: string): Promise<ManifestFile[]> {
  const names = (await readdir(folder)).sort();
  const sizes = await Promise.all(names.map(async (name) => (await stat(path.join(folder, name))).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let sent = 0;
  const files: ManifestFile[] = [];
  for (const name of names) {
    run.signal.throwIfAborted();
    const source = path.join(folder, name);
    const plain = createMeasure((bytes) => {
      sent += bytes;
      run.progress.step("store", sent, total);
    });
    const read = createReadStream(source);
    // What goes wrong while reading must end the writing, too.
    read.on("error", (error) => plain.stream.destroy(error));
    read.pipe(plain.stream);
    const body = run.encryption === null ? plain.stream : await run.encryption.encrypt(plain.stream);
    const stored = createMeasure();
    body.on("error", (error) => stored.stream.destroy(error));
    body.pipe(stored.stream);
    const file = `data/${name}${run.encryption === null ? "" : ".age"}`;
    await run.store.write(id, file, stored.stream, run.signal);
    files.push({ name: file, bytes: stored.bytes(), sha256: stored.sha256() });
    await rm(source);
  }
  return files;
}

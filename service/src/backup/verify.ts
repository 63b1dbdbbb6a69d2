import { AppError } from "../core/errors.ts";
import { loadManifest } from "./catalog.ts";
import { checkFiles } from "./check-files.ts";
import type { Manifest } from "./manifest.ts";
import { mark, unmark } from "./marks.ts";
import type { BackupRun } from "./run.ts";

/** Reads every file of a backup and compares it with the manifest. Throws AppError that names all that is wrong. */
export async function verifyBackup(run: BackupRun, id: string): Promise<Manifest> {
  const manifest = await loadManifest(run.store, id);
  let read = 0;
  try {
    await checkFiles(run.store, manifest, {
      signal: run.signal,
      onProgress(bytes) {
        read += bytes;
        run.progress.step(`check ${id}`, read, manifest.bytes);
      },
    });
  } catch (error) {
    if (error instanceof AppError && error.code === "conflict") await unmark(run.store, id);
    throw error;
  }
  await mark(run.store, id, { checkedAt: new Date().toISOString() });
  return manifest;
}

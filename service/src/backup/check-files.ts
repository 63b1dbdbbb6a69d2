import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AppError, type InputError } from "../core/errors.ts";
import type { Decryption } from "./encryption.ts";
import { type Manifest, type ManifestFile, manifestName, marksName } from "./manifest.ts";
import type { BackupStore } from "./store.ts";
import { fileFault } from "./store-folder.ts";
import { createMeasure, measure } from "./streams.ts";

export interface CheckOptions {
  /** Told how many bytes were read since the last time; in all as many as the manifest's `bytes` for a sound backup. */
  onProgress?: (bytes: number) => void;
  signal?: AbortSignal;
}

/**
 * Reads every file of a backup and compares it with the manifest: exactly these files, of these sizes and SHA-256. Throws
 * ONE AppError (conflict) that lists every fault, by the file's name; a store that cannot be read throws its own.
 */
export async function checkFiles(
  store: BackupStore,
  manifest: Manifest,
  options: CheckOptions = {},
): Promise<void> {
  const stored = new Map((await store.files(manifest.id)).map((file) => [file.name, file.bytes]));
  const faults: InputError[] = [];
  for (const file of manifest.files) {
    options.signal?.throwIfAborted();
    const bytes = stored.get(file.name);
    const fault =
      bytes === undefined
        ? missing
        : bytes !== file.bytes
          ? wrongSize(file, bytes)
          : await faultOf(store, manifest.id, file, options);
    if (fault !== undefined) faults.push({ pointer: file.name, detail: fault });
  }
  const known = new Set([manifestName, marksName, ...manifest.files.map((file) => file.name)]);
  for (const name of stored.keys())
    if (!known.has(name)) faults.push({ pointer: name, detail: "is no file of this backup" });
  if (faults.length > 0) throw damagedBackup(manifest.id, faults);
}

/**
 * Brings one file of a backup to `target` on this machine, decrypted when `decryption` is given, while its stored bytes are
 * measured. Throws AppError (conflict) as checkFiles does when they are not what the manifest says, and then there is no
 * target. The folder of the target is made (0700), the file is 0600, and one that is there is replaced.
 */
export async function fetchFile(
  store: BackupStore,
  manifest: Manifest,
  file: ManifestFile,
  target: string,
  decryption: Decryption | null,
  options: CheckOptions = {},
): Promise<void> {
  try {
    const source = await openFile(store, manifest.id, file, options.signal);
    if (source === undefined) throw damagedBackup(manifest.id, [{ pointer: file.name, detail: missing }]);
    await receive(source, file, manifest.id, target, decryption, options);
  } catch (error) {
    await rm(target, { force: true }).catch(() => undefined);
    const signal = options.signal === undefined ? {} : { signal: options.signal };
    // A flipped bit can look like a wrong key. Which of the two it is, the stored bytes tell.
    if (
      decryption !== null &&
      error instanceof AppError &&
      ["invalid_input", "conflict"].includes(error.code)
    ) {
      const fault = error.errors.length > 0 ? undefined : await faultOf(store, manifest.id, file, signal);
      if (fault !== undefined)
        throw damagedBackup(manifest.id, [{ pointer: file.name, detail: fault }], error);
    }
    throw error;
  }
}

async function receive(
  source: Readable,
  file: ManifestFile,
  id: string,
  target: string,
  decryption: Decryption | null,
  options: CheckOptions,
): Promise<void> {
  const seen = createMeasure(options.onProgress);
  const reading = pipeline(source, seen.stream);
  // Its failure is also that of what is read from it; without this it would end the process first.
  reading.catch(() => undefined);
  const plain = decryption === null ? seen.stream : await decryption.decrypt(seen.stream);
  try {
    await mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
    await pipeline(plain, createWriteStream(target, { mode: 0o600 }));
  } catch (error) {
    throw fileFault(error, target);
  }
  await reading;
  const fault = compare(file, seen.bytes(), seen.sha256());
  if (fault !== undefined) throw damagedBackup(id, [{ pointer: file.name, detail: fault }]);
}

const missing = "is missing";

async function faultOf(
  store: BackupStore,
  id: string,
  file: ManifestFile,
  options: CheckOptions,
): Promise<string | undefined> {
  const source = await openFile(store, id, file, options.signal);
  if (source === undefined) return missing;
  const found = await measure(source, options.onProgress);
  return compare(file, found.bytes, found.sha256);
}

/** Undefined when the file is missing, and nothing else is: a bucket or a folder that is gone has its own sentence. */
async function openFile(
  store: BackupStore,
  id: string,
  file: ManifestFile,
  signal: AbortSignal | undefined,
): Promise<Readable | undefined> {
  try {
    return await store.read(id, file.name, signal);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "not_found") throw error;
    if ((await store.files(id)).some((stored) => stored.name === file.name)) throw error;
    return undefined;
  }
}

function compare(file: ManifestFile, bytes: number, sha256: string): string | undefined {
  if (bytes !== file.bytes) return wrongSize(file, bytes);
  return sha256 === file.sha256 ? undefined : `has the SHA-256 ${sha256} instead of ${file.sha256}`;
}

function wrongSize(file: ManifestFile, bytes: number): string {
  return `has ${bytes} bytes instead of ${file.bytes}`;
}

function damagedBackup(id: string, faults: InputError[], cause?: unknown): AppError {
  const shown = faults.slice(0, 3).map((fault) => `${fault.pointer} ${fault.detail}`);
  const more = faults.length > shown.length ? `; and ${faults.length - shown.length} more` : "";
  return new AppError(
    "conflict",
    `Backup ${id} is damaged: ${shown.join("; ")}${more}. Restore another one, and see to where it is kept.`,
    { errors: faults, ...(cause === undefined ? {} : { cause }) },
  );
}

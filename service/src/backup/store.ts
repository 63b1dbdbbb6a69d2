import type { Readable } from "node:stream";

/** The longest text that readText and readRoot read, in bytes: a manifest of 50,000 files still fits. */
export const textLimit = 16 * 1024 * 1024;

/**
 * Where backups are kept: a folder an id, and a few files of text beside them. Every method rejects with an AppError for
 * what an operator can mend (not_found, forbidden, unauthenticated, unavailable, invalid_input, too_large), naming the
 * place; with the signal's reason when it was aborted; and with the body's own error when the body failed. A stream that
 * was aborted while it is read fails with an AbortError.
 */
export interface BackupStore {
  /** For messages: the folder's path, or s3://bucket/prefix. */
  readonly place: string;
  /** Proves, by a file that it takes away again, that backups can be written here; a folder is made if need be. */
  check(): Promise<void>;
  /** The ids of complete backups, which are those with a manifest; oldest first. */
  list(): Promise<string[]>;
  /** What was started and has no manifest: one that runs now, or one left by a kill. Oldest first. */
  listIncomplete(): Promise<IncompleteBackup[]>;
  /** Every file under the id, the manifest and the marks too, sorted by name; empty when there is no such backup. */
  files(id: string): Promise<StoredFile[]>;
  /** A stream whose errors are as the methods' are; it fails when it ends before the file does. */
  read(id: string, name: string, signal?: AbortSignal): Promise<Readable>;
  /** Undefined when absent; too_large above textLimit. */
  readText(id: string, name: string): Promise<string | undefined>;
  /**
   * Streams the body, in constant memory. Durable when it resolves; when it rejects, nothing has that name and the body is
   * destroyed. The name must be new to the backup.
   */
  write(id: string, name: string, body: Readable, signal?: AbortSignal): Promise<void>;
  /** Replaces the file at once: a reader sees the old text or the new, whole. */
  writeText(id: string, name: string, text: string): Promise<void>;
  /** A file beside the backups, such as metrics.prom; replaced at once. */
  writeRoot(name: string, text: string): Promise<void>;
  readRoot(name: string): Promise<string | undefined>;
  /** The manifest first, so that a half removed backup is never listed. Nothing happens when there is no such backup. */
  remove(id: string): Promise<void>;
  close(): Promise<void>;
}

export interface StoredFile {
  /** Inside the backup, with forward slashes. */
  name: string;
  bytes: number;
}

export interface IncompleteBackup {
  id: string;
  startedAt: Date;
}

export interface FolderOptions {
  kind: "folder";
  directory: string;
}

export interface S3Options {
  kind: "s3";
  bucket: string;
  /** The beginning of every key; slashes at its ends do not count. Empty for the bucket's top. */
  prefix: string;
  /** Null for Amazon's own; otherwise a URL, spoken to with the bucket in the path. */
  endpoint: string | null;
}

export type StoreOptions = FolderOptions | S3Options;

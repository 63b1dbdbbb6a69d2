import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { open, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "node:zlib";
import { AppError } from "../../core/errors.ts";
import { Retry } from "./locks.ts";
import { type ChangeSet, createModel, type Model, tableNames } from "./model.ts";

/**
 * Everything that tasks.json cannot hold, and a copy of what it does: a snapshot of all rows, and behind it a journal of
 * one line a commit, each with its checksum. A line that is there in full is committed; what a crash leaves of one is
 * cut off by the next writer. When the journal outgrows the snapshot, a new snapshot begins a new journal.
 */
export interface Journal {
  /** Whether another process has written since. Cheap: two looks at the file system. */
  isBehind(): boolean;
  /** What has been committed since the last call: `whole` replaces everything. Synchronous, so that nobody sees half. */
  read(): { whole: Model | undefined; commits: ChangeSet[] };
  /** Durable when it resolves. Only under the process lock, and after a read. On failure nothing is appended. */
  append(changes: ChangeSet): Promise<void>;
  /** Whether it is time to `compact`. */
  isFull(): boolean;
  /** Only under the process lock: writes all rows as the new snapshot. */
  compact(model: Model): Promise<void>;
  /**
   * Takes the line back that was appended last, by a new snapshot without it: others may have read it. Where even that
   * fails, the line holds, and the next `read` begins anew.
   */
  revoke(model: Model): Promise<void>;
}

/** A journal is never renewed below this: a small snapshot would be written again and again. */
const leastJournalBytes = 4 * 1024 * 1024;

interface Snapshot {
  form: 1;
  generation: number;
  rows: Record<string, unknown[]>;
}

export function createJournal(directory: string): Journal {
  const snapshotFile = path.join(directory, "snapshot.json");
  const journalFile = (generation: number) => path.join(directory, `journal-${generation}.jsonl`);
  let generation = 0;
  let identity = "";
  let snapshotBytes = 0;
  /** How far the journal was read: behind the last whole line. */
  let offset = 0;

  /** Changes with every new snapshot, which appears by a rename. */
  const identify = (): string => {
    const found = statSync(snapshotFile, { bigint: true, throwIfNoEntry: false });
    return found === undefined ? "none" : `${found.ino} ${found.mtimeNs} ${found.size}`;
  };

  const sizeNow = (): number => statSync(journalFile(generation), { throwIfNoEntry: false })?.size ?? 0;

  const readTail = (): ChangeSet[] => {
    const text = readFrom(journalFile(generation), offset);
    const commits: ChangeSet[] = [];
    for (
      let start = 0, end = text.indexOf(0x0a);
      end !== -1;
      start = end + 1, end = text.indexOf(0x0a, start)
    ) {
      const commit = parseLine(text.toString("utf8", start, end));
      if (commit === undefined) {
        // A torn line can only be the last: each was durable before the next was begun.
        if (text.indexOf(0x0a, end + 1) === -1) break;
        throw damaged(journalFile(generation));
      }
      commits.push(commit);
      offset += end + 1 - start;
    }
    return commits;
  };

  const compact = async (model: Model) => {
    const rows = Object.fromEntries(tableNames.map((name) => [name, model[name].all()]));
    const next: Snapshot = { form: 1, generation: generation + 1, rows };
    const text = JSON.stringify(next);
    await rm(journalFile(next.generation), { force: true });
    await replaceFile(snapshotFile, text, 0o600);
    generation = next.generation;
    identity = identify();
    snapshotBytes = Buffer.byteLength(text);
    offset = 0;
    // Of all generations before: a crash may have left more than one.
    for (const name of await readdir(directory)) {
      if (/^journal-\d+\.jsonl$/.test(name) && path.join(directory, name) !== journalFile(generation)) {
        await rm(path.join(directory, name), { force: true });
      }
    }
  };

  return {
    isBehind() {
      return sizeNow() !== offset || identify() !== identity;
    },

    read() {
      let whole: Model | undefined;
      const commits: ChangeSet[] = [];
      // Again when the snapshot was renewed meanwhile, for the old journal may have gone before it was read; and anew when
      // the folder was put back to an earlier state.
      while (identify() !== identity || sizeNow() < offset) {
        identity = identify();
        const snapshot = readSnapshot(snapshotFile);
        whole = createModel();
        for (const name of tableNames) {
          for (const row of snapshot.rows[name] ?? []) whole[name].put(row as never);
        }
        generation = snapshot.generation;
        snapshotBytes = statSync(snapshotFile, { throwIfNoEntry: false })?.size ?? 0;
        offset = 0;
        commits.length = 0;
        commits.push(...readTail());
      }
      commits.push(...readTail());
      return { whole, commits };
    },

    async append(changes) {
      const json = JSON.stringify(changes);
      const line = Buffer.from(`${checksum(json)} ${json}\n`);
      const file = await open(journalFile(generation), "a", 0o600);
      try {
        const { size } = await file.stat();
        if (size < offset) throw new Retry("The folder was put back to an earlier state.");
        // What a crash left behind the last whole line.
        if (size > offset) await file.truncate(offset);
        try {
          await file.writeFile(line);
          await file.sync();
        } catch (error) {
          await file.truncate(offset).catch(() => {});
          throw error;
        }
      } finally {
        await file.close();
      }
      if (offset === 0) await syncDirectory(directory);
      offset += line.length;
    },

    isFull: () => offset > Math.max(leastJournalBytes, snapshotBytes),

    compact,

    async revoke(model) {
      try {
        await compact(model);
      } catch {
        identity = "";
      }
    },
  };
}

/** A file that is the old one or the new one after a crash, whole, and the new one for good when this resolves. */
export async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const draft = await writeDraft(file, text, mode);
  await rename(draft, file);
  await syncDirectory(path.dirname(file));
}

/** Only one process writes at a time, so that one name will do; and a crash leaves what the next one can find. */
export function draftOf(file: string): string {
  return `${file}.draft`;
}

/** The first half of it: what is to become of the file, beside it and durable. */
export async function writeDraft(file: string, text: string, mode: number): Promise<string> {
  const draft = draftOf(file);
  try {
    const handle = await open(draft, "w", mode);
    try {
      await handle.writeFile(text);
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    return draft;
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

export async function syncDirectory(directory: string): Promise<void> {
  // Windows opens no folders, and has no need to: its file system keeps the order by itself.
  const handle = await open(directory, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

function readFrom(file: string, offset: number): Buffer {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (error) {
    if (isMissing(error)) return Buffer.alloc(0);
    throw error;
  }
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - offset));
    let length = 0;
    for (let read = 1; read > 0 && length < bytes.length; length += read) {
      read = readSync(descriptor, bytes, length, bytes.length - length, offset + length);
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, "0");
}

function parseLine(line: string): ChangeSet | undefined {
  const json = line.slice(9);
  return line.slice(0, 9) === `${checksum(json)} ` ? (JSON.parse(json) as ChangeSet) : undefined;
}

function readSnapshot(file: string): Snapshot {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (isMissing(error)) return { form: 1, generation: 0, rows: {} };
    throw error;
  }
  try {
    const snapshot = JSON.parse(text) as Snapshot;
    if (snapshot.form === 1) return snapshot;
  } catch {
    throw damaged(file);
  }
  throw new AppError("unavailable", `${path.basename(file)} was written by a newer release; run that one.`);
}

function damaged(file: string): AppError {
  const name = path.join(".taskmaster", path.basename(path.dirname(file)), path.basename(file));
  const wayOut = "Put the folder back from a copy, or move it away to begin anew with what tasks.json holds.";
  return new AppError("unavailable", `${name} is damaged, so that what it held cannot be read. ${wayOut}`);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

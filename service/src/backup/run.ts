import { mkdtemp, readdir, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { AppError } from "../core/errors.ts";
import { isAlive } from "../is-alive.ts";
import type { Decryption, Encryption } from "./encryption.ts";
import type { Form } from "./forms.ts";
import type { BackupStore } from "./store.ts";

/** What every command on backups works with. */
export interface BackupRun {
  store: BackupStore;
  forms: Record<Form["name"], Form>;
  /** Null writes backups in the clear. */
  encryption: Encryption | null;
  /** Null when no key is configured. */
  decryption: Decryption | null;
  /** Where files lie while they are on their way; null for the system's temporary folder. */
  scratchDirectory: string | null;
  /** The program's version. */
  program: string;
  progress: {
    step(name: string, done: number, total: number): void;
    say(event: Record<string, unknown>, text: string): void;
  };
  /** Aborts what is under way and cleans up after it. */
  signal: AbortSignal;
}

/** With the machine's name: on a volume that machines share, another's processes cannot be seen. */
const prefix = `task-master-pro-backup-${hostname().replace(/[^A-Za-z0-9-]/g, "-")}-`;

/** A folder of one's own for `work`, gone afterwards; those that killed runs left behind go as well. */
export async function withScratch<T>(
  { scratchDirectory }: BackupRun,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const root = scratchDirectory ?? tmpdir();
  await removeLeftovers(root);
  const folder = await mkdtemp(path.join(root, `${prefix}${process.pid}-`)).catch((error: unknown) => {
    throw new AppError(
      "unavailable",
      `No folder can be made in ${root} (${error instanceof Error ? error.message : String(error)}). ` +
        "Set TASKMASTER_BACKUP_SCRATCH_DIRECTORY to one that can be written to.",
      { cause: error },
    );
  });
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function removeLeftovers(root: string): Promise<void> {
  for (const name of await readdir(root).catch((): string[] => [])) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    await rm(path.join(root, name), { recursive: true, force: true }).catch(() => {});
  }
}

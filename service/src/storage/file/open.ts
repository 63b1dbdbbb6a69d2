import { chmod, mkdir, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../../core/errors.ts";
import type { Storage, StorageCheck } from "../../core/storage.ts";
import { createEngine } from "./engine.ts";
import { lastOf } from "./events.ts";
import { createIdentityStore } from "./identity.ts";
import { createJournal, syncDirectory } from "./journal.ts";
import { createProcessLock } from "./process-lock.ts";
import { createRepositories, createTransaction } from "./repositories.ts";
import { openTasksFile } from "./tasks-file.ts";
import { createUpkeep } from "./upkeep.ts";
import { createWatch } from "./watch.ts";

/** Where a project's folder keeps what tasks.json cannot hold. It has secrets in it, and is this machine's own. */
export function sidecarOf(directory: string): string {
  return path.join(path.resolve(directory), ".taskmaster", "task-master-pro");
}

/**
 * Opens the storage on a project's folder: the tasks of one project are its .taskmaster/tasks/tasks.json, in the form of
 * the task-master-ai tool, and everything else lies beside it. The first organization gets that project.
 */
export async function openFile({ directory }: { directory: string }): Promise<Storage> {
  const root = path.resolve(directory);
  await checkRoot(root);
  const sidecar = sidecarOf(root);
  await mkdir(sidecar, { recursive: true, mode: 0o700 });
  await chmod(sidecar, 0o700);
  await mkdir(path.join(root, ".taskmaster", "tasks"), { recursive: true });
  await writeFile(path.join(sidecar, ".gitignore"), "# Tokens, secrets and claims: this machine's own.\n*\n");
  for (const folder of [sidecar, path.dirname(sidecar), root]) await syncDirectory(folder);

  const engine = createEngine({
    journal: createJournal(sidecar),
    lock: createProcessLock(sidecar),
    file: openTasksFile(root),
    name: path.basename(root),
  });
  const { db } = engine;
  const { watch, close: closeWatch } = createWatch(
    async (projectId) =>
      await db.read((rows) =>
        rows.projects.get(projectId) === undefined ? undefined : lastOf(rows, projectId),
      ),
  );
  return {
    identity: createIdentityStore(db),
    reader: (organizationId) => createRepositories(db, organizationId),
    snapshot: async (organizationId, work) =>
      await engine.snapshot(async (snapshot) => await work(createRepositories(snapshot, organizationId))),
    transaction: async (organizationId, work) =>
      await engine.transaction(async (tx) => await work(createTransaction(tx, organizationId))),
    watch,
    upkeep: createUpkeep(db),
    connections: () => null,
    async check(): Promise<StorageCheck> {
      const database = { ok: true, detail: "The folder is there." };
      try {
        await db.read(() => {});
        return { database, migrations: { ok: true, detail: "Files have no schema." } };
      } catch (error) {
        // Said as what is in the way of serving: the file's own fault, with its line.
        return {
          database,
          migrations: { ok: false, detail: error instanceof Error ? error.message : String(error) },
        };
      }
    },
    async close() {
      await closeWatch();
      await engine.close();
    },
  };
}

/** A slip in the path must not make a project somewhere else. */
async function checkRoot(root: string): Promise<void> {
  const found = await stat(root).catch(() => undefined);
  if (found?.isDirectory() === true && path.basename(root) !== ".taskmaster") return;
  throw new AppError(
    "unavailable",
    `${root} is no project's folder; name the one in which .taskmaster is, or is to be.`,
  );
}

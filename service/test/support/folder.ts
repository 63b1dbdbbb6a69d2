import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createFirstOwner } from "../../src/core/access/bootstrap.ts";
import { type Context, scopes } from "../../src/core/context.ts";
import { createCore } from "../../src/core/create.ts";
import type { Core } from "../../src/core/index.ts";
import type { Storage } from "../../src/core/storage.ts";
import { openFile } from "../../src/storage/file/open.ts";

/** A project's folder of its own. */
export interface TestFolder {
  directory: string;
  /** Its tasks.json, whether it is there or not. */
  file: string;
  sidecar: string;
  read(): Promise<string>;
  write(text: string): Promise<void>;
  remove(): Promise<void>;
}

export async function createFolder(text?: string): Promise<TestFolder> {
  const directory = await mkdtemp(path.join(tmpdir(), "task-master-pro-file-"));
  const file = path.join(directory, ".taskmaster", "tasks", "tasks.json");
  await mkdir(path.dirname(file), { recursive: true });
  if (text !== undefined) await writeFile(file, text);
  return {
    directory,
    file,
    sidecar: path.join(directory, ".taskmaster", "task-master-pro"),
    read: async () => await readFile(file, "utf8"),
    write: async (changed) => await writeFile(file, changed),
    remove: async () => await rm(directory, { recursive: true, force: true }),
  };
}

/** The whole core on a folder, as its first owner; several of one folder are as several processes. */
export interface FolderCore {
  core: Core;
  storage: Storage;
  owner: Context;
  /** The key of the file's project. */
  key: string;
  close(): Promise<void>;
}

export async function openFolderCore(directory: string): Promise<FolderCore> {
  const storage = await openFile({ directory });
  const core = await createCore(storage, "a secret for tests, of thirty-two bytes or more");
  await createFirstOwner(storage, { organization: "home", email: "owner@localhost" });
  const principal = await storage.identity.firstOwner();
  if (principal === undefined) throw new Error("there is no owner");
  const owner: Context = { ...principal, scopes, requestId: "test" };
  const { items } = await core.projects.list(owner, {});
  return { core, storage, owner, key: items[0]?.key ?? "", close: storage.close };
}

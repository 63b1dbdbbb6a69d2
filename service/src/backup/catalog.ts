import { AppError } from "../core/errors.ts";
import { type Manifest, manifestName, readManifest } from "./manifest.ts";
import { type Marks, readMarks } from "./marks.ts";
import type { BackupStore } from "./store.ts";

export interface Entry {
  id: string;
  manifest: Manifest;
  marks: Marks;
}

/** One backup's manifest. Throws AppError when there is none, or when it is damaged. */
export async function loadManifest(store: BackupStore, id: string): Promise<Manifest> {
  const text = await store.readText(id, manifestName);
  if (text === undefined) {
    throw new AppError(
      "not_found",
      `There is no backup ${id} at ${store.place}; "task-master-pro backup list" shows those that there are.`,
    );
  }
  return readManifest(text, id);
}

/** The id itself, or that of the newest. Throws AppError when there is none. */
export async function resolveId(store: BackupStore, id: string | undefined): Promise<string> {
  if (id !== undefined) return id;
  const newest = (await store.list()).at(-1);
  if (newest !== undefined) return newest;
  throw new AppError(
    "not_found",
    `There is no backup at ${store.place}. Make one: task-master-pro backup create`,
  );
}

export interface Catalog {
  /** Oldest first. */
  entries: Entry[];
  /** Those whose manifest cannot be read, with why. */
  damaged: { id: string; problem: string }[];
}

/** All complete backups. A damaged manifest is told of and does not hide the others. */
export async function readCatalog(store: BackupStore): Promise<Catalog> {
  const catalog: Catalog = { entries: [], damaged: [] };
  for (const id of await store.list()) {
    try {
      catalog.entries.push({
        id,
        manifest: await loadManifest(store, id),
        marks: await readMarks(store, id),
      });
    } catch (error) {
      if (!(error instanceof AppError) || !["conflict", "invalid_input"].includes(error.code)) throw error;
      catalog.damaged.push({ id, problem: error.message });
    }
  }
  return catalog;
}

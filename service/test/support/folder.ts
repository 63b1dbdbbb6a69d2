import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

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

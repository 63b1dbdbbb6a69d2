import { randomBytes } from "node:crypto";
import { constants, type Dirent } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, realpath, rename, rm, unlink } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../core/errors.ts";
import { assertBackupId, assertFileName, isBackupId, manifestName, startOf } from "./manifest.ts";
import { type BackupStore, type FolderOptions, type StoredFile, textLimit } from "./store.ts";
import { giveOut, takeIn } from "./streams.ts";

/** A file on its way. Such a name is never listed: a kill may leave one in a backup that is whole. */
const partial = /^\..+\.[0-9a-f]{12}\.partial$/;

/** Backups in a folder: files 0600 in folders 0700, since they hold everything that the database holds. */
export function openFolderStore(options: FolderOptions): BackupStore {
  const root = path.resolve(options.directory);
  const textFault = (target: string) => (error: unknown) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw fileFault(error, target);
  };

  /** Where a file lies, after its id and name were found to be fit for a path. */
  const locate = (id: string, name: string): string => {
    assertBackupId(id);
    assertFileName(name);
    return path.join(root, id, ...name.split("/"));
  };

  /** A folder inside may have been replaced by a link to somewhere else; files are only used where they seem to be. */
  const assertInside = async (target: string): Promise<void> => {
    const folder = path.dirname(target);
    const real = await realpath(folder);
    if (real === path.join(await realpath(root), path.relative(root, folder))) return;
    throw new AppError(
      "invalid_input",
      `${folder} is a link to another place; put a folder of its own in its place, or restore the backup from a copy.`,
    );
  };

  const openFile = async (target: string): Promise<FileHandle> => {
    await assertInside(target);
    return await open(target, constants.O_RDONLY | constants.O_NOFOLLOW);
  };

  const readWhole = async (target: string): Promise<string | undefined> => {
    const handle = await openFile(target).catch(textFault(target));
    if (handle === undefined) return undefined;
    try {
      const { size } = await handle.stat();
      if (size > textLimit) throw tooLong(target, size);
      return await handle.readFile("utf8");
    } catch (error) {
      throw fileFault(error, target);
    } finally {
      await handle.close();
    }
  };

  const entries = async (): Promise<Dirent[]> => {
    try {
      return await readdir(root, { withFileTypes: true });
    } catch (error) {
      throw fileFault(error, root);
    }
  };

  /** The backups' folders, with whether each has its manifest; oldest first. */
  const backups = async (): Promise<{ id: string; complete: boolean }[]> => {
    const ids = (await entries()).filter((entry) => entry.isDirectory() && isBackupId(entry.name));
    return await Promise.all(
      ids
        .map((entry) => entry.name)
        .sort()
        .map(async (id) => {
          const manifest = await lstat(path.join(root, id, manifestName)).catch(
            textFault(path.join(root, id)),
          );
          return { id, complete: manifest?.isFile() === true };
        }),
    );
  };

  /** Writes aside, makes it durable, and only then gives it its name. */
  const put = async (
    target: string,
    replace: boolean,
    fill: (handle: FileHandle) => Promise<void>,
  ): Promise<void> => {
    const folder = path.dirname(target);
    const draft = path.join(folder, `.${path.basename(target)}.${randomBytes(6).toString("hex")}.partial`);
    try {
      await makeFolder(folder);
      await assertInside(target);
      if (!replace && (await exists(target))) throw taken(target);
      const handle = await open(draft, "wx", 0o600);
      try {
        await fill(handle);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(draft, target);
    } catch (error) {
      await rm(draft, { force: true }).catch(() => undefined);
      throw fileFault(error, folder);
    }
    try {
      await syncFolder(folder);
    } catch (error) {
      if (!replace) await rm(target, { force: true }).catch(() => undefined);
      throw fileFault(error, folder);
    }
  };

  const putText = async (target: string, text: string): Promise<void> => {
    await put(target, true, async (handle) => await handle.writeFile(text));
  };

  return {
    place: root,

    async check() {
      const probe = path.join(root, `.check.${randomBytes(6).toString("hex")}.partial`);
      try {
        await makeFolder(root);
        const handle = await open(probe, "wx", 0o600);
        try {
          // A disk that is full still makes empty files.
          await handle.writeFile(Buffer.alloc(4096, 1));
          await handle.sync();
        } finally {
          await handle.close();
        }
      } catch (error) {
        throw fileFault(error, root);
      } finally {
        await rm(probe, { force: true }).catch(() => undefined);
      }
    },

    async list() {
      return (await backups()).filter((backup) => backup.complete).map((backup) => backup.id);
    },

    async listIncomplete() {
      const started = (await backups()).filter((backup) => !backup.complete);
      return started.map(({ id }) => ({ id, startedAt: startOf(id) }));
    },

    async files(id) {
      assertBackupId(id);
      try {
        await assertInside(path.join(root, id, manifestName));
        const found = await filesUnder(path.join(root, id), "");
        return found.sort((a, b) => (a.name < b.name ? -1 : 1));
      } catch (error) {
        if (codeOf(error) === "ENOENT") return [];
        throw fileFault(error, path.join(root, id));
      }
    },

    async read(id, name, signal) {
      signal?.throwIfAborted();
      const target = locate(id, name);
      try {
        const handle = await openFile(target);
        const { size } = await handle.stat();
        const source = handle.createReadStream({ highWaterMark: 64 * 1024 });
        return giveOut(source, size, target, (error) => fileFault(error, target), signal);
      } catch (error) {
        if (codeOf(error) === "ENOENT") throw absent(target);
        throw fileFault(error, target);
      }
    },

    async readText(id, name) {
      return await readWhole(locate(id, name));
    },

    async write(id, name, body, signal) {
      const intake = takeIn(body, signal);
      try {
        signal?.throwIfAborted();
        await put(locate(id, name), false, async (handle) => {
          for await (const chunk of intake.stream) await handle.writeFile(chunk);
        });
      } catch (error) {
        const cause = intake.cause(error);
        intake.destroy();
        throw cause;
      }
    },

    async writeText(id, name, text) {
      await putText(locate(id, name), text);
    },

    async writeRoot(name, text) {
      await putText(rootFile(root, name), text);
    },

    async readRoot(name) {
      return await readWhole(rootFile(root, name));
    },

    async remove(id) {
      assertBackupId(id);
      const folder = path.join(root, id);
      try {
        const found = await lstat(folder).catch(textFault(folder));
        if (found === undefined) return;
        // A link in a backup's place goes, and what it points to stays.
        if (!found.isDirectory()) return await unlink(folder);
        await rm(path.join(folder, manifestName), { force: true });
        await syncFolder(folder);
        await rm(folder, { recursive: true, force: true });
        await syncFolder(root);
      } catch (error) {
        throw fileFault(error, folder);
      }
    },

    async close() {},
  };
}

function rootFile(root: string, name: string): string {
  assertFileName(name);
  if (name.includes("/") || isBackupId(name))
    throw new AppError("invalid_input", `${JSON.stringify(name)} cannot be a file beside the backups.`);
  return path.join(root, name);
}

/** Links count as files, by their own size: one in a file's place is then found wrong, and is never followed. */
async function filesUnder(folder: string, prefix: string): Promise<StoredFile[]> {
  const found: StoredFile[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const name = `${prefix}${entry.name}`;
    const target = path.join(folder, entry.name);
    if (entry.isDirectory()) found.push(...(await filesUnder(target, `${name}/`)));
    else if (!partial.test(entry.name)) found.push({ name, bytes: (await lstat(target)).size });
  }
  return found;
}

/** Makes a folder and those above it, each durable: a crash must not take away the way to what was reported as stored. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  let made = folder;
  for (;;) {
    await syncFolder(path.dirname(made));
    if (made === first || made === path.dirname(made)) return;
    made = path.dirname(made);
  }
}

async function syncFolder(folder: string): Promise<void> {
  // Windows has no such thing, and refuses to open one.
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(target: string): Promise<boolean> {
  return await lstat(target).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === "ENOENT") return false;
      throw error;
    },
  );
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function absent(target: string): AppError {
  return new AppError(
    "not_found",
    `There is no file ${target}; "backup list" shows which backups are whole.`,
  );
}

function taken(target: string): AppError {
  return new AppError(
    "conflict",
    `${target} is there already, and a backup's file is written once; start a new backup.`,
  );
}

function tooLong(target: string, size: number): AppError {
  return new AppError(
    "too_large",
    `${target} has ${size} bytes, and no such file of ours has more than ${textLimit}; it is not what it seems.`,
  );
}

/**
 * A file system's error as an AppError that names the place and the way out; whatever is none of the expected ones, and
 * an AppError, stays as it is.
 */
export function fileFault(error: unknown, target: string): unknown {
  const options = { cause: error };
  switch (codeOf(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return new AppError(
        "unavailable",
        `There is no room left at ${target}; free some, such as by "backup prune", or use a larger disk, and run it again.`,
        options,
      );
    case "EFBIG":
      return new AppError(
        "too_large",
        `The file system at ${target} takes no file that large; use another one, and run it again.`,
        options,
      );
    case "EACCES":
    case "EPERM":
      return new AppError(
        "forbidden",
        `This user may not use ${target}; give it to the user that runs this program, or name another folder.`,
        options,
      );
    case "EROFS":
      return new AppError(
        "forbidden",
        `${target} is on a read-only file system; mount it for writing, or name another folder.`,
        options,
      );
    case "ENOENT":
      return new AppError(
        "not_found",
        `There is no ${target}; name the folder that holds the backups, and see that its disk is mounted.`,
        options,
      );
    case "ENOTDIR":
    case "EEXIST":
      return new AppError(
        "invalid_input",
        `${target} leads through something that is no folder; name another place, or move that file away.`,
        options,
      );
    case "EISDIR":
      return new AppError(
        "invalid_input",
        `${target} is a folder where a file must be; move it away.`,
        options,
      );
    case "ELOOP":
      return new AppError(
        "invalid_input",
        `${target} is a link, and links inside a backup are not followed; put the file itself there.`,
        options,
      );
    case "EIO":
    case "ESTALE":
    case "ENXIO":
    case "EMFILE":
    case "ENFILE":
      return new AppError(
        "unavailable",
        `${target} cannot be used now (${codeOf(error)}); see to the disk or the mount, and run it again.`,
        options,
      );
    default:
      return error;
  }
}

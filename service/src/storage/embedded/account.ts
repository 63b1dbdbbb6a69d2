import { chown, lstat, stat } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../../core/errors.ts";
import { run } from "./run.ts";

/** The operating system's user that the database runs as, where that is not the one of this process. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
}

/** PostgreSQL refuses to run as root; a process of root's runs it as another user. */
export async function findAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = await Promise.all([run("id", ["-u", name]), run("id", ["-g", name])]);
    // An empty text would read as 0, which is root.
    if (/^[1-9]\d*$/.test(uid.output) && /^\d+$/.test(gid.output)) {
      return { name, uid: Number(uid.output), gid: Number(gid.output) };
    }
  }
  throw new AppError(
    "unavailable",
    "The embedded database cannot run as root, and there is neither a user postgres nor nobody to run it as. " +
      "Start this program as another user, or set DATABASE_URL to a PostgreSQL database of your own.",
  );
}

/** Fails with the way out before PostgreSQL fails with "Permission denied". */
export async function checkReach(account: Account, target: string, purpose: string): Promise<void> {
  const above: string[] = [];
  for (let folder = path.dirname(target); ; folder = path.dirname(folder)) {
    above.unshift(folder);
    if (path.dirname(folder) === folder) break;
  }
  for (const folder of above) {
    if (mayEnter(account, await stat(folder))) continue;
    throw new AppError(
      "unavailable",
      `The embedded database cannot run as root, so it runs as the user ${account.name}, who may not enter ${folder} ` +
        `and so cannot reach ${purpose}. Allow it (chmod o+x ${folder}), choose a folder elsewhere by ` +
        "TASKMASTER_DATA_DIRECTORY, start this program as another user, or set DATABASE_URL.",
    );
  }
}

function mayEnter(account: Account, folder: { mode: number; uid: number; gid: number }): boolean {
  if (folder.uid === account.uid) return (folder.mode & 0o100) !== 0;
  if (folder.gid === account.gid) return (folder.mode & 0o010) !== 0;
  return (folder.mode & 0o001) !== 0;
}

export async function give(account: Account | undefined, target: string): Promise<void> {
  if (account !== undefined && (await lstat(target)).uid !== account.uid) {
    await chown(target, account.uid, account.gid);
  }
}

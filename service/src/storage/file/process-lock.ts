import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { link, readdir, readFile, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../../core/errors.ts";
import { isAlive } from "../../is-alive.ts";

/**
 * One writer at a time over processes: a file that is there while somebody writes. It names its owner, and appears by
 * `link`, so that it is never seen half written. An owner on this machine that has ended is known at once by its process
 * id and start; one on another machine (or in another container) by a heartbeat that has stopped.
 */
export interface ProcessLock {
  /** Throws unavailable, naming the owner, when it is not free for so long. */
  acquire(patienceMs: number): Promise<void>;
  /** Whether it is still ours: a process that slept too long is taken for dead. */
  isHeld(): Promise<boolean>;
  /** Whether another process waits for it. */
  isWantedByOthers(): Promise<boolean>;
  release(): Promise<void>;
}

interface Owner {
  token: string;
  pid: number;
  /** When the process began, in its system's own unit; null where the system does not say. */
  started: string | null;
  /** The machine since its start, and the process namespace: what makes a process id mean something. */
  place: string;
  host: string;
}

const heartbeatMs = 2_000;
/** How long a heartbeat may be missing: far longer than a busy machine is late. */
const staleMs = 30_000;
/** The same for one that waits, which shows that it lives about every second. */
const waiterMs = 5_000;

export function createProcessLock(directory: string): ProcessLock {
  const file = path.join(directory, "lock");
  const self = describeSelf();
  let token: string | undefined;
  let heart: NodeJS.Timeout | undefined;

  const own = async (): Promise<boolean> => token !== undefined && (await readOwner(file))?.token === token;

  return {
    async acquire(patienceMs) {
      const deadline = Date.now() + patienceMs;
      token = randomUUID();
      const mine = path.join(directory, `lock-${token}`);
      await writeFile(mine, JSON.stringify({ ...self, token } satisfies Owner), { mode: 0o600 });
      try {
        for (let attempt = 1; !(await tryLink(mine, file)); attempt += 1) {
          await removeStale(directory, self);
          if (Date.now() > deadline) throw await refusal(file);
          await sleep(1 + Math.random() * Math.min(attempt, 10), undefined);
          // Whoever waits shows that it lives as well, or nobody would make way for it.
          if (attempt % 100 === 0) await touch(mine);
        }
      } catch (error) {
        token = undefined;
        throw error;
      } finally {
        await unlink(mine).catch(() => {});
      }
      heart = setInterval(() => void touch(file), heartbeatMs).unref();
    },

    isHeld: own,

    async isWantedByOthers() {
      const ages = await Promise.all((await waiters(directory)).map(ageOf));
      return ages.some((age) => age < waiterMs);
    },

    async release() {
      clearInterval(heart);
      if (await own()) await unlink(file);
      token = undefined;
    },
  };
}

function describeSelf(): Omit<Owner, "token"> {
  const read = (get: () => string) => {
    try {
      return get().trim();
    } catch {
      return "";
    }
  };
  const boot = read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"));
  const namespace = read(() => readlinkSync("/proc/self/ns/pid"));
  const place = [hostname(), boot, namespace].join(" ");
  return { pid: process.pid, started: startOf(process.pid), place, host: hostname() };
}

/** Linux says it as the 22nd field of /proc/PID/stat; the second is a name in brackets that can hold anything. */
function startOf(pid: number): string | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\)/s, "").trim().split(" ");
    return fields[19] ?? null;
  } catch {
    return null;
  }
}

/** The files of those who wait, some of whom may have died over it. */
async function waiters(directory: string): Promise<string[]> {
  const names = await readdir(directory);
  return names.filter((name) => name.startsWith("lock-")).map((name) => path.join(directory, name));
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Takes the lock of an owner that is gone away; one process at a time, so that nobody takes a new owner's. */
async function removeStale(directory: string, self: Omit<Owner, "token">): Promise<void> {
  const file = path.join(directory, "lock");
  const owner = await readOwner(file);
  if (owner === undefined || !(await isGone(file, owner, self))) return;
  const guard = path.join(directory, "lock.takeover");
  try {
    await writeFile(guard, "", { flag: "wx" });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    // Left by a process that died within these few lines.
    if ((await ageOf(guard)) > staleMs) await unlink(guard).catch(() => {});
    return;
  }
  try {
    if ((await readOwner(file))?.token === owner.token) await unlink(file);
    for (const left of await waiters(directory)) {
      if ((await ageOf(left)) > staleMs) await unlink(left).catch(() => {});
    }
  } finally {
    await unlink(guard).catch(() => {});
  }
}

async function isGone(file: string, owner: Owner, self: Omit<Owner, "token">): Promise<boolean> {
  if (owner.place !== self.place) return (await ageOf(file)) > staleMs;
  if (!isAlive(owner.pid)) return true;
  if (owner.started === null) return (await ageOf(file)) > staleMs;
  return startOf(owner.pid) !== owner.started;
}

async function readOwner(file: string): Promise<Owner | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Owner;
  } catch {
    // What a failing power supply leaves of it: of nobody known, so its age decides.
    return { token: text, pid: 0, started: null, place: "", host: "an unknown machine" };
  }
}

/** By the clock of this machine, which the other's must be near to. */
async function ageOf(file: string): Promise<number> {
  return await stat(file).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  );
}

async function touch(file: string): Promise<void> {
  const now = new Date();
  await utimes(file, now, now).catch(() => {});
}

async function refusal(file: string): Promise<AppError> {
  const owner = await readOwner(file);
  const who = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host}`;
  return new AppError("unavailable", `The project's folder is being written by ${who}; try again.`);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

import { randomBytes } from "node:crypto";
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../../core/errors.ts";
import { isAlive } from "../../is-alive.ts";
import { openSession, type Session } from "../postgres/session.ts";
import { type Account, checkReach, findAccount, give } from "./account.ts";
import { type Binaries, findBinaries } from "./binaries.ts";
import { run } from "./run.ts";

export interface EmbeddedServer {
  connectionString: string;
  /** Stops the server, unless another process still uses it. */
  close(): Promise<void>;
}

const user = "taskmaster";
const database = "taskmaster";

/**
 * Held shared, in a session of its own, by every process that uses the server: whoever closes and gets it alone is the
 * last and stops the server. A crash gives it up with the session, so the next to open and close cleans up after it.
 */
const useLock = 72707370;
const createLock = 72707371;

const patienceMs = 60_000;

/** Durable as PostgreSQL is by default; small, because it serves one machine. */
const settings = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = '64MB'
max_connections = 200
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = fatal
`;

/**
 * Starts the PostgreSQL server whose files lie in the folder, or joins it when it runs already, left by a crash or used
 * by another process; makes the files on the first call. It listens on 127.0.0.1 only, on a free port, with a password.
 */
export async function startServer(directory: string): Promise<EmbeddedServer> {
  const [binaries, account] = await Promise.all([findBinaries(), findAccount()]);
  const home = path.join(path.resolve(directory), "postgres");
  await mkdir(path.dirname(home), { recursive: true });
  if (account !== undefined) {
    await checkReach(account, home, "its files");
    await checkReach(account, binaries.postgres, "PostgreSQL's programs");
  }
  const cluster = createCluster(binaries, account, home);
  await cluster.initialize();

  const deadline = Date.now() + patienceMs;
  for (let failures = 0; ; ) {
    const running = await cluster.start();
    if ("port" in running) {
      const server = await join(cluster, running.port);
      if (server !== undefined) return server;
    } else {
      failures += 1;
    }
    // It is stopping under another process's close, or starting under another's open: both end soon.
    if (failures === 5 || Date.now() > deadline) {
      const problem = "problem" in running ? running.problem : "It runs, but does not let this program in.";
      const log = path.join(home, "server.log");
      throw new AppError(
        "unavailable",
        `The embedded database does not start; its log is ${log}. ${problem}`,
      );
    }
    await sleep(200);
  }
}

/** Undefined when the server that was to be joined is going away. */
async function join(cluster: Cluster, port: number): Promise<EmbeddedServer | undefined> {
  const url = (name: string) => `postgresql://${user}:${cluster.password()}@127.0.0.1:${port}/${name}`;
  const session = await openSession(url("postgres"), "task-master-pro keeper").catch(() => undefined);
  if (session === undefined) return undefined;
  try {
    const taken = await session.query<{ shared: boolean }>(
      "SELECT pg_try_advisory_lock_shared($1) AS shared",
      [useLock],
    );
    if (taken[0]?.shared !== true) throw new Error("the server is stopping");
    await createDatabase(session);
  } catch {
    await session.close();
    return undefined;
  }
  return {
    connectionString: url(database),
    async close() {
      // The lock is held until the server is gone: given up before, it would let another process in, to be cut off.
      if (await isLast(session)) await cluster.stop();
      await session.close();
    },
  };
}

async function isLast(session: Session): Promise<boolean> {
  try {
    await session.query("SELECT pg_advisory_unlock_shared($1)", [useLock]);
    const taken = await session.query<{ alone: boolean }>("SELECT pg_try_advisory_lock($1) AS alone", [
      useLock,
    ]);
    return taken[0]?.alone === true;
  } catch {
    // The server is gone already.
    return false;
  }
}

/** One process at a time: two that open a new folder at once both come here. */
async function createDatabase(session: Session): Promise<void> {
  await session.query("SELECT pg_advisory_lock($1)", [createLock]);
  const present = await session.query("SELECT 1 AS one FROM pg_database WHERE datname = $1", [database]);
  if (present.length === 0) await session.query(`CREATE DATABASE ${database}`);
  await session.query("SELECT pg_advisory_unlock($1)", [createLock]);
}

interface Cluster {
  /** Makes the files when there are none. */
  initialize(): Promise<void>;
  /** The port of the running server, which it starts if need be; else what is in the way. */
  start(): Promise<{ port: number } | { problem: string }>;
  stop(): Promise<void>;
  password(): string;
}

function createCluster(binaries: Binaries, account: Account | undefined, home: string): Cluster {
  const data = path.join(home, "data");
  const identity = account === undefined ? {} : { uid: account.uid, gid: account.gid };
  let password = "";

  const control = async (...args: string[]) =>
    await run(binaries.pg_ctl, [...args, "-D", data], { ...identity, cwd: home });

  return {
    password: () => password,

    async initialize() {
      if (!(await exists(data))) await initialize(binaries, account, home);
      password = (await readFile(path.join(home, "password"), "utf8")).trim();
    },

    async start() {
      const running = await readPidFile(data);
      if (running !== undefined && (await control("status")).code === 0) return { port: running.port };
      const port = await freePort();
      // As words of pg_ctl's, which starts it in a session of its own: Ctrl+C in the terminal does not reach it.
      const started = await control("start", "-w", "-l", path.join(home, "server.log"), "-o", `-p ${port}`);
      return started.code === 0 ? { port } : { problem: started.output };
    },

    async stop() {
      const running = await readPidFile(data);
      const asked = await control("stop", "-W", "-m", "fast");
      if (asked.code !== 0) throw new Error(`The embedded database did not stop: ${asked.output}`);
      // pg_ctl's own wait is for the file to be gone, and so for the server that another process starts in its place.
      const deadline = Date.now() + patienceMs;
      while (running !== undefined && (await isRunning(data, running.pid))) {
        if (Date.now() > deadline) throw new Error("The embedded database does not stop.");
        await sleep(20);
      }
    },
  };
}

/** Made aside and moved into place when complete, so that a crash or a second process never leaves or meets half of it. */
async function initialize(binaries: Binaries, account: Account | undefined, home: string): Promise<void> {
  const draft = await mkdtemp(`${home}-`);
  try {
    await give(account, draft);
    const data = path.join(draft, "data");
    const passwordFile = path.join(draft, "password");
    await writeFile(passwordFile, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600 });
    await give(account, passwordFile);
    const made = await run(
      binaries.initdb,
      [
        ...["-D", data, "-U", user, "-A", "scram-sha-256", "--pwfile", passwordFile, "-E", "UTF8"],
        ...[
          "--locale",
          "C",
          "--locale-provider",
          "builtin",
          "--builtin-locale",
          "C.UTF-8",
          "--no-instructions",
        ],
      ],
      { cwd: draft, ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }) },
    );
    if (made.code !== 0)
      throw new AppError("unavailable", `The embedded database cannot be made: ${made.output}`);
    await appendFile(path.join(data, "postgresql.conf"), settings);
    await rename(draft, home).catch(async (error: unknown) => {
      if (!(await exists(path.join(home, "data")))) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Of the server that runs, or ran until a crash: the first and the fourth line of the file that it removes last of all. */
async function readPidFile(data: string): Promise<{ pid: number; port: number } | undefined> {
  const text = await readFile(path.join(data, "postmaster.pid"), "utf8").catch(() => "");
  const lines = text.split("\n");
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  return Number.isInteger(port) && port > 0 ? { pid, port } : undefined;
}

/** Whether this very server has not come to its end, or died without one. */
async function isRunning(data: string, pid: number): Promise<boolean> {
  return (await readPidFile(data))?.pid === pid && isAlive(pid);
}

async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => {
        if (address === null || typeof address === "string") reject(new Error("no port"));
        else resolve(address.port);
      });
    });
  });
}

async function exists(target: string): Promise<boolean> {
  return await stat(target).then(
    () => true,
    () => false,
  );
}

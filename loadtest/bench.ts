import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, open, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { applyMigrations } from "../service/src/migrate/apply.ts";
import { type EmbeddedServer, startServer } from "../service/src/storage/embedded/server.ts";

/** The checkout that this file is of. */
export const root = path.join(import.meta.dirname, "..");

/** What every bench runs on: a PostgreSQL server as the program is shipped with, and built programs as children. */
export interface Bench {
  /** A temporary one, gone at the end. */
  folder: string;
  /** Starts the server, whose files lie in `data` of that folder; the URL of the program's own database, still empty. */
  startDatabase(): Promise<string>;
  /** For benches in turns: what the server does by itself, now and then, would hit one turn, or one's database, and not the next. */
  quietDatabase(): Promise<void>;
  /** A database more on that server, with the program's schema, or a copy of another; the URL is a superuser's. */
  createDatabase(name: string, copyOf?: string): Promise<string>;
  serve(options: ServeOptions): Promise<Program>;
  /** Any other server, which says in its output where it listens, as the program does. */
  start(name: string, args: string[], env: Record<string, string>): Promise<Program>;
  close(): Promise<void>;
}

export interface ServeOptions {
  /** Unique in the bench. */
  name: string;
  databaseUrl: string;
  settings?: Record<string, string>;
  /** The checkout whose build runs; by default this one. */
  checkout?: string;
  nodeOptions?: string[];
}

/** A server that runs as a process of its own, and writes to a file, as it would to a log. */
export interface Program {
  child: ChildProcess;
  url: string;
  /** From the start of the process until it said that it was ready. */
  readyMs: number;
  /** All that it has written. */
  output(): Promise<string>;
  /** The processor time that its threads have taken, by the scheduler's own count, which is exact; Linux only. */
  cpuMs(): Promise<number>;
  /** Megabytes that it holds now, and the most that it ever held. */
  memory(): Promise<{ now: number; most: number }>;
  stop(): Promise<void>;
}

export async function openBench(): Promise<Bench> {
  const folder = await mkdtemp(path.join(tmpdir(), "task-master-pro-bench-"));
  // A database server that runs as another user than this process must be able to pass through.
  await chmod(folder, 0o711);
  let server: Promise<EmbeddedServer> | undefined;
  const startDatabase = async () => {
    server ??= startServer(path.join(folder, "data"));
    return (await server).connectionString;
  };
  const programs: Pick<Program, "stop">[] = [];

  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= (async () => {
      for (const program of programs) await program.stop();
      await (await server)?.close();
      await rm(folder, { recursive: true, force: true });
    })();
    return closing;
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void close().finally(() => process.exit(signal === "SIGINT" ? 130 : 143)));
  }

  const start: Bench["start"] = async (name, args, env) => {
    const file = path.join(folder, `${name}.log`);
    const out = await open(file, "w");
    const started = performance.now();
    const child = spawn(process.execPath, args, {
      env: { PATH: process.env.PATH, NODE_OPTIONS: process.env.NODE_OPTIONS ?? "", ...env },
      stdio: ["ignore", out.fd, "inherit"],
    });
    await out.close();
    const output = () => readFile(file, "utf8");
    const program = { child, output, ...watch(child) };
    programs.push(program);
    for (;;) {
      const url = /(?:ready at|listens at) (\S+)/.exec(await output())?.[1];
      if (url !== undefined) return { ...program, url, readyMs: performance.now() - started };
      if (child.exitCode !== null) throw new Error(`${name} ended before it was ready: ${await output()}`);
      await sleep(10);
    }
  };

  return {
    folder,
    startDatabase,
    async quietDatabase() {
      const url = await startDatabase();
      await execute(url, "ALTER SYSTEM SET autovacuum = off");
      await execute(url, "SELECT pg_reload_conf()");
    },
    start,
    close,
    async createDatabase(name, copyOf) {
      const url = new URL(await startDatabase());
      const template = copyOf === undefined ? "" : ` TEMPLATE ${pg.escapeIdentifier(copyOf)}`;
      await execute(url.href, `CREATE DATABASE ${pg.escapeIdentifier(name)}${template}`);
      url.pathname = `/${name}`;
      if (copyOf === undefined) await applyMigrations(url.href);
      return url.href;
    },
    async serve({ name, databaseUrl, settings = {}, checkout = root, nodeOptions = [] }) {
      return await start(
        name,
        [...nodeOptions, path.join(checkout, "dist/bin/cli.js"), "serve", "--welcome"],
        {
          DATABASE_URL: databaseUrl,
          TASKMASTER_SESSION_SECRET: "a secret for benches, of thirty-two bytes or more",
          TASKMASTER_RATE_LIMIT_MAX: "1000000000",
          PORT: "0",
          ...settings,
        },
      );
    },
  };
}

/**
 * Node's options for a server that takes turns with others. V8 takes the pause for idleness and gives memory back, and the next turn
 * is slower by up to a half, by as much as chance will have it; a server under load has no such pauses.
 */
export const forTurns = ["--no-memory-reducer"];

export function isBuilt(checkout: string): boolean {
  return existsSync(path.join(checkout, "dist/bin/cli.js"));
}

export async function execute(databaseUrl: string, statement: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: "bench" });
  client.on("error", () => {});
  await client.connect();
  try {
    return await client.query(statement);
  } finally {
    await client.end();
  }
}

export function watch(child: ChildProcess): Pick<Program, "cpuMs" | "memory" | "stop"> {
  return {
    async cpuMs() {
      const threads = `/proc/${child.pid}/task`;
      const counts = (await readdir(threads)).map(async (thread) => {
        const text = await readFile(path.join(threads, thread, "schedstat"), "utf8");
        return Number(text.split(" ")[0]) / 1e6;
      });
      return (await Promise.all(counts)).reduce((sum, ms) => sum + ms, 0);
    },
    async memory() {
      const status = await readFile(`/proc/${child.pid}/status`, "utf8");
      const read = (name: string) =>
        (Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024) / 1e6;
      return { now: read("VmRSS"), most: read("VmHWM") };
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { startServer } from "../storage/embedded/server.ts";

export interface Scratch {
  /** A new empty database of the server, and its connection string. */
  database(): Promise<string>;
  close(): Promise<void>;
}

/** A PostgreSQL server to try things on, gone when closed. */
export async function openScratch(): Promise<Scratch> {
  const directory = await mkdtemp(path.join(tmpdir(), "task-master-pro-scratch-"));
  // A server that runs as another user than this process must be able to pass through.
  await chmod(directory, 0o711);
  const server = await startServer(directory);
  // Nothing here outlives the run, so nothing has to outlive a power cut.
  await run(server.connectionString, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()");
  let count = 0;
  return {
    async database() {
      count += 1;
      const name = `scratch_${count}`;
      await run(server.connectionString, `CREATE DATABASE ${name}`);
      const url = new URL(server.connectionString);
      url.pathname = `/${name}`;
      return url.href;
    },
    async close() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function run(connectionString: string, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

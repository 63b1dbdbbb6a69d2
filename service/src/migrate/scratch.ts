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
  let count = 0;
  return {
    async database() {
      count += 1;
      const name = `scratch_${count}`;
      const client = new pg.Client({ connectionString: server.connectionString });
      await client.connect();
      await client.query(`CREATE DATABASE ${name}`);
      await client.end();
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

import type { Storage } from "../../core/storage.ts";
import { applyMigrations } from "../../migrate/apply.ts";
import { openPostgres } from "../postgres/open.ts";
import { startServer } from "./server.ts";

export interface EmbeddedOptions {
  /** Where the database's files lie; made when there is none. */
  directory: string;
  poolSize: number;
  statementTimeoutMs: number;
}

export interface EmbeddedStorage extends Storage {
  connectionString: string;
}

/** The same storage on a PostgreSQL of its own, which is started, migrated, and stopped again by `close`. */
export async function openEmbedded({ directory, ...options }: EmbeddedOptions): Promise<EmbeddedStorage> {
  const server = await startServer(directory);
  try {
    await applyMigrations(server.connectionString);
    const storage = await openPostgres({ connectionString: server.connectionString, ...options });
    return {
      ...storage,
      connectionString: server.connectionString,
      async close() {
        await storage.close();
        await server.close();
      },
    };
  } catch (error) {
    await server.close();
    throw error;
  }
}

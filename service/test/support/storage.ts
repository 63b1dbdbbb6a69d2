import type { Storage } from "../../src/core/storage.ts";
import { openPostgres } from "../../src/storage/postgres/open.ts";
import { createTestDatabase } from "./database.ts";

export interface TestStorage {
  storage: Storage;
  connectionString: string;
  close(): Promise<void>;
}

/** Storage on a migrated database of its own. Make one a test file, and close it in afterAll. */
export async function openTestStorage(): Promise<TestStorage> {
  const database = await createTestDatabase();
  const storage = await openPostgres({
    connectionString: database.connectionString,
    poolSize: 20,
    statementTimeoutMs: 20_000,
  });
  return {
    storage,
    connectionString: database.connectionString,
    async close() {
      await storage.close();
      await database.drop();
    },
  };
}

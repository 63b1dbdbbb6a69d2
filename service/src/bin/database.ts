import type { Config } from "../config.ts";
import { AppError } from "../core/errors.ts";
import { startServer } from "../storage/embedded/server.ts";

interface DatabaseHandle {
  connectionString: string;
  /** Whether it is the embedded one, whose server this process has started or joined. */
  embedded: boolean;
  close(): Promise<void>;
}

/** For the programs that work on the database itself, under the storage: the embedded one is started, not migrated. */
async function openDatabase({ database }: Config): Promise<DatabaseHandle> {
  if (database.kind === "postgres") {
    return { connectionString: database.url, embedded: false, close: async () => {} };
  }
  if (database.kind === "file") {
    throw new AppError(
      "conflict",
      `DATABASE_URL names a folder (${database.directory}), and this command works on a PostgreSQL database. Files have no ` +
        "schema to migrate; back them up by git, or by copying the folder's .taskmaster.",
    );
  }
  const { connectionString, close } = await startServer(database.directory);
  return { connectionString, embedded: true, close };
}

/** The same, for as long as `work` takes. */
export async function onDatabase<T>(
  config: Config,
  work: (database: DatabaseHandle) => Promise<T>,
): Promise<T> {
  const database = await openDatabase(config);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

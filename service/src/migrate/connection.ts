import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { AppError } from "../core/errors.ts";

/** The key under which Prisma's own `migrate deploy` holds its lock, so that neither runs beside the other. */
const migrationLock = 72707369;
const pollMs = 200;

/** What a long run says of itself while it goes on. */
export type MigrateProgress =
  | { event: "waiting"; for: string; seconds: number }
  | { event: "statement"; migration: string; direction: "up" | "down"; statement: number; of: number }
  | { event: "retry"; migration: string; attempt: number; because: string }
  | { event: "note"; migration: string; text: string };

export interface MigratorOptions {
  /** The longest wait for another migrator, and for the locks of one statement; milliseconds. */
  waitMs?: number;
  onProgress?: (progress: MigrateProgress) => void;
}

/** One connection that holds the migration lock. */
export interface Migrator {
  client: pg.Client;
  waitMs: number;
  progress: (progress: MigrateProgress) => void;
}

export const defaultWaitMs = 300_000;

/** A connection of the migrator's; `connect` fails with what the database says. */
export async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    application_name: "task-master-pro migrate",
    connectionTimeoutMillis: 10_000,
  });
  // A connection that breaks while idle fails the next query, which says so; unheard, it would end the process.
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** Runs `work` while no other migrator runs, ours or Prisma's. */
export async function withMigrator<T>(
  connectionString: string,
  options: MigratorOptions,
  work: (migrator: Migrator) => Promise<T>,
): Promise<T> {
  const client = await connect(connectionString);
  const migrator = {
    client,
    waitMs: options.waitMs ?? defaultWaitMs,
    progress: options.onProgress ?? (() => {}),
  };
  try {
    // What a role or a database may set for its applications would end a long migration in the middle.
    await client.query(
      "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET search_path = public; SET TimeZone = 'UTC'",
    );
    // A migrator that is killed leaves its statement to the server, which would hold the lock until that ends. Not
    // every platform can look whether a client is still there.
    await client.query("SET client_connection_check_interval = '1s'").catch(() => {});
    await takeLock(client, "exclusive", migrator);
    return await work(migrator);
  } finally {
    await client.end().catch(() => {});
  }
}

/**
 * Takes the lock for as long as the session lasts: a migrator alone, whoever needs the schema to stay as it is beside
 * others. Throws AppError when it is not free in time.
 *
 * Polls instead of waiting inside the database: a session that waits there holds a snapshot, and a migration that
 * creates an index concurrently waits for every older snapshot, so the two would wait for each other.
 */
export async function takeLock(
  client: pg.Client,
  mode: "exclusive" | "shared",
  { waitMs, progress }: Pick<Migrator, "waitMs" | "progress">,
): Promise<void> {
  const started = Date.now();
  const take = mode === "exclusive" ? "pg_try_advisory_lock" : "pg_try_advisory_lock_shared";
  for (let said = 0; ; ) {
    const { rows } = await client.query<{ taken: boolean }>(`SELECT ${take}($1) AS taken`, [migrationLock]);
    if (rows[0]?.taken === true) return;
    const waited = Date.now() - started;
    if (waited > waitMs) {
      throw new AppError(
        "unavailable",
        `The schema has been in use by another for more than ${waitMs} ms: ${await holder(client)}. ` +
          "Wait for it to end, then run this again.",
      );
    }
    if (waited >= said * 2_000) {
      said += 1;
      progress({ event: "waiting", for: await holder(client), seconds: Math.round(waited / 1000) });
    }
    await sleep(pollMs);
  }
}

async function holder(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ pid: number; name: string }>(
    `SELECT a.pid, coalesce(nullif(a.application_name, ''), a.usename) AS name
     FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.objid = $1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     LIMIT 1`,
    [migrationLock],
  );
  return rows[0] === undefined
    ? "a migration that just ended"
    : `${rows[0].name} in the database's process ${rows[0].pid}`;
}

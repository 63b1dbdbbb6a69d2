import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { openEngine } from "./engine.ts";
import { readMigrations } from "./migrations.ts";

export interface ApplyOptions {
  /** How long to wait for another migrator before giving up. */
  waitMs?: number;
}

/** The key under which Prisma's own `migrate deploy` holds its lock, so that neither runs beside the other. */
const migrationLock = 72707369;
const pollMs = 200;

/**
 * Applies the package's migrations that the database does not have yet, in order, and returns their names. Many
 * processes may call it at once: one applies, the others wait and find nothing left.
 */
export async function applyMigrations(
  connectionString: string,
  options: ApplyOptions = {},
): Promise<string[]> {
  const { migrations, lockfile } = await readMigrations();
  // One connection that is never recycled: the lock is the session's, and the engine takes the same one once more.
  const pool = new pg.Pool({
    connectionString,
    max: 1,
    idleTimeoutMillis: 0,
    application_name: "task-master-pro migrate",
  });
  // A connection that breaks while idle fails the next query, which says so; unheard, it would end the process.
  pool.on("error", () => {});
  try {
    await takeLock(pool, options.waitMs ?? 120_000);
    const engine = await openEngine(pool);
    try {
      const { appliedMigrationNames } = await engine.applyMigrations({
        migrationsList: {
          baseDir: "prisma/migrations",
          lockfile: { path: "migration_lock.toml", content: lockfile },
          shadowDbInitScript: "",
          migrationDirectories: migrations.map(({ name, sql }) => ({
            path: name,
            migrationFile: { path: "migration.sql", content: { tag: "ok", value: sql } },
          })),
        },
        filters: { externalTables: [], externalEnums: [] },
      });
      return appliedMigrationNames;
    } finally {
      engine.free();
    }
  } finally {
    await pool.end();
  }
}

/**
 * Polls instead of waiting inside the database: a session that waits there holds a snapshot, and a migration that
 * creates an index concurrently waits for every older snapshot, so the two would wait for each other.
 */
async function takeLock(pool: pg.Pool, waitMs: number): Promise<void> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const { rows } = await pool.query<{ taken: boolean }>("SELECT pg_try_advisory_lock($1) AS taken", [
      migrationLock,
    ]);
    if (rows[0]?.taken === true) return;
    if (Date.now() > deadline)
      throw new Error(`Another migration has been running for more than ${waitMs} ms.`);
    await sleep(pollMs);
  }
}

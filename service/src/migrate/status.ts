import pg from "pg";
import { readMigrations } from "./migrations.ts";

export interface MigrationStatus {
  /** Finished and not rolled back, whether or not this program knows them. */
  applied: string[];
  /** This program's migrations that the database does not have. */
  pending: string[];
}

export async function migrationStatus(connectionString: string): Promise<MigrationStatus> {
  const { migrations } = await readMigrations();
  const client = new pg.Client({ connectionString, application_name: "task-master-pro migrate" });
  await client.connect();
  try {
    const ledger = await client.query<{ present: boolean }>(
      "SELECT to_regclass('_prisma_migrations') IS NOT NULL AS present",
    );
    const applied = ledger.rows[0]?.present === true ? await readLedger(client) : [];
    const known = new Set(applied);
    return { applied, pending: migrations.map(({ name }) => name).filter((name) => !known.has(name)) };
  } finally {
    await client.end();
  }
}

async function readLedger(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT migration_name AS name FROM _prisma_migrations
     WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY migration_name COLLATE "C"`,
  );
  return rows.map(({ name }) => name);
}

import type { Storage, StorageCheck } from "../../core/storage.ts";
import { openDatabase, type PostgresOptions } from "./client.ts";
import { createIdentityStore } from "./identity.ts";
import { createRepositories, createTransaction } from "./repositories.ts";
import { createSignals } from "./signals.ts";
import { type Db, sql } from "./sql.ts";
import { createUpkeep } from "./upkeep.ts";
import { schemaKnown, schemaMinimum } from "./window.ts";

/** Opens the storage on a PostgreSQL database (15 or newer) whose migrations are applied by others. */
export async function openPostgres(options: PostgresOptions): Promise<Storage> {
  const db = openDatabase(options);
  const signals = createSignals(options, db);

  return {
    identity: createIdentityStore(db, db.transaction),
    reader: (organizationId) => createRepositories(db, organizationId, signals.announce),
    snapshot: async (organizationId, work) =>
      await db.transaction(
        async (tx) => await work(createRepositories(tx, organizationId, () => {})),
        "REPEATABLE READ",
      ),
    async transaction(organizationId, work) {
      const appended = new Set<string>();
      const result = await db.transaction(async (tx) => {
        const heard = (projectIds: string[]) => {
          for (const projectId of projectIds) appended.add(projectId);
        };
        return await work(createTransaction(tx, organizationId, heard));
      });
      signals.announce(appended);
      return result;
    },
    watch: signals.watch,
    upkeep: createUpkeep(db),
    connections: db.connections,
    check: async () => await check(db),
    async close() {
      await signals.close();
      await db.close();
    },
  };
}

async function check(db: Db): Promise<StorageCheck> {
  try {
    await db.query(sql`SELECT 1 AS one`);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return {
      database: { ok: false, detail },
      migrations: { ok: false, detail: "The database does not answer." },
    };
  }
  const database = { ok: true, detail: "The database answers." };
  return { database, migrations: await checkSchema(db) };
}

/** Whether the schema lies inside the window of this program; if not, the detail says what to run. */
async function checkSchema(db: Db): Promise<{ ok: boolean; detail: string }> {
  const applied = await db
    .query<{ name: string }>(sql`
      SELECT migration_name AS name FROM _prisma_migrations
      WHERE migration_name >= ${schemaMinimum} COLLATE "C" AND finished_at IS NOT NULL AND rolled_back_at IS NULL`)
    .catch(() => undefined);
  if (applied === undefined || !applied.some(({ name }) => name === schemaMinimum)) {
    const detail = `The database lacks the migration ${schemaMinimum}; run: task-master-pro migrate up`;
    return { ok: false, detail };
  }
  // Without the ledger, another tool applied the migrations, and what it applied later is taken to be an expansion.
  const beyond = applied.some(({ name }) => name > schemaKnown)
    ? await db
        .query<{ name: string }>(sql`
          SELECT name FROM migrate.ledger WHERE name > ${schemaKnown} COLLATE "C" AND kind = 'contract' ORDER BY name LIMIT 1`)
        .catch(() => [])
    : [];
  if (beyond[0] !== undefined) {
    const detail =
      `The database has the contract step ${beyond[0].name}, which this release does not know; run a newer release, ` +
      `or go back with: task-master-pro migrate down --to ${schemaKnown}`;
    return { ok: false, detail };
  }
  return { ok: true, detail: `The schema is inside the window that begins with ${schemaMinimum}.` };
}

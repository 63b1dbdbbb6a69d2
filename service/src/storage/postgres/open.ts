import { setTimeout as sleep } from "node:timers/promises";
import type { Storage, StorageCheck } from "../../core/storage.ts";
import { acquireTimeoutMs, createClient, createPool, database, type PostgresOptions } from "./client.ts";
import { isRetryable, translate } from "./errors.ts";
import { Prisma } from "./generated/client.ts";
import { createIdentityStore } from "./identity.ts";
import { createRepositories, createTransaction } from "./repositories.ts";
import { type Db, sql } from "./sql.ts";
import { createUpkeep } from "./upkeep.ts";
import { schemaMinimum } from "./window.ts";

const attempts = 5;

/** Opens the storage on a PostgreSQL database (15 or newer) whose migrations are applied by others. */
export async function openPostgres(options: PostgresOptions): Promise<Storage> {
  const pool = createPool(options);
  const client = createClient(pool);
  const db = database(client);
  // The pool gives up first: a connection that came to a transaction nobody waits for any more would be lost. And a
  // transaction holds locks, so it may not go on for longer than a few statements at their slowest.
  const limits = { maxWait: acquireTimeoutMs * 2, timeout: options.statementTimeoutMs * 2 };

  const run = async <T>(
    work: (db: Db) => Promise<T>,
    isolationLevel?: Prisma.TransactionIsolationLevel,
  ): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await client
          .$transaction(async (tx) => await work(database(tx)), {
            ...limits,
            ...(isolationLevel === undefined ? {} : { isolationLevel }),
          })
          .catch(translate);
      } catch (error) {
        if (attempt >= attempts || !isRetryable(error)) throw error;
        // Apart by chance, or those who met once would meet again.
        await sleep(Math.random() * 20 * 2 ** attempt);
      }
    }
  };

  return {
    identity: createIdentityStore(db, run),
    reader: (organizationId) => createRepositories(db, organizationId),
    snapshot: async (organizationId, work) =>
      await run(
        async (tx) => await work(createRepositories(tx, organizationId)),
        Prisma.TransactionIsolationLevel.RepeatableRead,
      ),
    transaction: async (organizationId, work) =>
      await run(async (tx) => await work(createTransaction(tx, organizationId))),
    upkeep: createUpkeep(db),
    check: async () => await check(db),
    async close() {
      await client.$disconnect();
      await pool.end();
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
  try {
    const applied = await db.query(sql`
      SELECT 1 AS one FROM _prisma_migrations
      WHERE migration_name = ${schemaMinimum} AND finished_at IS NOT NULL AND rolled_back_at IS NULL LIMIT 1`);
    return applied.length > 0
      ? { database, migrations: { ok: true, detail: `Migration ${schemaMinimum} is applied.` } }
      : {
          database,
          migrations: { ok: false, detail: `Migration ${schemaMinimum} is missing; run the migrations.` },
        };
  } catch {
    return { database, migrations: { ok: false, detail: "The database has no migrations yet; run them." } };
  }
}

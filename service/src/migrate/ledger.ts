import { randomUUID } from "node:crypto";
import type pg from "pg";
import { AppError } from "../core/errors.ts";
import { type Migration, sha256 } from "./migrations.ts";

/**
 * The migrator's own memory, in a schema of its own where Prisma's tools, which look at public, do not take it for
 * drift. It keeps both scripts of every migration, so that a program that never knew one can still revert it, or
 * build the schema that a backup was taken of.
 */
const tables = `
CREATE SCHEMA IF NOT EXISTS migrate;
CREATE TABLE IF NOT EXISTS migrate.ledger (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    up_sql text NOT NULL,
    down_sql text,
    down_sha256 text,
    kind text NOT NULL CHECK (kind IN ('expand', 'contract')),
    in_transaction boolean NOT NULL,
    loses_up text[] NOT NULL,
    loses_down text[] NOT NULL,
    -- Outside a transaction a script goes on from where it was cut off: how many of its statements are done.
    state text NOT NULL CHECK (state IN ('applying', 'applied', 'reverting')),
    statements_done integer NOT NULL DEFAULT 0,
    program text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
-- Says whose data it is: a backup is not restored over the data of another installation.
CREATE TABLE IF NOT EXISTS migrate.installation (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO migrate.installation (id) SELECT gen_random_uuid() WHERE NOT EXISTS (SELECT FROM migrate.installation);
-- A server that runs as another role reads there whether it can run on this schema.
GRANT USAGE ON SCHEMA migrate TO PUBLIC;
GRANT SELECT ON migrate.ledger TO PUBLIC;
-- As Prisma's own tools make it.
CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
);`;

/** A migration as the database remembers it. */
export interface Recorded {
  name: string;
  checksum: string;
  finished: boolean;
  /** Null for one that another tool applied, before the ledger knew of it. */
  ledger: {
    up: string;
    down: string | null;
    downSha256: string | null;
    kind: "expand" | "contract";
    transaction: boolean;
    loses: { up: string[]; down: string[] };
    state: "applying" | "applied" | "reverting";
    statementsDone: number;
  } | null;
}

/** Makes the ledger where there is none. */
export async function ensureLedger(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ present: boolean }>(
    "SELECT to_regclass('migrate.installation') IS NOT NULL AND to_regclass('_prisma_migrations') IS NOT NULL AS present",
  );
  if (rows[0]?.present === true) return;
  try {
    await client.query(`BEGIN; SET LOCAL client_min_messages = warning; ${tables} COMMIT;`);
  } catch (error) {
    await client.query("ROLLBACK");
    if (!(error instanceof Error && "code" in error && error.code === "42501")) throw error;
    throw new AppError(
      "forbidden",
      `The database's user may not make what the migrator needs (${error.message}). Let it own the database, or: GRANT CREATE ON DATABASE … TO it, and GRANT CREATE ON SCHEMA public TO it.`,
    );
  }
}

/** What was applied and not reverted, also half, by name; empty for a database that never saw a migration. */
export async function readRecorded(client: pg.Client): Promise<Recorded[]> {
  const { rows } = await client.query<{ prisma: boolean; ledger: boolean }>(
    "SELECT to_regclass('_prisma_migrations') IS NOT NULL AS prisma, to_regclass('migrate.ledger') IS NOT NULL AS ledger",
  );
  if (rows[0]?.prisma !== true) return [];
  const known = rows[0].ledger
    ? "LEFT JOIN migrate.ledger l ON l.name = p.migration_name"
    : "LEFT JOIN (SELECT NULL::text AS name, NULL::text AS up_sql, NULL::text AS down_sql, NULL::text AS down_sha256, NULL::text AS kind, NULL::boolean AS in_transaction, NULL::text[] AS loses_up, NULL::text[] AS loses_down, NULL::text AS state, NULL::integer AS statements_done) l ON l.name = p.migration_name";
  const found = await client.query<
    { name: string; checksum: string; finished: boolean } & Record<string, never>
  >(
    `SELECT p.migration_name AS name, p.checksum, p.finished_at IS NOT NULL AS finished,
            CASE WHEN l.name IS NOT NULL THEN json_build_object(
              'up', l.up_sql, 'down', l.down_sql, 'downSha256', l.down_sha256, 'kind', l.kind,
              'transaction', l.in_transaction, 'loses', json_build_object('up', l.loses_up, 'down', l.loses_down),
              'state', l.state, 'statementsDone', l.statements_done) END AS ledger
     FROM _prisma_migrations p ${known}
     WHERE p.rolled_back_at IS NULL ORDER BY p.migration_name COLLATE "C"`,
  );
  return found.rows as unknown as Recorded[];
}

/** Whose data it is; null before the first migration by this program. */
export async function readInstallation(client: pg.ClientBase): Promise<string | null> {
  const { rows } = await client.query<{ present: boolean }>(
    "SELECT to_regclass('migrate.installation') IS NOT NULL AS present",
  );
  if (rows[0]?.present !== true) return null;
  const found = await client.query<{ id: string }>("SELECT id FROM migrate.installation");
  return found.rows[0]?.id ?? null;
}

/** Before the first statement of a script that runs outside a transaction. */
export async function recordStart(client: pg.Client, migration: Migration, program: string): Promise<void> {
  await inTransaction(client, async () => {
    await insertPrisma(client, migration, false);
    await insertLedger(client, migration, program, "applying");
  });
}

/** Within the migration's own transaction, or after its last statement. */
export async function recordApplied(client: pg.Client, migration: Migration, program: string): Promise<void> {
  if (migration.transaction) {
    await insertPrisma(client, migration, true);
    await insertLedger(client, migration, program, "applied");
    return;
  }
  await inTransaction(client, async () => {
    await client.query(
      `UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1, logs = NULL
       WHERE migration_name = $1 AND rolled_back_at IS NULL`,
      [migration.name],
    );
    await client.query(
      "UPDATE migrate.ledger SET state = 'applied', statements_done = 0, applied_at = now() WHERE name = $1",
      [migration.name],
    );
  });
}

/** For one that Prisma's own tools applied, so that it can be reverted as well. */
export async function adopt(client: pg.Client, migration: Migration, program: string): Promise<void> {
  await insertLedger(client, migration, program, "applied");
}

export async function recordReverting(client: pg.Client, name: string): Promise<void> {
  await client.query("UPDATE migrate.ledger SET state = 'reverting', statements_done = 0 WHERE name = $1", [
    name,
  ]);
}

/** As `prisma migrate resolve --rolled-back` writes it: a row with rolled_back_at is one that was never applied. */
export async function recordReverted(client: pg.Client, name: string): Promise<void> {
  await client.query(
    "UPDATE _prisma_migrations SET rolled_back_at = clock_timestamp() WHERE migration_name = $1 AND rolled_back_at IS NULL",
    [name],
  );
  await client.query("DELETE FROM migrate.ledger WHERE name = $1", [name]);
}

export async function recordStatement(client: pg.Client, name: string, done: number): Promise<void> {
  await client.query("UPDATE migrate.ledger SET statements_done = $2 WHERE name = $1", [name, done]);
}

/** Where Prisma's tools, and whoever asks for the status, find why it stopped. */
export async function recordFailure(client: pg.Client, name: string, message: string): Promise<void> {
  await client.query(
    "UPDATE _prisma_migrations SET logs = $2 WHERE migration_name = $1 AND rolled_back_at IS NULL AND finished_at IS NULL",
    [name, message],
  );
}

export async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query("BEGIN");
  try {
    const result = await work();
    await client.query("COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {});
    throw error;
  }
}

async function insertPrisma(client: pg.Client, migration: Migration, finished: boolean): Promise<void> {
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
     VALUES ($1, $2, $3, now(), CASE WHEN $4 THEN clock_timestamp() END, CASE WHEN $4 THEN 1 ELSE 0 END)`,
    [randomUUID(), migration.checksum, migration.name, finished],
  );
}

async function insertLedger(
  client: pg.Client,
  { name, checksum, sql, down, kind, transaction, loses }: Migration,
  program: string,
  state: "applying" | "applied",
): Promise<void> {
  await client.query(
    `INSERT INTO migrate.ledger (name, checksum, up_sql, down_sql, down_sha256, kind, in_transaction, loses_up, loses_down, state, program)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
     -- Prisma's tools roll back, or drop all of public, without a word to the ledger.
     ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, up_sql = excluded.up_sql, down_sql = excluded.down_sql,
       down_sha256 = excluded.down_sha256, kind = excluded.kind, in_transaction = excluded.in_transaction,
       loses_up = excluded.loses_up, loses_down = excluded.loses_down, state = excluded.state, statements_done = 0,
       program = excluded.program, applied_at = now()`,
    [
      name,
      checksum,
      sql,
      down,
      down === null ? null : sha256(down),
      kind,
      transaction,
      loses.up,
      loses.down,
      state,
      program,
    ],
  );
}

import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { AppError } from "../core/errors.ts";
import type { Migrator } from "./connection.ts";
import { inTransaction, recordStatement } from "./ledger.ts";
import { type Statement, splitStatements } from "./statements.ts";

export interface Script {
  migration: string;
  direction: "up" | "down";
  sql: string;
  transaction: boolean;
  /** How many of the statements an earlier run has done; 0 inside a transaction. */
  done: number;
  /** Writes down that it happened: inside its transaction, or after its last statement. */
  finish: () => Promise<void>;
}

/**
 * How long a statement may wait for a lock before it gives up and tries again. While it waits, whoever comes after it
 * waits as well, so this is about the longest time that a migration makes a writer wait.
 */
const lockTimeoutMs = 25;

/** Runs a migration's script: in one transaction, or statement by statement, going on from where it was cut off. */
export async function runScript(migrator: Migrator, script: Script): Promise<void> {
  const statements = splitStatements(script.sql);
  if (script.transaction) await runWhole(migrator, script, statements);
  else await runSteps(migrator, script, statements);
}

function fileOf({ migration, direction }: Script): string {
  return `${migration}/${direction === "up" ? "migration.sql" : "down.sql"}`;
}

/** All or nothing: whatever ends it in the middle leaves the schema, the ledger and Prisma's table as they were. */
async function runWhole(migrator: Migrator, script: Script, statements: Statement[]): Promise<void> {
  const { client } = migrator;
  await insist(migrator, script, async () => {
    await inTransaction(client, async () => {
      await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
      for (const [index, statement] of statements.entries()) {
        await runStatement(client, script, statements, index, statement);
        report(migrator, script, index, statements);
      }
      await script.finish();
    });
  });
}

async function runSteps(migrator: Migrator, script: Script, statements: Statement[]): Promise<void> {
  const { client } = migrator;
  for (const [index, statement] of statements.entries()) {
    if (index < script.done) continue;
    if (statement.concurrentIndex !== null) await dropInvalid(migrator, script, statement.concurrentIndex);
    await insist(migrator, script, async () => {
      await client.query(`SET lock_timeout = ${statement.waitsQuietly ? 0 : lockTimeoutMs}`);
      await runStatement(client, script, statements, index, statement).catch(async (error: unknown) => {
        // A failed build leaves an index that is maintained at every write and used by nobody.
        if (statement.concurrentIndex !== null) {
          await dropInvalid(migrator, script, statement.concurrentIndex).catch(() => {});
        }
        throw error;
      });
    });
    await recordStatement(client, script.migration, index + 1);
    report(migrator, script, index, statements);
  }
  await client.query("SET lock_timeout = 0");
  await script.finish();
}

/**
 * CREATE INDEX CONCURRENTLY that was killed leaves an invalid index under its name, which IF NOT EXISTS then takes for
 * the real one for ever.
 */
async function dropInvalid({ client, progress }: Migrator, script: Script, index: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT i.indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE c.relname = $1 AND pg_table_is_visible(c.oid) AND NOT i.indisvalid`,
    [index],
  );
  if (rows[0] === undefined) return;
  progress({
    event: "note",
    migration: script.migration,
    text: `the index ${index} was left unfinished; it is dropped and built again`,
  });
  await client.query("SET lock_timeout = 0");
  await client.query(`DROP INDEX CONCURRENTLY IF EXISTS ${rows[0].name}`);
}

async function runStatement(
  client: pg.Client,
  script: Script,
  statements: Statement[],
  index: number,
  statement: Statement,
): Promise<void> {
  try {
    await client.query(statement.text);
  } catch (error) {
    if (codeOf(error) === undefined || isLockFailure(error)) throw error;
    const message = error instanceof Error ? error.message : String(error);
    const nothing = script.transaction
      ? " Nothing was changed."
      : " Mend it, then run this again; it goes on from there.";
    throw new AppError(
      "conflict",
      `${fileOf(script)}, statement ${index + 1} of ${statements.length}: ${message} (${codeOf(error)}).${nothing}\n  ${excerpt(statement.text)}`,
      { cause: error },
    );
  }
}

function excerpt(sql: string): string {
  const line = sql
    .split("\n")
    .filter((part) => !part.trimStart().startsWith("--"))
    .join(" ")
    .replace(/\s+/g, " ")
    .trim();
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

function report({ progress }: Migrator, script: Script, index: number, statements: Statement[]): void {
  progress({
    event: "statement",
    migration: script.migration,
    direction: script.direction,
    statement: index + 1,
    of: statements.length,
  });
}

/** Tries again for as long as only locks are in the way, apart by chance and ever less often. */
async function insist(migrator: Migrator, script: Script, work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + migrator.waitMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (!isLockFailure(error)) throw error;
      const others = await longest(migrator.client);
      if (Date.now() > deadline) {
        throw new AppError(
          "unavailable",
          `${fileOf(script)}: the locks it needs were not free within ${migrator.waitMs} ms. ${others} ` +
            "End what holds them, or run this again at a quieter time.",
          { cause: error },
        );
      }
      // The first tries come quickly one after the other and say nothing: among short transactions one soon succeeds.
      if (attempt % 10 === 0) {
        migrator.progress({ event: "retry", migration: script.migration, attempt, because: others });
      }
      await sleep(Math.random() * Math.min(2_000, 50 * 1.3 ** attempt));
    }
  }
}

async function longest(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ pid: number; name: string; seconds: number; query: string }>(
    `SELECT pid, coalesce(nullif(application_name, ''), usename) AS name, left(query, 80) AS query,
            extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
     FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
     ORDER BY xact_start LIMIT 3`,
  );
  if (rows.length === 0) return "No long transaction runs now.";
  const list = rows.map(
    ({ pid, name, seconds, query }) =>
      `process ${pid} (${name}) for ${seconds} s: ${query.replace(/\s+/g, " ")}`,
  );
  return `The longest transactions: ${list.join("; ")}.`;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** A lock timeout, or a deadlock that the database broke by refusing us. */
function isLockFailure(error: unknown): boolean {
  const code = codeOf(error);
  return code === "55P03" || code === "40P01";
}

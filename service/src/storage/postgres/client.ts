import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Connections } from "../../core/storage.ts";
import { createAdmission } from "./admission.ts";
import { isAborted, isRetryable, translate } from "./errors.ts";
import { gather } from "./gather.ts";
import { createLanes } from "./lanes.ts";
import type { Db, Sql } from "./sql.ts";

export interface PostgresOptions {
  connectionString: string;
  poolSize: number;
  /** The database ends a statement that runs longer. */
  statementTimeoutMs: number;
  applicationName?: string;
  /** Runs each statement of a use case, of which it is told the text and never a value. */
  observe?: ObserveStatement | undefined;
}

export type ObserveStatement = <T>(text: string, run: () => Promise<T>) => Promise<T>;

/** How long a use case waits for a free connection, and who listens for events for an answer. */
export const acquireTimeoutMs = 5_000;

/**
 * How long the database may take to accept a new connection. Shorter, because while another server takes over, a connection to
 * the one that is gone gets no answer at all, and the next attempt may get one.
 */
export class Client extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super({ ...config, connectionTimeoutMillis: 2_000 });
  }
}

/** How often a transaction is run before its caller is told that the database gives up on it. */
const attempts = 5;

export interface Database extends Db {
  /** Runs the work in one transaction, and once more where the database gave up on it because of others. */
  transaction<T>(work: (db: Db) => Promise<T>, isolation?: Isolation): Promise<T>;
  connections(): Connections;
  close(): Promise<void>;
}

type Hold = <T>(work: (client: pg.PoolClient) => Promise<T>) => Promise<T>;

export type Isolation = "READ COMMITTED" | "REPEATABLE READ";

/**
 * Statements go to pg as they are, each prepared once a connection. Prisma's client, which would run them as well, costs several
 * times what the statement does (docs/adr/0006-statements-by-pg.md).
 */
export function openDatabase(options: PostgresOptions): Database {
  const pool = createPool(options);
  const admission = createAdmission(pool);
  const observe: ObserveStatement = options.observe ?? ((_text, run) => run());

  const query = async (client: pg.PoolClient, { text, values }: Sql): Promise<pg.QueryResult> => {
    // With all that is asked at once of this connection, which may be held for longer already.
    gather(client, process.nextTick);
    return await observe(text, () => client.query({ name: statementName(text), text, values })).catch(
      translate,
    );
  };

  /** Both give a connection for as long as the work takes: one that is nobody else's then, and one that may be shared. */
  const statements = (holding: Hold, sharing: Hold): Omit<Db, "send"> => ({
    query: async (statement) => (await holding((client) => query(client, statement))).rows,
    lookup: async (statement) => (await sharing((client) => query(client, statement))).rows,
    execute: async (statement) => (await holding((client) => query(client, statement))).rowCount ?? 0,
    executeAndQuery: async <Row>(change: Sql, read: Sql) =>
      await holding(async (client) => {
        const [changed, found] = await Promise.all([query(client, change), query(client, read)]);
        return { touched: changed.rowCount ?? 0, rows: found.rows as Row[] };
      }),
  });

  async function once<T>(work: (db: Db) => Promise<T>, isolation: Isolation): Promise<T> {
    const client = await observe("BEGIN", () => admission.acquire());
    let held = true;
    const giveBack = (broken: boolean) => {
      if (held) client.release(broken);
      held = false;
    };
    // A transaction holds locks, so it may not go on for longer than a few statements at their slowest.
    const limit = setTimeout(giveBack, options.statementTimeoutMs * 2, true);
    // What went wrong with a statement that nobody waits for; those behind it fail because of it.
    let unheard: { error: unknown } | undefined;
    const unawaited = (statement: Promise<unknown>) =>
      void statement.catch((error: unknown) => {
        if (!isAborted(error)) unheard ??= { error };
      });
    try {
      const own: Hold = async (statement) => await statement(client);
      gather(client, process.nextTick);
      // It goes with the first statement, whose answer comes behind its own.
      unawaited(client.query(`BEGIN ISOLATION LEVEL ${isolation}`));
      const result = await work({
        ...statements(own, own),
        send: async (statement) => unawaited(query(client, statement)),
      });
      gather(client, process.nextTick);
      const { command } = await observe("COMMIT", () => client.query("COMMIT"));
      // What the database says of a transaction in which a statement failed, and nobody minded.
      if (command !== "COMMIT")
        throw new Error("The transaction was rolled back, as one of its statements had failed.");
      return result;
    } catch (error) {
      if (held) await client.query("ROLLBACK").catch(() => giveBack(true));
      return translate(unheard === undefined ? error : unheard.error);
    } finally {
      clearTimeout(limit);
      giveBack(false);
    }
  }

  const holding: Hold = async (work) => {
    const client = await admission.acquire();
    try {
      return await work(client);
    } finally {
      client.release();
    }
  };
  const lanes = createLanes(pool, admission, Math.max(1, Math.trunc(options.poolSize / 4)));

  return {
    ...statements(holding, lanes.share),
    send: async (statement) => void (await holding((client) => query(client, statement))),
    async transaction(work, isolation = "READ COMMITTED") {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await once(work, isolation);
        } catch (error) {
          if (attempt >= attempts || !isRetryable(error)) throw error;
          // Apart by chance, or those who met once would meet again.
          await sleep(Math.random() * 20 * 2 ** attempt);
        }
      }
    },
    connections: () => ({
      max: options.poolSize,
      used: pool.totalCount - pool.idleCount,
      idle: pool.idleCount,
      // The pool queues a request for a moment also when it has an idle connection for it.
      waiting: Math.max(0, pool.waitingCount - pool.idleCount),
      backlog: admission.backlog(),
    }),
    close: async () => await pool.end(),
  };
}

function createPool(options: PostgresOptions): pg.Pool {
  const pool = new pg.Pool({
    Client,
    connectionString: options.connectionString,
    max: options.poolSize,
    application_name: options.applicationName ?? "task-master-pro",
    connectionTimeoutMillis: acquireTimeoutMs,
    keepAlive: true,
    // A statement need not wait for the answer to the one before.
    pipeline: true,
    // For a database that went away without a word: nothing else ends the wait for its answer.
    query_timeout: options.statementTimeoutMs + acquireTimeoutMs,
    // Set here and not as start-up parameters: those of the connection string would win over them, and a pooler
    // between us and the database refuses those it does not know.
    onConnect: (client) =>
      client.query(
        `SET TimeZone = 'UTC'; SET default_transaction_isolation = 'read committed';
         SET statement_timeout = ${Math.trunc(options.statementTimeoutMs)};
         SET idle_in_transaction_session_timeout = ${Math.trunc(options.statementTimeoutMs) * 2}`,
      ),
  });
  // A connection that breaks while idle, or between two statements, fails the next query, which says so; unheard, it would
  // end the process.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}

const names = new Map<string, string>();

/** By the text, so that a name can never stand for another statement on a connection that has it already. */
function statementName(text: string): string {
  const known = names.get(text);
  if (known !== undefined) return known;
  const name = createHash("sha256").update(text).digest("base64url").slice(0, 32);
  // Texts are few; should they ever not be, forgetting costs a hash and no more.
  if (names.size >= 2_000) names.clear();
  names.set(text, name);
  return name;
}

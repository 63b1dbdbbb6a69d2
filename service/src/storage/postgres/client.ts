import { createHash } from "node:crypto";
import { PrismaPg } from "@prisma/adapter-pg";
import type { SqlDriverAdapterFactory, SqlQueryable } from "@prisma/driver-adapter-utils";
import pg from "pg";
import { translate } from "./errors.ts";
import { type Prisma, PrismaClient } from "./generated/client.ts";
import type { Db } from "./sql.ts";

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

/** How long a use case waits for a free connection, and for the database to accept a new one. */
export const acquireTimeoutMs = 5_000;

export function createPool(options: PostgresOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.poolSize,
    application_name: options.applicationName ?? "task-master-pro",
    connectionTimeoutMillis: acquireTimeoutMs,
    keepAlive: true,
    // For a database that went away without a word: nothing else ends the wait for its answer.
    query_timeout: options.statementTimeoutMs + acquireTimeoutMs,
    // Set here and not as start-up parameters: those of the connection string would win over them, and a pooler
    // between us and the database refuses those it does not know. The adapter writes dates without their zone.
    onConnect: (client) =>
      client.query(
        `SET TimeZone = 'UTC'; SET default_transaction_isolation = 'read committed';
         SET statement_timeout = ${Math.trunc(options.statementTimeoutMs)};
         SET idle_in_transaction_session_timeout = ${Math.trunc(options.statementTimeoutMs) * 2}`,
      ),
  });
  // A connection that breaks while idle fails the next query, which says so; unheard, it would end the process.
  pool.on("error", () => {});
  return pool;
}

export function createClient(pool: pg.Pool, observe?: ObserveStatement): PrismaClient {
  const adapter = new PrismaPg(pool, { statementNameGenerator: ({ sql }) => statementName(sql) });
  return new PrismaClient({
    adapter: observe === undefined ? adapter : observed(adapter, observe),
    errorFormat: "minimal",
  });
}

/** At the driver adapter, since behind it the pool runs statements as connections come free, on whoever's behalf. */
function observed(factory: PrismaPg, observe: ObserveStatement): SqlDriverAdapterFactory {
  return {
    provider: factory.provider,
    adapterName: factory.adapterName,
    async connect() {
      const adapter = observeQueries(await factory.connect(), observe);
      const start = adapter.startTransaction.bind(adapter);
      // With the wait for a connection: the statement itself is over in a moment.
      adapter.startTransaction = async (isolationLevel) =>
        observeQueries(await observe("BEGIN", () => start(isolationLevel)), observe);
      return adapter;
    },
  };
}

function observeQueries<Q extends SqlQueryable>(queryable: Q, observe: ObserveStatement): Q {
  const queryRaw = queryable.queryRaw.bind(queryable);
  const executeRaw = queryable.executeRaw.bind(queryable);
  queryable.queryRaw = (query) => observe(query.sql, () => queryRaw(query));
  queryable.executeRaw = (query) => observe(query.sql, () => executeRaw(query));
  return queryable;
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

/** The two ways to run SQL, with the library's errors translated at the one place where they arise. */
export function database(client: Pick<Prisma.TransactionClient, "$queryRaw" | "$executeRaw">): Db {
  return {
    query: async (statement) => await client.$queryRaw<never[]>(statement).catch(translate),
    execute: async (statement) => await client.$executeRaw(statement).catch(translate),
  };
}

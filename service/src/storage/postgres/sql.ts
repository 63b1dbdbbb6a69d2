import { empty, join, raw, type Sql, sql } from "@prisma/client-runtime-utils";

export { empty, join, type Sql, sql };

/** What a repository needs: the database, or a transaction of it. */
export interface Db {
  query<Row>(sql: Sql): Promise<Row[]>;
  /** The same for a read by a key, which is over at once: it may go over a connection that others use as well. */
  lookup<Row>(sql: Sql): Promise<Row[]>;
  /** How many rows it touched. */
  execute(sql: Sql): Promise<number>;
  /**
   * A statement of which nothing is to be known but that it succeeds: a transaction goes on while it runs, and fails with it at
   * the latest when it commits.
   */
  send(sql: Sql): Promise<void>;
  /** A change, and what is read behind it: on one connection, in one round trip, each a statement of its own. */
  executeAndQuery<Row>(change: Sql, read: Sql): Promise<{ touched: number; rows: Row[] }>;
}

/**
 * A timestamptz column as an ISO string with milliseconds. Rendered by the database, so that no time zone and no
 * precision of another clock gets in between.
 */
export function iso(column: string): Sql {
  return raw(`to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`);
}

/** A fragment from this program's own text; never from a caller's. */
export function text(fragment: string): Sql {
  return raw(fragment);
}

export function and(conditions: Sql[]): Sql {
  return join(conditions, " AND ");
}

/** One value as JSON, null staying SQL's null. */
export function json(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

/** Rows for json_to_recordset: one parameter however many rows, so the statement's text and plan stay the same. */
export function records(rows: readonly object[]): string {
  return JSON.stringify(rows);
}

/** The assignments of an UPDATE for the members that a patch has. */
export function assignments(parts: (Sql | false)[]): Sql {
  const kept = parts.filter((part) => part !== false);
  return kept.length === 0 ? empty : sql`${join(kept)},`;
}

export function first<Row>(rows: Row[]): Row | undefined {
  return rows[0];
}

/** The row of a statement that always gives one. */
export function only<Row>(rows: Row[]): Row {
  return present(rows[0]);
}

/** What was written just now, in the same transaction. */
export function present<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new Error("The database returned no row where there is always one.");
  return row;
}

import { createHash } from "node:crypto";
import pg from "pg";

export interface Table {
  schema: string;
  name: string;
  /** By name and without generated ones: neither their order nor what the database works out itself is data. */
  columns: string[];
}

export interface TableContents {
  schema: string;
  name: string;
  rows: number;
  /** Of all rows, whatever their order: 32 hexadecimal digits. */
  hash: string;
}

export interface Sequence {
  schema: string;
  name: string;
  value: string;
  called: boolean;
}

/** How values are written as text must not depend on who asks. */
export const plainText =
  "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; " +
  "SET extra_float_digits = 1; SET client_encoding = 'UTF8'";

const userSchemas =
  "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' " +
  "AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')";

/** Every table of a database but the system's and those of extensions. */
export async function listTables(client: pg.ClientBase): Promise<Table[]> {
  const { rows } = await client.query<Table>(
    `SELECT n.nspname AS schema, c.relname AS name,
            array(SELECT a.attname::text FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                  ORDER BY a.attname COLLATE "C") AS columns
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND ${userSchemas}
     ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`,
  );
  return rows;
}

export async function listSequences(client: pg.ClientBase): Promise<Sequence[]> {
  const { rows } = await client.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'S' AND ${userSchemas}
     ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`,
  );
  const sequences: Sequence[] = [];
  for (const { schema, name } of rows) {
    const found = await client.query<{ value: string; called: boolean }>(
      `SELECT last_value::text AS value, is_called AS called FROM ${qualified({ schema, name })}`,
    );
    const { value = "1", called = false } = found.rows[0] ?? {};
    sequences.push({ schema, name, value, called });
  }
  return sequences;
}

export function qualified({ schema, name }: { schema: string; name: string }): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}

export function columnList(columns: readonly string[]): string {
  return columns.map((column) => pg.escapeIdentifier(column)).join(", ");
}

/**
 * Counts and hashes a table's rows inside the database, so that they need not be sent. Each row's text is hashed by
 * SHA-256 and the first two eights of its bytes are summed apart: sums do not depend on the order, and no change of a
 * row, no row more or less and no exchange of values between rows leaves both as they were but by chance (2^-128).
 */
export async function hashTable(client: pg.ClientBase, table: Table): Promise<TableContents> {
  const { rows } = await client.query<{ rows: string; a: string; b: string }>(
    `SELECT count(*)::text AS rows,
            coalesce(sum(('x' || left(h, 16))::bit(64)::bigint::numeric), 0)::text AS a,
            coalesce(sum(('x' || substr(h, 17, 16))::bit(64)::bigint::numeric), 0)::text AS b
     FROM (SELECT encode(sha256(convert_to(ROW(${columnList(table.columns)})::text, 'UTF8')), 'hex') AS h
           FROM ${qualified(table)}) AS hashed`,
  );
  const { rows: count = "0", a = "0", b = "0" } = rows[0] ?? {};
  const hash = createHash("sha256").update(`${count} ${a} ${b}`).digest("hex").slice(0, 32);
  return { schema: table.schema, name: table.name, rows: Number(count), hash };
}

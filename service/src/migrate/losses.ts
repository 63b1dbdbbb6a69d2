import pg from "pg";

/** What a step would lose of one table or column, counted now. */
export interface Loss {
  /** A table, or table.column. */
  name: string;
  /** Rows of the table, or values of the column that are not null. */
  count: number;
}

/** Those of the named tables and columns that hold something: an empty one can go, and nothing is lost. */
export async function countLosses(client: pg.Client, names: readonly string[]): Promise<Loss[]> {
  const losses: Loss[] = [];
  for (const name of names) {
    const [table = "", column] = name.split(".");
    const { rows } = await client.query<{ present: boolean }>(
      `SELECT to_regclass(quote_ident($1)) IS NOT NULL AND ($2::text IS NULL OR EXISTS (
         SELECT FROM pg_attribute WHERE attrelid = to_regclass(quote_ident($1)) AND attname = $2 AND NOT attisdropped)) AS present`,
      [table, column ?? null],
    );
    if (rows[0]?.present !== true) continue;
    const what = column === undefined ? "*" : pg.escapeIdentifier(column);
    const counted = await client.query<{ count: string }>(
      `SELECT count(${what}) AS count FROM ${pg.escapeIdentifier(table)}`,
    );
    const count = Number(counted.rows[0]?.count);
    if (count > 0) losses.push({ name, count });
  }
  return losses;
}

export function describeLosses(losses: readonly Loss[]): string {
  return losses
    .map(
      ({ name, count }) =>
        `${name} (${count} ${name.includes(".") ? "value" : "row"}${count === 1 ? "" : "s"})`,
    )
    .join(", ");
}

import type pg from "pg";

/** Columns are compared by name: one that was dropped and made again stands last, and nothing depends on that. */
const parts = [
  `SELECT format('table %s %s', c.relname, c.relpersistence) FROM pg_class c
   WHERE c.relkind IN ('r', 'p') AND %`,
  `SELECT format('column %s.%s %s%s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
          CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || (SELECT collname FROM pg_collation WHERE oid = a.attcollation) ELSE '' END,
          CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
          coalesce(CASE WHEN a.attgenerated <> '' THEN ' GENERATED ' ELSE ' DEFAULT ' END || pg_get_expr(d.adbin, d.adrelid), '') || a.attidentity::text)
   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
   LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
   WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND %`,
  `SELECT format('index %s%s', pg_get_indexdef(i.indexrelid), CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END)
   FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE %`,
  `SELECT format('constraint %s.%s %s%s', c.relname, k.conname, pg_get_constraintdef(k.oid),
          CASE WHEN k.convalidated THEN '' ELSE ' NOT VALID' END)
   FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype <> 'n' AND %`,
  `SELECT format('trigger %s', pg_get_triggerdef(g.oid)) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
   WHERE NOT g.tgisinternal AND %`,
  `SELECT format('function %s', pg_get_functiondef(f.oid)) FROM pg_proc f
   WHERE f.pronamespace = 'public'::regnamespace AND f.prokind IN ('f', 'p')
     AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = f.oid AND deptype = 'e')`,
  `SELECT format('sequence %s %s', c.relname, s.seqtypid::regtype) FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE %`,
  `SELECT format('view %s %s', c.relname, pg_get_viewdef(c.oid)) FROM pg_class c WHERE c.relkind IN ('v', 'm') AND %`,
  `SELECT format('enum %s %s', t.typname, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder))
   FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid WHERE t.typnamespace = 'public'::regnamespace GROUP BY t.typname`,
];
const ours = "c.relnamespace = 'public'::regnamespace AND c.relname <> '_prisma_migrations'";

/**
 * Everything that the migrations make in a database, a sorted line an object: two databases with equal lines have the
 * same schema. The migrators' own tables are left out.
 */
export async function schemaFingerprint(client: pg.ClientBase): Promise<string[]> {
  const lines: string[] = [];
  for (const part of parts) {
    const { rows } = await client.query<{ format: string }>(part.replace(/%$/, ours));
    lines.push(...rows.map(({ format }) => format));
  }
  return lines.sort();
}

/** The tables, and the columns as table.column, out of a fingerprint. */
export function dataNames(fingerprint: readonly string[]): Set<string> {
  const names = fingerprint.map((line) => /^(?:table|column) (\S+)/.exec(line)?.[1]);
  return new Set(names.filter((name) => name !== undefined));
}

/** What is gone: whole tables by their name, columns of tables that are still there as table.column. */
export function findLosses(before: readonly string[], after: readonly string[]): string[] {
  const left = dataNames(after);
  const gone = [...dataNames(before)].filter((name) => !left.has(name));
  const tables = new Set(gone.filter((name) => !name.includes(".")));
  return gone.filter((name) => !tables.has(name.split(".")[0] ?? "") || tables.has(name)).sort();
}

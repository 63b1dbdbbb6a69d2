import { postgreSplitterOptions, splitQuery } from "dbgate-query-splitter";

/** One statement of a script, and what of it the migrator has to know. */
export interface Statement {
  text: string;
  /** The index that CREATE INDEX CONCURRENTLY makes, as it is called in the catalog. */
  concurrentIndex: string | null;
  /** It waits for others without making anybody wait for it, so that it may wait for long. */
  waitsQuietly: boolean;
}

/** A statement's text without the comments before it. */
export function withoutComments(text: string): string {
  return text.replace(/^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/, "");
}

/**
 * Cuts a script into its statements. `migrate check` holds it against PostgreSQL's own parser for every script before
 * it is released; that parser itself takes 600 MB of memory for a moment, which a server that starts, or a Job with a
 * limit, does not have.
 */
export function splitStatements(script: string): Statement[] {
  return splitQuery(script, postgreSplitterOptions)
    .map((item) => (typeof item === "string" ? item : item.text).trim())
    .filter((text) => withoutComments(text) !== "")
    .map((text) => ({ text, ...traits(withoutComments(text)) }));
}

function traits(sql: string): Omit<Statement, "text"> {
  const index =
    /^CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:"((?:[^"]|"")+)"|(\w+))/i.exec(
      sql,
    );
  return {
    concurrentIndex:
      index === null ? null : (index[1]?.replaceAll('""', '"') ?? index[2]?.toLowerCase() ?? null),
    waitsQuietly:
      index !== null ||
      /^DROP\s+INDEX\s+CONCURRENTLY\b/i.test(sql) ||
      /^ALTER\s+TABLE\s[^;]*\bVALIDATE\s+CONSTRAINT\b/i.test(sql) ||
      /^(?:ANALYZE|VACUUM)\b/i.test(sql),
  };
}

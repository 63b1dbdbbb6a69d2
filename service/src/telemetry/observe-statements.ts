import { type Attributes, SpanKind } from "@opentelemetry/api";
import {
  ATTR_DB_OPERATION_NAME,
  ATTR_DB_QUERY_SUMMARY,
  ATTR_DB_QUERY_TEXT,
  ATTR_DB_RESPONSE_STATUS_CODE,
  ATTR_DB_SYSTEM_NAME,
  ATTR_ERROR_TYPE,
} from "@opentelemetry/semantic-conventions";
import type { Spans } from "./spans.ts";

/** Runs the statement, of which only the text is told and never a value. */
export type ObserveStatement = <T>(text: string, run: () => Promise<T>) => Promise<T>;

/** A span a statement, by the conventions for databases. */
export function observeStatements(spans: Spans): ObserveStatement {
  const known = new Map<string, { summary: string; attributes: Attributes }>();

  function describe(text: string) {
    const found = known.get(text);
    if (found !== undefined) return found;
    const { operation, summary } = summarize(text);
    const attributes = {
      [ATTR_DB_SYSTEM_NAME]: "postgresql",
      [ATTR_DB_OPERATION_NAME]: operation,
      [ATTR_DB_QUERY_SUMMARY]: summary,
      [ATTR_DB_QUERY_TEXT]: text.replace(/\s+/g, " ").trim(),
    };
    // Texts are few; should they ever not be, forgetting costs a reading and no more.
    if (known.size >= 2_000) known.clear();
    known.set(text, { summary, attributes });
    return { summary, attributes };
  }

  return (text, run) => {
    if (!spans.recording()) return run();
    const { summary, attributes } = describe(text);
    return spans.within(summary, { kind: SpanKind.CLIENT, attributes }, run, explain);
  };
}

/** Its operation, and the tables that it is about: of a statement that begins WITH others that write, theirs as well. */
export function summarize(text: string): { operation: string; summary: string } {
  const plain = text.replace(/--[^\n]*/g, " ");
  const outer = outermost(plain);
  const found = /\b(SELECT|INSERT|UPDATE|DELETE)\b/i.exec(outer);
  if (found === null || !/^\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b/i.test(outer)) {
    const operation = /[A-Za-z]+/.exec(outer)?.[0].toUpperCase() ?? "_OTHER";
    return { operation, summary: operation };
  }
  const operation = (found[1] ?? "").toUpperCase();
  const rest = outer.slice(found.index);
  const table = /^(?:INSERT\s+INTO|UPDATE|[\s\S]*?\bFROM)\s+("?[\w.]+"?)/i.exec(rest)?.[1];
  const within = [...plain.matchAll(/\(\s*(INSERT|UPDATE|DELETE)\s+(?:INTO\s+|FROM\s+)?("?[\w.]+"?)/gi)];
  const parts = within.map(([, what = "", of]) => `${what.toUpperCase()} ${of}`);
  return {
    operation,
    summary: [...parts, table === undefined ? operation : `${operation} ${table}`].join(" "),
  };
}

/** What is in no parentheses. */
function outermost(text: string): string {
  let depth = 0;
  let kept = "";
  for (const [part] of text.matchAll(/[()]|[^()]+/g)) {
    if (part === "(") depth += 1;
    else if (part === ")") depth -= 1;
    else if (depth === 0) kept += part;
  }
  return kept;
}

/** What the driver adapter says of PostgreSQL's own error. */
function explain(error: unknown): Attributes {
  const cause = error instanceof Error ? error.cause : undefined;
  const code =
    typeof cause === "object" && cause !== null && "originalCode" in cause ? cause.originalCode : undefined;
  if (typeof code !== "string") return { [ATTR_ERROR_TYPE]: error instanceof Error ? error.name : "_OTHER" };
  return { [ATTR_DB_RESPONSE_STATUS_CODE]: code, [ATTR_ERROR_TYPE]: code };
}

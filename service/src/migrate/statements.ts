import { AppError } from "../core/errors.ts";

/** One statement of a script, and what of it the migrator has to know. */
export interface Statement {
  text: string;
  /** The parser's name of its kind, such as IndexStmt. */
  kind: string;
  /** The index that CREATE INDEX CONCURRENTLY makes, as it is called in the catalog. */
  concurrentIndex: string | null;
  /** It waits for others without making anybody wait for it, so that it may wait for long. */
  waitsQuietly: boolean;
  /** It cannot run inside a transaction. */
  refusesTransaction: boolean;
  /** Run again after it was cut off or had succeeded, it ends in the same place. */
  repeatable: boolean;
  /** The table it makes (CREATE TABLE) or indexes (CREATE INDEX). */
  table: string | null;
}

/** The parts of the parser's tree that are looked at; a tag-value tree, typed loosely by the library itself. */
interface Node {
  [member: string]: unknown;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Cuts a script into its statements with PostgreSQL's own parser: a semicolon in a function's body, a string or a
 * comment ends nothing. Throws AppError with the line of a syntax error.
 */
export async function splitStatements(script: string): Promise<Statement[]> {
  // Loaded here because a server start, which mostly finds nothing to apply, need not pay for it.
  const parser = await import("libpg-query");
  await parser.loadModule();
  let parsed: { stmts?: { stmt?: object; stmt_location?: number; stmt_len?: number }[] };
  try {
    parsed = parser.parseSync(script);
  } catch (error) {
    if (!parser.hasSqlDetails(error)) throw error;
    const line = script.slice(0, error.sqlDetails?.cursorPosition ?? 0).split("\n").length;
    throw new AppError("invalid_input", `The SQL is not valid, line ${line}: ${error.message}.`);
  }
  // The parser counts bytes.
  const bytes = encoder.encode(script);
  return (parsed.stmts ?? []).map(({ stmt = {}, stmt_location: start = 0, stmt_len: length = 0 }) => {
    const text = decoder.decode(bytes.subarray(start, length > 0 ? start + length : undefined));
    const [kind, node] = Object.entries(stmt)[0] as [string, Node];
    return { text: text.trim(), kind, ...traits(kind, node) };
  });
}

function traits(kind: string, node: Node): Omit<Statement, "text" | "kind"> {
  const concurrent = node.concurrent === true;
  const index = kind === "IndexStmt";
  const dropIndex = kind === "DropStmt" && node.removeType === "OBJECT_INDEX";
  const validates =
    kind === "AlterTableStmt" && commands(node).every((one) => one === "AT_ValidateConstraint");
  const enumValue = kind === "AlterEnumStmt" && node.skipIfNewValExists === true;
  const analyze = kind === "VacuumStmt";
  return {
    concurrentIndex: index && concurrent && typeof node.idxname === "string" ? node.idxname : null,
    waitsQuietly: concurrent || validates || analyze,
    refusesTransaction: concurrent || (kind === "VacuumStmt" && node.is_vacuumcmd === true),
    repeatable:
      (index && concurrent && node.if_not_exists === true && typeof node.idxname === "string") ||
      (dropIndex && concurrent && node.missing_ok === true) ||
      validates ||
      enumValue ||
      analyze ||
      // A block may commit in its middle; that it can run again is for its author to see to.
      kind === "DoStmt",
    table: index || kind === "CreateStmt" ? relation(node) : null,
  };
}

function commands(node: Node): unknown[] {
  const all = Array.isArray(node.cmds) ? (node.cmds as { AlterTableCmd?: Node }[]) : [];
  return all.map((one) => one.AlterTableCmd?.subtype);
}

function relation(node: Node): string | null {
  const { relation: target } = node as { relation?: { relname?: string } };
  return target?.relname ?? null;
}

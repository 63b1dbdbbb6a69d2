import { AppError } from "../core/errors.ts";
import { splitStatements, withoutComments } from "./statements.ts";

/** A statement as PostgreSQL's own parser sees it. */
export interface ParsedStatement {
  text: string;
  /** The parser's name of its kind, such as IndexStmt. */
  kind: string;
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
 * Reads a script with PostgreSQL's own parser. Throws AppError with the line of a syntax error, and for a script that
 * the migrator would cut otherwise than PostgreSQL.
 */
export async function parseStatements(script: string): Promise<ParsedStatement[]> {
  // The parser refuses an empty script, which a migration with nothing to take back has.
  if (script.trim() === "") return [];
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
  const statements = (parsed.stmts ?? []).map(
    ({ stmt = {}, stmt_location: start = 0, stmt_len: length = 0 }) => {
      const text = decoder.decode(bytes.subarray(start, length > 0 ? start + length : undefined));
      const [kind, node] = Object.entries(stmt)[0] as [string, Node];
      return { text: text.trim(), kind, ...traits(kind, node) };
    },
  );
  compareCuts(script, statements);
  return statements;
}

function compareCuts(script: string, statements: ParsedStatement[]): void {
  const cuts = splitStatements(script);
  // The parser leaves out the comments before the first statement only.
  const same = (a: string, b: string) => withoutComments(a) === withoutComments(b);
  const odd = statements.findIndex(({ text }, index) => !same(text, cuts[index]?.text ?? ""));
  if (odd === -1 && cuts.length === statements.length) return;
  const at = odd === -1 ? statements.length : odd;
  throw new AppError(
    "invalid_input",
    `The migrator would cut statement ${at + 1} at another semicolon than PostgreSQL. Write it without a comment inside a comment, ` +
      "a backslash before a quote, or BEGIN ATOMIC.",
  );
}

function traits(kind: string, node: Node): Omit<ParsedStatement, "text" | "kind"> {
  const concurrent = node.concurrent === true;
  const index = kind === "IndexStmt";
  const dropIndex = kind === "DropStmt" && node.removeType === "OBJECT_INDEX";
  const validates =
    kind === "AlterTableStmt" && commands(node).every((one) => one === "AT_ValidateConstraint");
  const enumValue = kind === "AlterEnumStmt" && node.skipIfNewValExists === true;
  return {
    refusesTransaction: concurrent || (kind === "VacuumStmt" && node.is_vacuumcmd === true),
    repeatable:
      (index && concurrent && node.if_not_exists === true && typeof node.idxname === "string") ||
      (dropIndex && concurrent && node.missing_ok === true) ||
      validates ||
      enumValue ||
      kind === "VacuumStmt" ||
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

import { createScanner } from "jsonc-parser";
import { escapePointer } from "../text.ts";
import type { ImportProblem } from "./schema.ts";

/** A JSON value and where its text lies: `start` and `end` are offsets into the parsed text, `end` excluded. */
export type JsonNode =
  | { kind: "object"; start: number; end: number; members: JsonMember[] }
  | { kind: "array"; start: number; end: number; items: JsonNode[] }
  | { kind: "string"; start: number; end: number; value: string }
  | { kind: "number" | "boolean" | "null"; start: number; end: number };

export interface JsonMember {
  key: string;
  /** Where the name's text lies, quotation marks included. */
  start: number;
  end: number;
  value: JsonNode;
}

export interface ParsedJson {
  /** What the offsets count in: the given text without its byte order mark. */
  text: string;
  /** Undefined when the text is empty, not JSON, or nested too deep; `problems` then says which. */
  root: JsonNode | undefined;
  problems: ImportProblem[];
}

/** Deepest nesting of lists and objects that is read. */
export const MAX_DEPTH = 100;

/**
 * What the pointers of the problems found here may sum up to, in characters. A file can repeat a member a million
 * times below a name of a megabyte: the list of its problems would be far larger than the file.
 */
const MAX_POINTERS = 1_000_000;

// The scanner's token kinds. Its package has them only as an ambient const enum, which isolated modules cannot use.
const OPEN_BRACE = 1;
const CLOSE_BRACE = 2;
const OPEN_BRACKET = 3;
const CLOSE_BRACKET = 4;
const COMMA = 5;
const COLON = 6;
const NULL = 7;
const TRUE = 8;
const FALSE = 9;
const STRING = 10;
const NUMBER = 11;
const LINE_BREAK = 14;
const BLANK = 15;
const END = 17;

class Refusal extends Error {
  readonly problem: ImportProblem;

  constructor(problem: ImportProblem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/**
 * Reads strict JSON (RFC 8259; a byte order mark is allowed) into a tree that still knows the order of members, their
 * duplicates, and the text of every value. Never throws: what is wrong stands in `problems`, and every problem of
 * this stage is one that no mode of import can take.
 */
export function parseJson(source: string): ParsedJson {
  const text = source.charCodeAt(0) === 0xfeff ? source.slice(1) : source;
  if (!/[^ \t\r\n]/.test(text)) {
    const detail = "The file is empty.";
    return { text, root: undefined, problems: [{ pointer: "", code: "empty_file", detail }] };
  }

  const scanner = createScanner(text, false);
  const path: (string | number)[] = [];
  const problems: ImportProblem[] = [];
  let pointers = 0;
  let token = 0;

  const report = (code: ImportProblem["code"], detail: string): void => {
    if (pointers > MAX_POINTERS) {
      return;
    }
    const pointer = toPointer(path);
    pointers += pointer.length + 1;
    problems.push({ pointer, code, detail });
  };

  // A call, because the compiler would take a comparison of the variable as still true after advance().
  const at = (kind: number): boolean => token === kind;

  const malformed = (): never => {
    const line = scanner.getTokenStartLine() + 1;
    const column = scanner.getTokenStartCharacter() + 1;
    const what = at(END) ? "The file ends too early" : "The file is not valid JSON";
    const detail = `${what}: line ${line}, column ${column}.`;
    throw new Refusal({ pointer: "", code: "malformed_json", detail });
  };

  const advance = (): void => {
    do {
      token = scanner.scan();
    } while (at(BLANK) || at(LINE_BREAK));
    if (scanner.getTokenError() !== 0) {
      malformed();
    }
  };

  const checkStorable = (value: string, what: string): void => {
    if (value.includes("\0")) {
      report("not_storable", `The ${what} holds U+0000, which the database cannot keep.`);
    } else if (!value.isWellFormed()) {
      report("not_storable", `The ${what} holds half of a surrogate pair, which is no character.`);
    }
  };

  const scalar = (): JsonNode => {
    const start = scanner.getTokenOffset();
    const end = start + scanner.getTokenLength();
    if (at(STRING)) {
      const value = scanner.getTokenValue();
      checkStorable(value, "text");
      return { kind: "string", start, end, value };
    }
    if (at(NUMBER)) {
      if (!Number.isFinite(Number(text.slice(start, end)))) {
        report("not_storable", "The number is larger than any that can be kept.");
      }
      return { kind: "number", start, end };
    }
    if (at(TRUE) || at(FALSE)) {
      return { kind: "boolean", start, end };
    }
    return at(NULL) ? { kind: "null", start, end } : malformed();
  };

  const object = (start: number): JsonNode => {
    const members: JsonMember[] = [];
    // Made with the second member: a set for each of a few million small objects fills the memory.
    let seen: Set<string> | undefined;
    advance();
    while (!at(CLOSE_BRACE)) {
      if (!at(STRING)) {
        malformed();
      }
      const key = scanner.getTokenValue();
      const start = scanner.getTokenOffset();
      const end = start + scanner.getTokenLength();
      path.push(key);
      checkStorable(key, "member's name");
      if (members.length > 0) {
        seen ??= new Set([members[0]?.key ?? key]);
      }
      if (seen?.has(key)) {
        report("duplicate_member", "The object has this member twice; only one could be kept.");
      }
      seen?.add(key);
      advance();
      if (!at(COLON)) {
        malformed();
      }
      advance();
      members.push({ key, start, end, value: value() });
      path.pop();
      if (at(COMMA)) {
        advance();
        if (at(CLOSE_BRACE)) {
          malformed();
        }
      } else if (!at(CLOSE_BRACE)) {
        malformed();
      }
    }
    return { kind: "object", start, end: scanner.getTokenOffset() + 1, members };
  };

  const array = (start: number): JsonNode => {
    const items: JsonNode[] = [];
    advance();
    while (!at(CLOSE_BRACKET)) {
      path.push(items.length);
      items.push(value());
      path.pop();
      if (at(COMMA)) {
        advance();
        if (at(CLOSE_BRACKET)) {
          malformed();
        }
      } else if (!at(CLOSE_BRACKET)) {
        malformed();
      }
    }
    return { kind: "array", start, end: scanner.getTokenOffset() + 1, items };
  };

  const value = (): JsonNode => {
    const opens = at(OPEN_BRACE) || at(OPEN_BRACKET);
    // Every container below pushes one step before its values, so the path's length is the depth; without this bound
    // a hundred thousand brackets would end the process by a stack overflow.
    if (opens && path.length >= MAX_DEPTH) {
      const detail = `The file is nested deeper than ${MAX_DEPTH} levels.`;
      throw new Refusal({ pointer: toPointer(path), code: "too_deep", detail });
    }
    const start = scanner.getTokenOffset();
    const node = at(OPEN_BRACE) ? object(start) : at(OPEN_BRACKET) ? array(start) : scalar();
    advance();
    return node;
  };

  try {
    advance();
    const root = value();
    if (!at(END)) {
      malformed();
    }
    return { text, root, problems };
  } catch (error) {
    if (error instanceof Refusal) {
      return { text, root: undefined, problems: [...problems, error.problem] };
    }
    throw error;
  }
}

/** RFC 6901. Half of a surrogate pair becomes U+FFFD, or the report of it could not be sent. */
function toPointer(path: readonly (string | number)[]): string {
  return path
    .map((step) => `/${escapePointer(String(step))}`)
    .join("")
    .toWellFormed();
}

/** The value as JSON.parse gives it; `text` is what the node was parsed from. */
export function nodeValue(node: JsonNode, text: string): unknown {
  return node.kind === "string" ? node.value : JSON.parse(text.slice(node.start, node.end));
}

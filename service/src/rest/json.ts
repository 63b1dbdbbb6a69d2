import { type ParseError, parse, printParseErrorCode } from "jsonc-parser";
import { escapePointer, findUnstorable, type InputError } from "../core/index.ts";

import { Refusal } from "./problem.ts";

export const maximumDepth = 100;

/**
 * Reads a request's JSON (RFC 8259). Throws a Refusal: 400 for what is no JSON, with line and column; 422 for JSON that
 * cannot be taken, with a pointer to each place.
 */
export function readJson(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  const deep = findTooDeep(text);
  if (deep !== undefined) {
    const detail = `The body is nested deeper than ${maximumDepth} levels, from ${placeOf(text, deep)} on; make it flatter.`;
    throw new Refusal("invalid_input", detail, { errors: [{ pointer: "", detail }] });
  }
  const value = parseJson(text);
  const errors = [...findUnstorable(value), ...findPoison(value)];
  const first = errors[0];
  if (first !== undefined) throw new Refusal("invalid_input", first.detail, { errors });
  return value;
}

/** Throws a Refusal when the bytes are no UTF-8: read leniently, they would be stored changed. */
export function decodeUtf8(bytes: Uint8Array, keepMark = false): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: keepMark }).decode(bytes);
  } catch {
    throw new Refusal("malformed_request", "The body is not UTF-8 text; encode it as UTF-8.");
  }
}

/** The offset where the nesting first exceeds the maximum; found without recursion, before anything recursive runs. */
function findTooDeep(text: string): number | undefined {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (inString) {
      if (char === "\\") i++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "[" || char === "{") {
      depth++;
      if (depth > maximumDepth) return i;
    } else if (char === "]" || char === "}") depth--;
  }
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The built-in parser does not always say where; this one does.
    const errors: ParseError[] = [];
    parse(text, errors, { disallowComments: true, allowEmptyContent: false });
    const first = errors[0];
    const where =
      first === undefined ? "" : `: ${printParseErrorCode(first.error)} at ${placeOf(text, first.offset)}`;
    throw new Refusal("malformed_request", `The body is not JSON${where}.`);
  }
}

function placeOf(text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
}

/** Members that change what an object is once some code merges it into another. */
function findPoison(value: unknown): InputError[] {
  const errors: InputError[] = [];
  const open: { value: unknown; pointer: string }[] = [{ value, pointer: "" }];
  for (let item = open.pop(); item !== undefined && errors.length < 20; item = open.pop()) {
    if (typeof item.value !== "object" || item.value === null) continue;
    for (const [key, member] of Object.entries(item.value)) {
      const pointer = `${item.pointer}/${escapePointer(key)}`;
      const poisonous =
        key === "__proto__" ||
        (key === "constructor" &&
          typeof member === "object" &&
          member !== null &&
          Object.hasOwn(member, "prototype"));
      if (poisonous)
        errors.push({ pointer, detail: `A member cannot be called ${key} here; give it another name.` });
      open.push({ value: member, pointer });
    }
  }
  return errors;
}

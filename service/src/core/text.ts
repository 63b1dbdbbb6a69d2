import type { InputError } from "./errors.ts";

/** More than any edge lets through in a body; far less than recursion, here and in the database, can follow. */
const maximumDepth = 200;

/**
 * The places in a JSON value that cannot be kept as they are: NUL, surrogates without their half, infinities, and
 * what is nested too deep. Refused at the
 * entrance, because further in they would fail as a database error or come back changed.
 */
export function findUnstorable(value: unknown): InputError[] {
  const errors: InputError[] = [];
  // A stack of its own, since recursion would overflow on the deep input that this is to refuse.
  const open: { value: unknown; pointer: string; depth: number }[] = [{ value, pointer: "", depth: 0 }];
  for (let item = open.pop(); item !== undefined && errors.length < 20; item = open.pop()) {
    if (typeof item.value === "string") {
      const fault = faultOf(item.value);
      if (fault !== undefined) errors.push({ pointer: item.pointer, detail: fault });
    } else if (typeof item.value === "number" && !Number.isFinite(item.value)) {
      // What JSON text beyond a double's range is read as; it would be stored as null.
      errors.push({
        pointer: item.pointer,
        detail: "The number is too large to be stored; make it smaller.",
      });
    } else if (typeof item.value === "object" && item.value !== null) {
      if (item.depth === maximumDepth) {
        errors.push({
          pointer: item.pointer,
          detail: `Nested deeper than ${maximumDepth} levels; make it flatter.`,
        });
        continue;
      }
      for (const [key, member] of Object.entries(item.value)) {
        const pointer = `${item.pointer}/${escapePointer(key)}`;
        const fault = faultOf(key);
        if (fault !== undefined)
          errors.push({ pointer: pointer.toWellFormed(), detail: `In the member's name: ${fault}` });
        open.push({ value: member, pointer, depth: item.depth + 1 });
      }
    }
  }
  return errors;
}

function faultOf(text: string): string | undefined {
  if (text.includes("\0"))
    return "The text holds a NUL character (U+0000), which cannot be stored; remove it.";
  if (!text.isWellFormed())
    return "The text holds half of a surrogate pair, which is no character; remove it.";
  return undefined;
}

/** One reference token of a JSON pointer (RFC 6901). */
export function escapePointer(token: string): string {
  return token.replaceAll("~", "~0").replaceAll("/", "~1");
}

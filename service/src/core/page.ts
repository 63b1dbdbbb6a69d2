import { type Static, type TSchema, Type } from "typebox";
import { invalidInput } from "./errors.ts";
import { isUuid } from "./ids.ts";

export const maximumLimit = 200;

export const PageQuery = {
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: maximumLimit,
      default: 50,
      description: "The most items in one answer.",
    }),
  ),
  cursor: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 2000,
      description: "Where to go on: nextCursor of the previous answer.",
    }),
  ),
};
const pageRequest = Type.Object(PageQuery);
export type PageRequest = Static<typeof pageRequest>;

export interface Page<T> {
  items: T[];
  /** Null on the last page. */
  nextCursor: string | null;
}

export function pageOf<T extends TSchema>(item: T) {
  return Type.Object(
    { items: Type.Array(item), nextCursor: Type.Union([Type.String(), Type.Null()]) },
    { additionalProperties: false },
  );
}

/** The values of the sort columns of the last item that was given out. */
export type KeysetPosition = (string | number)[];

/** What storage is asked for: `limit` items behind `after`. Storage is asked for one more than is given out. */
export interface Keyset {
  limit: number;
  after: KeysetPosition | undefined;
}

/** What a key of a cursor can be. Checked, because a cursor can be made up, and a database fails on a wrong type. */
const keyKinds = {
  uuid: (key: unknown) => typeof key === "string" && isUuid(key),
  integer: (key: unknown) => Number.isSafeInteger(key),
  /** A 64-bit integer, as text. */
  serial: (key: unknown) => typeof key === "string" && /^\d{1,18}$/.test(key),
  text: (key: unknown) => typeof key === "string",
  /** A finite number, as text. */
  score: (key: unknown) => typeof key === "string" && /^\d+(\.\d+)?(e-?\d{1,2})?$/.test(key),
};

/**
 * Turns a request into a keyset. A cursor carries the list it was made for, so that one from elsewhere (another route,
 * another filter) is refused rather than read as a wrong position.
 */
export function openPage(list: string, request: PageRequest, shape: (keyof typeof keyKinds)[]): Keyset {
  const limit = request.limit ?? 50;
  if (request.cursor === undefined) return { limit, after: undefined };
  const after = decode(request.cursor, list);
  const fits = after?.length === shape.length && shape.every((kind, i) => keyKinds[kind](after[i]));
  if (after === undefined || !fits) {
    throw invalidInput(
      "/cursor",
      "The cursor was not made by this list with these filters; leave it out to start at the beginning.",
    );
  }
  return { limit, after };
}

/** Cuts the one item too many off and makes the cursor from the last that stays. */
export function closePage<T>(
  list: string,
  keyset: Keyset,
  rows: T[],
  position: (item: T) => KeysetPosition,
): Page<T> {
  const items = rows.slice(0, keyset.limit);
  const last = items.at(-1);
  const more = rows.length > keyset.limit && last !== undefined;
  return { items, nextCursor: more ? encode(list, position(last)) : null };
}

function encode(list: string, position: KeysetPosition): string {
  return toBase64Url(JSON.stringify([digest(list), ...position]));
}

function decode(cursor: string, list: string): KeysetPosition | undefined {
  try {
    const parsed: unknown = JSON.parse(fromBase64Url(cursor));
    if (!Array.isArray(parsed) || parsed[0] !== digest(list)) return undefined;
    const keys: unknown[] = parsed.slice(1);
    const usable = keys.every(
      (key) =>
        (typeof key === "string" && key.isWellFormed() && !key.includes("\0")) || Number.isSafeInteger(key),
    );
    return usable ? (keys as KeysetPosition) : undefined;
  } catch {
    return undefined;
  }
}

/** Of a list's name, which can be longer than a cursor may be. It tells honest mistakes apart and guards nothing. */
function digest(list: string): number {
  let digest = 0;
  for (let i = 0; i < list.length; i += 1) digest = (Math.imul(digest, 31) + list.charCodeAt(i)) | 0;
  return digest;
}

function toBase64Url(text: string): string {
  const binary = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromBase64Url(text: string): string {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw new Error("not base64url");
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

/**
 * No answer may fill a model's context window: 25,000 tokens at most, counted as three bytes each, which is more tokens
 * than any common tokenizer makes of them. The structured part and the text each get less than half.
 */
const maximumBytes = 36_000;
/** What a list may fill, so that the rest of its answer has room as well. */
const listBytes = 32_000;
/** Shorter strings are not cut: they are names and identifiers, which are of no use in part. */
const shortest = 256;
/** Members whose inside is the client's own, so that an empty one fits every schema. */
const open = new Set(["metadata", "extra", "data", "complexity"]);

export interface Cut {
  /** RFC 6901, into the answer. */
  pointer: string;
  detail: string;
}

export function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? "");
}

/** How many of the first items fit; at least one, whose long texts are then cut. */
function countFitting(items: unknown[]): number {
  let bytes = 0;
  const over = items.findIndex((item) => {
    bytes += bytesOf(item) + 1;
    return bytes > listBytes;
  });
  return over === -1 ? items.length : Math.max(1, over);
}

/**
 * A page of no more items than fit. It is asked for again with a smaller limit, since only the list itself can make the
 * cursor that goes on behind the last item.
 */
export async function pageThatFits<P extends { items: unknown[] }>(
  limit: number,
  ask: (limit: number) => Promise<P>,
  shown: (items: P["items"]) => unknown[] = (items) => items,
): Promise<P> {
  const page = await ask(limit);
  const count = countFitting(shown(page.items));
  return count < page.items.length ? ask(count) : page;
}

/** The first items of a list without cursors. */
export function firstThatFit<T>(items: T[]): T[] {
  return items.slice(0, countFitting(items));
}

/** Cuts the longest texts, until the whole fits, and says where. */
export function cutToFit<T extends object>(content: T): { content: T; cuts: Cut[] } {
  if (bytesOf(content) <= maximumBytes) return { content, cuts: [] };
  const copy = structuredClone(content);
  const cuts = new Map<string, Cut>();
  // The list of cuts is part of the answer.
  while (bytesOf(copy) + bytesOf([...cuts.values()]) > maximumBytes) {
    const places = placesOf(copy, "");
    const place = longest(places, "text") ?? longest(places, "open") ?? longest(places, "list");
    if (place === undefined) break;
    const before = cuts.get(place.pointer);
    cuts.set(place.pointer, { pointer: place.pointer, detail: before?.detail ?? whole(place) });
    place.cut();
  }
  return { content: copy, cuts: [...cuts.values()] };
}

interface Place {
  kind: "text" | "open" | "list";
  pointer: string;
  size: number;
  bytes: number;
  cut(): void;
}

function whole({ kind, size }: Place): string {
  if (kind === "text") return `Cut; it has ${size} characters in all.`;
  if (kind === "list") return `Cut; it has ${size} items in all.`;
  return "Left out, because it is too large.";
}

function longest(places: Place[], kind: Place["kind"]): Place | undefined {
  return places
    .filter((place) => place.kind === kind)
    .reduce<Place | undefined>(
      (most, one) => (most === undefined || one.bytes > most.bytes ? one : most),
      undefined,
    );
}

function placesOf(holder: object, pointer: string): Place[] {
  return Object.entries(holder).flatMap(([name, value]: [string, unknown]) => {
    const here = `${pointer}/${name}`;
    const put = (shorter: unknown) => void Reflect.set(holder, name, shorter);
    if (typeof value === "string") {
      if (value.length <= shortest) return [];
      const cut = () => put(clip(value, Math.max(shortest, Math.floor(value.length / 2))));
      return [{ kind: "text" as const, pointer: here, size: value.length, bytes: value.length, cut }];
    }
    if (typeof value !== "object" || value === null) return [];
    const bytes = bytesOf(value);
    if (open.has(name)) {
      if (bytes <= shortest) return [];
      return [{ kind: "open" as const, pointer: here, size: bytes, bytes, cut: () => put({}) }];
    }
    const inside = placesOf(value, here);
    if (!Array.isArray(value) || value.length < 2) return inside;
    const cut = () => put(value.slice(0, Math.floor(value.length / 2)));
    return [...inside, { kind: "list" as const, pointer: here, size: value.length, bytes, cut }];
  });
}

/** Never between the two halves of a character. */
export function clip(text: string, length: number): string {
  return text.slice(0, length).replace(/[\uD800-\uDBFF]$/, "");
}

/** A text for a person or a model, cut where it would be too long. */
export function clipText(text: string): string {
  if (Buffer.byteLength(text) <= maximumBytes - 100) return text;
  // A character has at most three bytes a code unit.
  return `${clip(text, Math.floor((maximumBytes - 100) / 3))}\n… (the rest is left out; ask for less at once)`;
}

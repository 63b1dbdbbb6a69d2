import { v7 } from "uuid";

/** A new UUIDv7 (RFC 9562): ids sort by the time they were made, which keeps index inserts at the right edge. */
export function newId(): string {
  return v7();
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return uuid.test(text);
}

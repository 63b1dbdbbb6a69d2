import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import { AppError } from "../core/errors.ts";
import { manifestName, marksName } from "./manifest.ts";
import type { BackupStore } from "./store.ts";

const Instant = Type.Union([Type.String({ pattern: "^\\d{4}-\\d{2}-\\d{2}T[\\d:.]+Z$" }), Type.Null()]);

/** What was found out about a backup after it was made; instants are ISO 8601 in UTC, null for never. */
export const Marks = Type.Object(
  {
    /** When every file was last found whole. */
    checkedAt: Instant,
    /** When it was last restored, with every count and hash compared. */
    restoredAt: Instant,
    /** How long that restore took, in seconds. */
    rtoSeconds: Type.Union([Type.Number({ minimum: 0 }), Type.Null()]),
  },
  { additionalProperties: false },
);
export type Marks = Static<typeof Marks>;
const marks = Compile(Marks);

const none: Marks = { checkedAt: null, restoredAt: null, rtoSeconds: null };

/**
 * All null for a backup without marks. Throws AppError (conflict) for marks that cannot be read: taken for none, they would
 * let the newest proven backup be pruned.
 */
export async function readMarks(store: BackupStore, id: string): Promise<Marks> {
  const text = await store.readText(id, marksName);
  if (text === undefined) return { ...none };
  const value = parse(text);
  if (value !== undefined) return value;
  throw new AppError(
    "conflict",
    `The marks of backup ${id} (${marksName}) cannot be read; write them anew with: backup verify ${id}`,
  );
}

/** Changes the given marks and keeps the others; marks that cannot be read start anew. Throws not_found for no backup. */
export async function mark(store: BackupStore, id: string, change: Partial<Marks>): Promise<Marks> {
  // Otherwise a verification that ends after a prune would leave a folder with nothing else in it.
  if ((await store.readText(id, manifestName)) === undefined)
    throw new AppError(
      "not_found",
      `There is no backup ${id} at ${store.place} any more, so it cannot be marked.`,
    );
  const text = await store.readText(id, marksName);
  const changed: Marks = { ...((text === undefined ? undefined : parse(text)) ?? none), ...change };
  await store.writeText(id, marksName, `${JSON.stringify(changed, null, 2)}\n`);
  return changed;
}

/** For one that was found damaged: it counts as neither checked nor proven, so that prune keeps one that is. */
export async function unmark(store: BackupStore, id: string): Promise<void> {
  await mark(store, id, none);
}

function parse(text: string): Marks | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return marks.Check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

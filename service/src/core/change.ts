import type { RecentCredentials } from "./access/recent.ts";
import type { Context } from "./context.ts";
import { AppError, notFound } from "./errors.ts";
import type { EventType } from "./events/schema.ts";
import type { Flags } from "./flags/service.ts";
import { isSame } from "./json.ts";
import type { JsonObject } from "./schema.ts";
import { type Sealer, sha256 } from "./secrets.ts";
import type { Storage, Transaction } from "./storage.ts";
import { findUnstorable } from "./text.ts";

/** What every service is made from. */
export interface Services {
  storage: Storage;
  sealer: Sealer;
  flags: Flags;
  credentials: RecentCredentials;
}

export interface Change {
  /** The use case's name: part of what an Idempotency-Key stands for. */
  operation: string;
  /** All that the caller sent, names included. */
  input: unknown;
  /** The result holds a secret, which an idempotency record may not show. */
  secret?: boolean;
  /** It may take from somebody what they may do: that counts from the next request on. */
  restricts?: boolean;
}

/**
 * Runs a change in one transaction, once an Idempotency-Key: the result is kept in that same transaction, so a repeat
 * gets it again whether or not the first answer arrived. Only a change that happened is kept; a refused one may be
 * sent again. The result must be plain JSON.
 */
export async function change<T>(
  services: Services,
  ctx: Context,
  wanted: Change,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const result = await changeOnce(services, ctx, wanted, work);
  if (wanted.restricts) services.credentials.forget();
  return result;
}

async function changeOnce<T>(
  services: Services,
  ctx: Context,
  { operation, input, secret = false }: Change,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const errors = findUnstorable(input);
  if (errors.length > 0)
    throw new AppError("invalid_input", "Some of the text cannot be stored.", { errors });
  const key = ctx.idempotencyKey;
  if (key === undefined) return services.storage.transaction(ctx.organizationId, work);

  const keyHash = sha256(key);
  const fingerprint = sha256(JSON.stringify([operation, input]));
  return services.storage.transaction(ctx.organizationId, async (tx) => {
    const earlier = await tx.idempotency.reserve(ctx.actor.id, keyHash, fingerprint);
    if (earlier !== undefined) {
      if (earlier.fingerprint !== fingerprint) {
        throw new AppError(
          "idempotency_mismatch",
          "This Idempotency-Key was used for another request; use a new key for a new change.",
        );
      }
      const text = secret ? await services.sealer.open(earlier.result) : earlier.result;
      return JSON.parse(text) as T;
    }
    const result = await work(tx);
    const text = JSON.stringify(result ?? null);
    await tx.idempotency.complete(ctx.actor.id, keyHash, secret ? await services.sealer.seal(text) : text);
    return result;
  });
}

/** Writes one event of the change. */
export async function record(
  tx: Transaction,
  ctx: Pick<Context, "actor" | "requestId">,
  type: EventType,
  of: { projectId?: string; taskId?: string },
  data: JsonObject,
): Promise<void> {
  await tx.events.append([
    {
      type,
      projectId: of.projectId ?? null,
      taskId: of.taskId ?? null,
      actor: ctx.actor,
      requestId: ctx.requestId,
      data,
    },
  ]);
}

/** The fields that a patch really changes, as [before, after]. */
export function changesOf<T extends object>(
  before: T,
  patch: Partial<T>,
): Record<string, [unknown, unknown]> {
  const changes: Record<string, [unknown, unknown]> = {};
  for (const [field, after] of Object.entries(patch)) {
    const old = before[field as keyof T];
    if (after !== undefined && !isSame(old, after)) changes[field] = [old, after];
  }
  return changes;
}

/** The version that the caller has seen is not the current one. */
export function versionMismatch(what: string, seen: number, current: number): AppError {
  return new AppError(
    "version_mismatch",
    `The ${what} is at version ${current}, not ${seen}; read it again and decide anew.`,
    { details: { version: current } },
  );
}

/** Why a write at that version met no row: it is gone, or at another version. `find` looks again. */
export async function staleWrite(
  what: string,
  reference: string,
  version: number,
  find: (reference: string) => Promise<{ version: number } | undefined>,
): Promise<AppError> {
  const now = await find(reference);
  return now === undefined ? notFound(what, reference) : versionMismatch(what, version, now.version);
}

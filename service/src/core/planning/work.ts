import type { Static, TSchema } from "typebox";
import { type Change, change, type Services } from "../change.ts";
import type { Context } from "../context.ts";
import { addEdge } from "../dependencies/edges.ts";
import { AppError } from "../errors.ts";
import { getTask } from "../locate.ts";
import type { TaskRecord, Transaction } from "../storage.ts";
import type { NewTask, Task } from "../tasks/schema.ts";
import { createIn, deleteIn, type Place } from "../tasks/service.ts";
import { toTask } from "../tasks/wire.ts";
import type { Numbered } from "./answers.ts";
import { ask, type Wanted } from "./ask.ts";
import type { LanguageModel } from "./model.ts";

/** How a caller takes part in work that takes a while. */
export interface Work {
  /** Ends the wait for the model; nothing is changed then. */
  signal?: AbortSignal;
  /** Is told, in a sentence, how far it is. */
  report?(message: string): Promise<void>;
  /** Is told of what went wrong and was mended. */
  warn?(message: string): Promise<void>;
}

export interface Tools {
  services: Services;
  model: LanguageModel | null;
}

/** Said only to those who may do it and of what they can read, so that it comes behind every other refusal. */
export function requireModel(model: LanguageModel | null): LanguageModel {
  if (model !== null) return model;
  throw new AppError(
    "llm_not_configured",
    "This needs a language model, and none is configured on this server; an operator sets TASKMASTER_LLM_BASE_URL and TASKMASTER_LLM_MODEL.",
  );
}

/** Asks within the time that the model has, and tells about it. */
export async function consult<T extends TSchema>(
  model: LanguageModel,
  { signal, report, warn }: Work,
  wanted: Omit<Wanted<T>, "signal" | "again">,
): Promise<Static<T>> {
  const limit = AbortSignal.timeout(model.timeoutMs);
  return ask(model, {
    ...wanted,
    signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    async again(faults) {
      const message = `The model's answer was not valid, and it is asked again: ${faults[0]}`;
      await report?.(message);
      await warn?.(message);
    },
  });
}

class NotYet extends Error {}

/**
 * A change whose slow part comes first, outside of the transaction. A repeat under the same Idempotency-Key gets the
 * first result without that part being done again.
 */
export async function changeAfter<P, T>(
  services: Services,
  ctx: Context,
  what: Change,
  prepare: () => Promise<P>,
  work: (tx: Transaction, prepared: P) => Promise<T>,
): Promise<T> {
  try {
    // Looks for an earlier result; taking the key is rolled back with it.
    return await change<T>(services, ctx, what, async () => {
      throw new NotYet();
    });
  } catch (error) {
    if (!(error instanceof NotYet)) throw error;
  }
  const prepared = await prepare();
  return change(services, ctx, what, (tx) => work(tx, prepared));
}

/** Makes tasks of what a model has numbered, by the same rules as anybody's; the caller holds the lock on the tag. */
export async function createNumbered<N extends Numbered>(
  tx: Transaction,
  ctx: Context,
  place: Place,
  items: N[],
  valuesOf: (item: N) => Partial<NewTask> = () => ({}),
): Promise<Task[]> {
  const made = new Map<number, string>();
  for (const item of items) {
    const { title, description, details, testStrategy } = item;
    const values = { title, description, details, testStrategy, ...valuesOf(item) };
    made.set(item.id, (await createIn(tx, ctx, place, values)).id);
  }
  const get = (number: number): Promise<TaskRecord> => getTask(tx, made.get(number) ?? "");
  for (const { id, dependencies } of items) {
    for (const dependency of new Set(dependencies)) {
      await addEdge(tx, ctx, await get(id), await get(dependency));
    }
  }
  const tasks: Task[] = [];
  for (const { id } of items) tasks.push(toTask(await get(id)));
  return tasks;
}

/** Something that the model was not told of has happened: what it answered is about another state. */
export function movedOn(what: string): AppError {
  return new AppError(
    "version_mismatch",
    `${what} changed while the language model was at work, so that nothing was written; ask again.`,
  );
}

/**
 * Removes the tasks of now, with their subtasks, where they are those of before: only what the caller could know of is
 * replaced. The caller holds the lock on the tag. Throws version_mismatch about `what` otherwise.
 */
export async function removeAsSeen(
  tx: Transaction,
  ctx: Context,
  before: TaskRecord[],
  now: TaskRecord[],
  what: string,
): Promise<void> {
  const seen = new Map(before.map(({ id, version }) => [id, version]));
  if (now.length !== before.length || now.some(({ id, version }) => seen.get(id) !== version)) {
    throw movedOn(what);
  }
  for (const { id, parent } of now) {
    if (parent !== null && seen.has(parent)) continue;
    // Read anew: the one that went before may have been waited for, and that is a change of this one.
    const current = await getTask(tx, id);
    await deleteIn(tx, ctx, current, { version: current.version });
  }
}

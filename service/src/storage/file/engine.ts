import { setImmediate as nextRound, setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../../core/errors.ts";
import { adoptFile, adoptProject } from "./adopt.ts";
import { enforce } from "./constraints.ts";
import type { Journal } from "./journal.ts";
import { createRowLocks, type Holder, Retry } from "./locks.ts";
import {
  absent,
  applyTo,
  type ChangeSet,
  changesIn,
  createDraft,
  createModel,
  type Draft,
  type EventRow,
  fileId,
  isEmpty,
  type Model,
  mergeInto,
  type Reading,
  type TableName,
  tableNames,
} from "./model.ts";
import type { ProcessLock } from "./process-lock.ts";
import { renderProject } from "./render.ts";
import { byId, compare, type EventDraft } from "./rows.ts";
import { digest, type FileText, type TasksFile } from "./tasks-file.ts";

/** A transaction, as a statement sees it. */
export interface Tx {
  /** The newest committed rows, with the transaction's own changes over them. Read again after every wait. */
  rows: Draft;
  lock(table: TableName, id: string): Promise<void>;
  tryLock(table: TableName, id: string): boolean;
  append(event: EventDraft): void;
}

/** What a repository needs: a transaction, a snapshot, or the newest state with each statement by itself. */
export interface Db {
  read<T>(work: (rows: Reading) => T): Promise<T>;
  write<T>(work: (tx: Tx) => T | Promise<T>): Promise<T>;
}

export interface Engine {
  db: Db;
  snapshot<T>(work: (db: Db) => Promise<T>): Promise<T>;
  transaction<T>(work: (db: Db) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface EngineParts {
  journal: Journal;
  lock: ProcessLock;
  file: TasksFile;
  /** Of the project's folder: what its project is called. */
  name: string;
}

const attempts = 5;
/** For another process's turn, and for a row. */
const patienceMs = 15_000;
/** A transaction holds the folder against all other processes, so it may not go on for longer. */
const transactionMs = 30_000;
const turnMs = 25;

interface OpenTx extends Tx, Holder {
  epoch: number;
  events: EventDraft[];
  ended: boolean;
  /** Why it can only be undone. */
  doom: Error | undefined;
}

interface Commit {
  tx: OpenTx;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Transactions over rows in memory. Those of one process run side by side under row locks, and read what is committed;
 * processes take turns. What commits at once is written at once: one line of the journal, one tasks.json.
 */
export function createEngine({ journal, lock, file, name }: EngineParts): Engine {
  const model = createModel();
  const locks = createRowLocks(patienceMs);
  const snapshots = new Set<Draft>();
  /** Grows when somebody else's edit of tasks.json comes in: transactions begun before it have not seen it. */
  let epoch = 0;
  let lastEvent = 0;
  const sequences = new Map<string, number>();
  /** The text that the committed rows give, once it was needed. */
  let rendered: string | undefined;

  // ---- what is committed

  const countEvents = (events: EventRow[]) => {
    for (const { id, projectId, sequence } of events) {
      lastEvent = Math.max(lastEvent, Number(id));
      if (projectId !== null)
        sequences.set(projectId, Math.max(sequences.get(projectId) ?? 0, sequence ?? 0));
    }
  };

  const apply = (changes: ChangeSet) => {
    for (const snapshot of snapshots) keepBefore(snapshot, model, changes);
    applyTo(model, changes);
    countEvents(changes.puts.events ?? []);
  };

  const catchUp = () => {
    const { whole, commits } = journal.read();
    if (whole !== undefined) {
      apply(differenceTo(model, whole));
    }
    for (const changes of commits) apply(changes);
    if (whole !== undefined || commits.length > 0) rendered = undefined;
  };

  // ---- the file

  /** Under the process lock: brings rows and tasks.json together again after a crash, or an edit by somebody else. */
  const reconcile = async () => {
    const state = model.file.get(fileId);
    if (state !== undefined && !file.isTouched()) return;
    const found = file.read();
    const rows = createDraft(model);
    if (state === undefined) {
      const [first] = model.organizations
        .all()
        .sort((a, b) => compare(a.createdAt, b.createdAt) || byId(a, b));
      if (first === undefined) return;
      number(rows, adoptProject(rows, { organizationId: first.id, name, path: file.path }, found));
      if (found === undefined) return await persist(rows);
    } else {
      const sha256 = found?.sha256 ?? absent;
      if (sha256 === state.sha256) return;
      if (sha256 === state.replaced && (await file.finish(state.sha256))) return;
      if (found === undefined) throw missing(file.path);
      number(rows, await readable(found, (text) => adoptFile(rows, state, text, file.path)));
    }
    const changes = changesIn(rows);
    await journal.append(changes);
    apply(changes);
    rendered = undefined;
    epoch += 1;
  };

  /** Not every program writes a file at once, so one that cannot be read is looked at again for a moment. */
  const readable = async <T>(found: FileText, adopt: (found: FileText) => T): Promise<T> => {
    for (let look = 1, current = found; ; look += 1) {
      try {
        return adopt(current);
      } catch (error) {
        if (look === 5 || !(error instanceof AppError)) throw error;
        await sleep(look * 10);
        current = file.read() ?? current;
      }
    }
  };

  const isStale = (): boolean => {
    const state = model.file.get(fileId);
    if (state === undefined) return model.organizations.all().length > 0;
    return file.isTouched() && file.read()?.sha256 !== state.sha256;
  };

  /** Writes the changes, so that they are there for good, and makes them the committed state; or throws, and nothing is. */
  const persist = async (rows: Draft) => {
    const state = rows.file.get(fileId);
    let text: string | undefined;
    if (state !== undefined && concernsFile(model, changesIn(rows), state.projectId)) {
      rendered ??= renderProject(model, state.projectId);
      text = renderProject(rows, state.projectId);
      if (text === rendered && model.file.get(fileId) !== undefined) text = undefined;
    }
    const draft = text === undefined ? undefined : await file.draft(text);
    if (state !== undefined && text !== undefined) {
      rows.file.put({ ...state, sha256: digest(text), replaced: state.sha256 });
    }
    const changes = changesIn(rows);
    try {
      await journal.append(changes);
    } catch (error) {
      await draft?.discard();
      throw error;
    }
    try {
      await draft?.install();
    } catch (error) {
      await journal.undo();
      await draft?.discard();
      throw error;
    }
    apply(changes);
    if (text !== undefined) rendered = text;
  };

  /** Ids and sequences are given at the commit, in its order; so there is nothing to be numbered later. */
  const number = (rows: Draft, events: EventDraft[]) => {
    const waiting = rows.events.puts();
    const last = new Map(sequences);
    let id = lastEvent + waiting.length;
    for (const { projectId, sequence } of waiting) if (projectId !== null) last.set(projectId, sequence ?? 0);
    for (const event of events) {
      id += 1;
      const sequence = event.projectId === null ? null : (last.get(event.projectId) ?? 0) + 1;
      if (event.projectId !== null && sequence !== null) last.set(event.projectId, sequence);
      rows.events.put({ ...event, id: String(id), sequence });
    }
  };

  // ---- turns

  let active = 0;
  let turn: Promise<void> | undefined;
  let held = false;
  let closing = false;
  let watch: NodeJS.Timeout | undefined;
  let waiting: (() => void)[] = [];

  const beginTurn = async () => {
    await lock.acquire(patienceMs);
    try {
      catchUp();
      await reconcile();
    } catch (error) {
      await lock.release();
      throw error;
    }
    held = true;
    watch = setInterval(() => {
      void lock.isWantedByOthers().then((wanted) => {
        closing ||= wanted;
      });
    }, turnMs).unref();
  };

  const endTurn = async () => {
    const yields = closing;
    closing = true;
    held = false;
    clearInterval(watch);
    await lock.release().catch(() => {});
    // Longer than the others' pause between two looks.
    if (yields) await sleep(turnMs);
    turn = undefined;
    closing = false;
    const next = waiting;
    waiting = [];
    for (const wake of next) wake();
  };

  const enter = async () => {
    while (turn !== undefined && closing) await new Promise<void>((resolve) => waiting.push(resolve));
    turn ??= beginTurn();
    active += 1;
    try {
      await turn;
    } catch (error) {
      await leave();
      throw translate(error, file.path);
    }
    // Or whoever asks again and again, of rows in memory, would let nobody else in: no timer, no file, no client.
    await nextRound();
  };

  const leave = async () => {
    active -= 1;
    if (active === 0) await endTurn();
  };

  /** So that a read sees what was committed before it, by whatever process. */
  const refresh = async () => {
    if (held) return;
    try {
      if (journal.isBehind()) catchUp();
    } catch (error) {
      throw translate(error, file.path);
    }
    if (!isStale()) return;
    await enter();
    await leave();
  };

  // ---- commits

  let queue: Commit[] = [];
  let writing = false;

  const commit = async (tx: OpenTx) => {
    if (tx.events.length === 0 && isEmpty(changesIn(tx.rows))) return;
    await new Promise<void>((resolve, reject) => {
      queue.push({ tx, resolve, reject });
      void write();
    });
  };

  const write = async () => {
    if (writing) return;
    writing = true;
    // The turn goes on to the end of the writing, whoever has got an answer by then.
    active += 1;
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      try {
        await writeBatch(batch);
        // When it fails, the journal grows on and the next commit tries again.
        if (journal.isFull()) await journal.compact(model).catch(() => {});
      } catch (error) {
        for (const { reject } of batch) reject(translate(error, file.path));
      }
    }
    writing = false;
    await leave();
  };

  const writeBatch = async (batch: Commit[]) => {
    if (!(await lock.isHeld())) throw new Retry("The turn was taken away.");
    if (file.isTouched()) await reconcile();
    const rows = createDraft(model);
    const accepted = batch.filter(({ tx, reject }) => {
      try {
        if (tx.epoch !== epoch) throw new Retry("The file was edited meanwhile.");
        const trial = createDraft(rows);
        mergeInto(trial, changesIn(tx.rows));
        enforce(trial, changesIn(trial));
        mergeInto(rows, changesIn(trial));
        number(rows, tx.events);
        return true;
      } catch (error) {
        reject(error);
        return false;
      }
    });
    if (accepted.length === 0) return;
    await persist(rows);
    for (const { resolve } of accepted) resolve();
  };

  // ---- transactions

  const begin = (): OpenTx => {
    const rows = createDraft(model);
    const tx: OpenTx = {
      rows,
      epoch,
      events: [],
      ended: false,
      doom: undefined,
      holds: new Set(),
      waitsFor: new Set(),
      lock: async (table, id) => {
        await locks.lock(tx, `${table} ${id}`).catch((error: unknown) => {
          tx.doom ??= error as Error;
          throw error;
        });
        usable(tx);
      },
      tryLock: (table, id) => locks.tryLock(tx, `${table} ${id}`),
      append: (event) => {
        tx.events.push(event);
      },
    };
    return tx;
  };

  const runOnce = async <T>(work: (db: Db) => Promise<T>): Promise<T> => {
    await enter();
    const tx = begin();
    const db: Db = {
      read: async (look) => look(usable(tx).rows),
      write: async (change) => await change(usable(tx)),
    };
    let limit: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<never>((_, reject) => {
        limit = setTimeout(
          () => reject(new AppError("unavailable", "The change took too long; try again.")),
          transactionMs,
        );
      });
      const result = await Promise.race([work(db), late]);
      usable(tx);
      await commit(tx);
      return result;
    } finally {
      clearTimeout(limit);
      tx.ended = true;
      locks.releaseAll(tx);
      await leave();
    }
  };

  const transaction = async <T>(work: (db: Db) => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await runOnce(work);
      } catch (error) {
        if (!(originOf(error) instanceof Retry)) throw error;
        if (attempt === attempts) {
          throw new AppError("unavailable", "Too many changes met at one place; try again.", {
            cause: error,
          });
        }
        // Apart by chance, or those who met once would meet again.
        await sleep(Math.random() * 10 * 2 ** attempt);
      }
    }
  };

  return {
    transaction,

    db: {
      async read(look) {
        await refresh();
        return look(model);
      },
      write: async (change) => await transaction(async (db) => await db.write(change)),
    },

    async snapshot(work) {
      await refresh();
      const rows = createDraft(model);
      snapshots.add(rows);
      try {
        return await work({
          read: async (look) => look(rows),
          write: () => Promise.reject(new Error("a snapshot is only read")),
        });
      } finally {
        snapshots.delete(rows);
      }
    },

    async close() {
      while (turn !== undefined) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}

function usable(tx: OpenTx): OpenTx {
  if (tx.ended) throw new Error("The transaction has ended.");
  if (tx.doom !== undefined) throw tx.doom;
  return tx;
}

/** More than one deep where a use case says in its own words which part of it failed. */
function originOf(error: unknown): unknown {
  let origin = error;
  while (origin instanceof AppError) origin = origin.cause;
  return origin;
}

/** Puts the rows that are about to change into a snapshot that began before. */
function keepBefore(snapshot: Draft, model: Model, { puts, removed }: ChangeSet): void {
  for (const name of tableNames) {
    const [kept, table] = [snapshot[name], model[name]];
    const ids = [...(puts[name] ?? []).map(({ id }) => id), ...(removed[name] ?? [])];
    for (const id of ids.filter((one) => !kept.touches(one))) {
      const before = table.get(id);
      if (before === undefined) kept.remove(id);
      else kept.put(before as never);
    }
  }
}

/** What makes the model the other one. */
function differenceTo(model: Model, other: Model): ChangeSet {
  const changes: ChangeSet = { puts: {}, removed: {} };
  for (const name of tableNames) {
    Object.assign(changes.puts, { [name]: other[name].all() });
    changes.removed[name] = model[name]
      .all()
      .map(({ id }) => id)
      .filter((id) => other[name].get(id) === undefined);
  }
  return changes;
}

/** Whether the changes touch a row that tasks.json shows something of. */
function concernsFile(model: Model, { puts, removed }: ChangeSet, projectId: string): boolean {
  const tagIds = new Set(
    [...model.tags.where("project", projectId), ...(puts.tags ?? [])]
      .filter((tag) => tag.projectId === projectId)
      .map(({ id }) => id),
  );
  return (
    (puts.projects ?? []).some(({ id }) => id === projectId) ||
    (puts.tags ?? []).some((tag) => tagIds.has(tag.id)) ||
    (removed.tags ?? []).some((id) => tagIds.has(id)) ||
    (puts.tasks ?? []).some((task) => tagIds.has(task.tagId)) ||
    (removed.tasks ?? []).some((id) => model.tasks.get(id)?.projectId === projectId) ||
    (puts.dependencies ?? []).some((edge) => tagIds.has(edge.tagId)) ||
    (removed.dependencies ?? []).some((id) => tagIds.has(model.dependencies.get(id)?.tagId ?? ""))
  );
}

function missing(path: string): AppError {
  return new AppError(
    "unavailable",
    `${path} is gone. Put it back (git checkout -- ${path}), or move .taskmaster/task-master-pro away to begin anew.`,
  );
}

/** An error of the file system's, in a sentence; any other as it is. */
function translate(error: unknown, path: string): unknown {
  if (error instanceof AppError || error instanceof Retry || !(error instanceof Error)) return error;
  if (!("code" in error) || !/^E[A-Z]+$/.test(String(error.code))) return error;
  const message = `The folder of ${path} cannot be read or written (${error.message}); nothing was changed.`;
  return new AppError("unavailable", message, { cause: error });
}

import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../../core/errors.ts";
import { createCommitted } from "./committed.ts";
import { enforce } from "./constraints.ts";
import type { Journal } from "./journal.ts";
import { createKeeper } from "./keeper.ts";
import { createRowLocks, type Holder, Retry } from "./locks.ts";
import {
  applyTo,
  changesIn,
  createDraft,
  type Draft,
  isEmpty,
  type Reading,
  type TableName,
} from "./model.ts";
import type { ProcessLock } from "./process-lock.ts";
import type { EventDraft } from "./rows.ts";
import type { TasksFile } from "./tasks-file.ts";
import { createTurns } from "./turns.ts";

/** A transaction, as a statement sees it. */
export interface Tx {
  /** The newest committed rows, with the transaction's own changes over them. Read again after every wait. */
  rows: Draft;
  lock(table: TableName, id: string): Promise<void>;
  /** Without waiting: false when another transaction has it. */
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
  /** When what was begun is done. */
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

interface OpenTx extends Tx, Holder {
  edition: number;
  events: EventDraft[];
  ended: boolean;
  /** Why it can only be undone. */
  doom: unknown;
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
  const committed = createCommitted(journal);
  const keeper = createKeeper({ journal, file, committed, name });
  const locks = createRowLocks(patienceMs);
  /** Grows when an edit of tasks.json by somebody else comes in, which transactions begun before have not seen. */
  let edition = 0;

  const catchUp = () => {
    if (committed.catchUp()) keeper.forget();
  };
  const reconcile = async () => {
    if (await keeper.reconcile()) edition += 1;
  };
  const turns = createTurns(lock, patienceMs, async () => {
    catchUp();
    await reconcile();
  });

  /** So that a read sees what was committed before it, by whatever process. */
  const refresh = async () => {
    try {
      const turn = turns.current();
      if (turn !== undefined) return await turn;
      if (journal.isBehind()) catchUp();
      if (!keeper.isStale()) return;
      await turns.enter();
      await turns.leave();
    } catch (error) {
      throw translate(error);
    }
  };

  // ---- commits

  let queue: Commit[] = [];
  let writing = false;

  const commit = async (tx: OpenTx) => {
    if (tx.events.length === 0 && isEmpty(changesIn(tx.rows))) return;
    await new Promise<void>((resolve, reject) => {
      queue.push({ tx, resolve, reject });
      if (!writing) void write();
    });
  };

  const write = async () => {
    writing = true;
    // The turn goes on to the end of the writing, whoever has got an answer by then.
    turns.stay();
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      try {
        await writeBatch(batch);
        // When it fails, the journal grows on and the next commit tries again.
        if (journal.isFull()) await committed.compact().catch(() => {});
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    writing = false;
    await turns.leave();
  };

  const writeBatch = async (batch: Commit[]) => {
    if (!(await lock.isHeld())) {
      turns.lose();
      throw new Retry("The turn was taken away.");
    }
    await reconcile();
    const draft = createDraft(committed.rows);
    const accepted = batch.filter(({ tx, reject }) => {
      try {
        if (tx.edition !== edition) throw new Retry("The file was edited meanwhile.");
        const trial = createDraft(draft);
        applyTo(trial, changesIn(tx.rows));
        enforce(trial, changesIn(trial));
        applyTo(draft, changesIn(trial));
        committed.number(draft, tx.events);
        return true;
      } catch (error) {
        reject(error);
        return false;
      }
    });
    if (accepted.length > 0) await keeper.persist(draft);
    for (const { resolve } of accepted) resolve();
  };

  // ---- transactions

  const begin = (): OpenTx => {
    const tx: OpenTx = {
      rows: createDraft(committed.rows),
      edition,
      events: [],
      ended: false,
      doom: undefined,
      holds: new Set(),
      waitsFor: new Set(),
      lock: async (table, id) => {
        await locks.lock(tx, `${table} ${id}`).catch((error: unknown) => {
          tx.doom ??= error;
          throw error;
        });
        usable(tx);
      },
      tryLock: (table, id) => locks.tryLock(tx, `${table} ${id}`),
      append: (event) => void tx.events.push(event),
    };
    return tx;
  };

  const runOnce = async <T>(work: (db: Db) => Promise<T>): Promise<T> => {
    await turns.enter();
    const tx = begin();
    let before: Promise<unknown> = Promise.resolve();
    // Also those that are asked for together: each sees what the one before it did.
    const inTurn = <R>(statement: () => R | Promise<R>): Promise<R> => {
      const mine = before.then(statement);
      before = mine.catch(() => {});
      return mine;
    };
    const db: Db = {
      read: (look) => inTurn(() => look(usable(tx).rows)),
      write: (change) => inTurn(() => change(usable(tx))),
    };
    let limit: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const refuse = () => reject(new AppError("unavailable", "The change took too long; try again."));
      limit = setTimeout(refuse, transactionMs);
    });
    try {
      const result = await Promise.race([work(db), late]);
      usable(tx);
      await commit(tx);
      return result;
    } finally {
      clearTimeout(limit);
      tx.ended = true;
      locks.releaseAll(tx);
      await turns.leave();
    }
  };

  const transaction = async <T>(work: (db: Db) => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await runOnce(work);
      } catch (error) {
        if (!isRetryable(error)) throw translate(error);
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
        return look(committed.rows);
      },
      write: async (change) => await transaction(async (db) => await db.write(change)),
    },

    async snapshot(work) {
      await refresh();
      const snapshot = committed.openSnapshot();
      try {
        return await work({
          read: async (look) => look(snapshot.rows),
          write: () => Promise.reject(new Error("a snapshot is only read")),
        });
      } finally {
        snapshot.close();
      }
    },

    close: turns.idle,
  };
}

function usable(tx: OpenTx): OpenTx {
  if (tx.ended) throw new Error("The transaction has ended.");
  if (tx.doom !== undefined) throw tx.doom;
  return tx;
}

function isRetryable(error: unknown): boolean {
  let origin = error;
  // More than one deep where a use case says in its own words which part of it failed.
  while (origin instanceof AppError) origin = origin.cause;
  return origin instanceof Retry;
}

/** An error of the file system's, in a sentence that says nothing of where the folder lies; any other as it is. */
function translate(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error) || !("code" in error)) return error;
  if (!/^E[A-Z]+$/.test(String(error.code))) return error;
  const message = `The project's folder cannot be read or written (${error.code}).`;
  return new AppError("unavailable", message, { cause: error });
}

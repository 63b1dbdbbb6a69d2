import type { Journal } from "./journal.ts";
import {
  applyTo,
  type ChangeSet,
  createDraft,
  createModel,
  type Draft,
  type EventRow,
  type Model,
  type Reading,
  tableNames,
} from "./model.ts";
import type { EventDraft } from "./rows.ts";

/** What is committed, in memory, and the snapshots that were taken of it. */
export interface Committed {
  rows: Reading;
  /** Takes in what other processes have committed; true when there was something. */
  catchUp(): boolean;
  apply(changes: ChangeSet): void;
  /** Gives the events their ids and sequences, behind those of `draft` already. */
  number(draft: Draft, events: EventDraft[]): void;
  /** The rows as they are now, whatever is committed until `close`. */
  openSnapshot(): { rows: Reading; close(): void };
  /** All rows as the journal's new snapshot. */
  compact(): Promise<void>;
  /** Makes a line of the journal that could not be carried out undone. */
  revoke(): Promise<void>;
}

export function createCommitted(journal: Journal): Committed {
  const model = createModel();
  const snapshots = new Set<Draft>();
  let lastEvent = 0;
  const sequences = new Map<string, number>();

  const countEvents = (events: EventRow[]) => {
    for (const { id, projectId, sequence } of events) {
      lastEvent = Math.max(lastEvent, Number(id));
      if (projectId === null || sequence === null) continue;
      sequences.set(projectId, Math.max(sequences.get(projectId) ?? 0, sequence));
    }
  };

  const apply = (changes: ChangeSet) => {
    for (const snapshot of snapshots) keepBefore(snapshot, model, changes);
    applyTo(model, changes);
    countEvents(changes.puts.events ?? []);
  };

  return {
    rows: model,
    apply,

    catchUp() {
      const { whole, commits } = journal.read();
      if (whole !== undefined) apply(differenceTo(model, whole));
      for (const changes of commits) apply(changes);
      return whole !== undefined || commits.length > 0;
    },

    number(draft, events) {
      // At the commit and in its order, so that there is nothing to be numbered later.
      const before = draft.events.puts();
      const last = new Map(sequences);
      for (const { projectId, sequence } of before) {
        if (projectId !== null) last.set(projectId, sequence ?? 0);
      }
      let id = lastEvent + before.length;
      for (const event of events) {
        id += 1;
        const sequence = event.projectId === null ? null : (last.get(event.projectId) ?? 0) + 1;
        if (event.projectId !== null && sequence !== null) last.set(event.projectId, sequence);
        draft.events.put({ ...event, id: String(id), sequence });
      }
    },

    openSnapshot() {
      const rows = createDraft(model);
      snapshots.add(rows);
      return { rows, close: () => void snapshots.delete(rows) };
    },

    compact: async () => await journal.compact(model),
    revoke: async () => await journal.revoke(model),
  };
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

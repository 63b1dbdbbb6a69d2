export interface Row {
  id: string;
}

/** Rows by id, and by each of the table's indexes; what a query needs, and no more. */
export interface Source<R extends Row> {
  get(id: string): R | undefined;
  /** The rows whose key in the index is this one, in no promised order. */
  where(index: string, key: string): R[];
  all(): R[];
}

/** An index's key of a row; null leaves the row out of the index. */
export type Indexes<R extends Row> = Record<string, (row: R) => string | null>;

export interface Writable<R extends Row> {
  put(row: R): void;
  remove(id: string): void;
}

export type Table<R extends Row> = Source<R> & Writable<R>;

export function createTable<R extends Row>(indexes: Indexes<R>): Table<R> {
  const rows = new Map<string, R>();
  const names = Object.keys(indexes);
  const byKey = new Map<string, Map<string, Map<string, R>>>(names.map((name) => [name, new Map()]));

  const forget = (row: R) => {
    for (const name of names) {
      const key = indexes[name]?.(row) ?? null;
      if (key === null) continue;
      const found = byKey.get(name)?.get(key);
      found?.delete(row.id);
      if (found?.size === 0) byKey.get(name)?.delete(key);
    }
  };

  return {
    get: (id) => rows.get(id),
    where(index, key) {
      const found = byKey.get(index);
      if (found === undefined) throw new Error(`there is no index ${index}`);
      return [...(found.get(key)?.values() ?? [])];
    },
    all: () => [...rows.values()],
    put(row) {
      const before = rows.get(row.id);
      if (before !== undefined) forget(before);
      rows.set(row.id, row);
      for (const name of names) {
        const key = indexes[name]?.(row) ?? null;
        if (key === null) continue;
        const keys = byKey.get(name);
        const found = keys?.get(key);
        if (found === undefined) keys?.set(key, new Map([[row.id, row]]));
        else found.set(row.id, row);
      }
    },
    remove(id) {
      const row = rows.get(id);
      if (row === undefined) return;
      forget(row);
      rows.delete(id);
    },
  };
}

/** Changes that lie over a source and are not in it. */
export interface Overlay<R extends Row> extends Source<R>, Writable<R> {
  /** Whether the overlay, and not the source, says what becomes of the row. */
  touches(id: string): boolean;
  puts(): R[];
  removed(): string[];
}

export function createOverlay<R extends Row>(source: Source<R>, indexes: Indexes<R>): Overlay<R> {
  const over = createTable(indexes);
  const gone = new Set<string>();
  const touches = (id: string) => gone.has(id) || over.get(id) !== undefined;
  return {
    touches,
    get: (id) => over.get(id) ?? (gone.has(id) ? undefined : source.get(id)),
    where: (index, key) => [
      ...source.where(index, key).filter((row) => !touches(row.id)),
      ...over.where(index, key),
    ],
    all: () => [...source.all().filter((row) => !touches(row.id)), ...over.all()],
    put(row) {
      gone.delete(row.id);
      over.put(row);
    },
    remove(id) {
      over.remove(id);
      gone.add(id);
    },
    puts: over.all,
    removed: () => [...gone],
  };
}

/** What was found of credentials a moment ago, so that not every request has to ask for it again. */
export interface RecentCredentials {
  /** What `read` gave for the key, at most as long ago as a change made elsewhere may go unnoticed. */
  find<T>(key: string, read: () => Promise<T>): Promise<T>;
  /** To be called when what somebody may do has changed, once that is committed. */
  forget(): void;
}

/** Half of the second within which a revocation must count, as a lookup takes a part of it, too. */
const trustMs = 500;

/** More callers than that within half a second, and what is remembered of the others is not worth its room. */
const most = 10_000;

/** Failures are not remembered: a token that was made just now must work. Requests that come at once ask once. */
export function createRecentCredentials(): RecentCredentials {
  const known = new Map<string, { at: number; found: Promise<unknown> }>();
  return {
    find<T>(key: string, read: () => Promise<T>): Promise<T> {
      const now = performance.now();
      const last = known.get(key);
      if (last !== undefined && now - last.at < trustMs) return last.found as Promise<T>;
      // From when it was asked for: what is changed while the answer comes may not be in it.
      const entry = { at: now, found: read() };
      if (known.size >= most) known.clear();
      known.set(key, entry);
      entry.found.catch(() => {
        if (known.get(key) === entry) known.delete(key);
      });
      return entry.found;
    },
    forget: () => known.clear(),
  };
}

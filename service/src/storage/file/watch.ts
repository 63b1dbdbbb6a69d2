import { createRounds } from "../../core/rounds.ts";
import type { Storage } from "../../core/storage.ts";

/** How soon those who watch hear of it. A look reads the journal's end only when another process has made it longer. */
const lookMs = 200;

export interface Watch {
  watch: Storage["watch"];
  close(): Promise<void>;
}

/** Looks at the logs' ends, since no file system tells every process of another's writes. */
export function createWatch(last: (projectId: string) => Promise<number | undefined>): Watch {
  const watched = new Map<string, { wakes: Set<() => void>; last: number | undefined | null }>();
  const look = async () => {
    for (const [projectId, entry] of watched) {
      const now = await last(projectId);
      if (now === entry.last) continue;
      entry.last = now;
      for (const wake of entry.wakes) wake();
    }
  };
  // A folder that cannot be read gives no hints, and one as soon as it can be again.
  const looks = createRounds(lookMs, look);

  return {
    close: looks.stop,

    watch(projectId, wake) {
      const entry = watched.get(projectId) ?? { wakes: new Set(), last: null };
      watched.set(projectId, entry);
      // A function of its own, since the same one may be given twice.
      const one = () => wake();
      entry.wakes.add(one);
      looks.start();
      return () => {
        entry.wakes.delete(one);
        if (entry.wakes.size === 0 && watched.get(projectId) === entry) watched.delete(projectId);
        if (watched.size === 0) void looks.stop();
      };
    },
  };
}

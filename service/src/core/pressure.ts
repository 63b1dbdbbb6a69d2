import type { Connections } from "./storage.ts";

/** Whether what comes now had better come later: it would wait behind more than is done in a second or so. */
export function isOverwhelmed(connections: Connections | null): boolean {
  if (connections === null) return false;
  const { max, backlog } = connections;
  const each = backlog.count / max;
  // Few who wait for long wait for a database that stands still for a moment, and had better go on; and many who came at
  // once may be done with in no time. Both together, or far more of them, are no such thing.
  return (each > 25 && backlog.oldestMs > 500) || each > 100;
}

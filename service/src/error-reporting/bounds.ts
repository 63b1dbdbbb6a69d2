const sameMs = 10_000;
const windowMs = 60_000;
const mostInWindow = 30;
const mostKinds = 1000;

/**
 * Keeps a storm of errors small: one of a kind in ten seconds, and thirty in all in a minute. Returns how many of the kind
 * were left out since the last one, or null when this one is to be left out.
 */
export function createBounds(): (kind: string, now: number) => number | null {
  const kinds = new Map<string, { admitted: number; leftOut: number }>();
  let window = { began: Number.NEGATIVE_INFINITY, count: 0 };
  return (kind, now) => {
    if (now - window.began >= windowMs) window = { began: now, count: 0 };
    const known = kinds.get(kind);
    const soon = known !== undefined && now - known.admitted < sameMs;
    if (soon || window.count >= mostInWindow) {
      if (known !== undefined) known.leftOut++;
      return null;
    }
    window.count++;
    const leftOut = known?.leftOut ?? 0;
    // Kinds are few, unless something makes them up.
    if (kinds.size >= mostKinds) kinds.clear();
    kinds.set(kind, { admitted: now, leftOut: 0 });
    return leftOut;
  };
}

/** What a bench makes of its numbers: the same numbers give the same figures, at every run. */

export interface Estimate {
  median: number;
  /** The 95 % interval of the median. */
  low: number;
  high: number;
}

/** The middle one, or between the two in the middle; NaN where there is none. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [below, above] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return below === undefined || above === undefined ? Number.NaN : (below + above) / 2;
}

/** The smallest value that so large a share of the sorted ones does not exceed; 0 where there is none. */
export function rank(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

/** The same of numbers in any order. */
export function quantile(numbers: readonly number[], share: number): number {
  return rank(
    numbers.toSorted((a, b) => a - b),
    share,
  );
}

/** To hundredths. */
export function round(value: number): number {
  return Math.round(value * 100) / 100;
}

const draws = 10_000;

/** The median of what was measured, and where it lies when the measurements are drawn anew, with replacement. */
export function estimate(numbers: readonly number[]): Estimate {
  const random = createRandom(20_261_126);
  const draw = () => numbers[Math.floor(random() * numbers.length)] ?? Number.NaN;
  const medians = Array.from({ length: draws }, () => median(numbers.map(draw))).sort((a, b) => a - b);
  return { median: median(numbers), low: rank(medians, 0.025), high: rank(medians, 0.975) };
}

/**
 * How many times the second of each pair is the first. Both of a pair are measured one right after the other, so that
 * what changes slowly on the machine is in both and divides away.
 */
export function estimateRatio(pairs: readonly (readonly [number, number])[]): Estimate {
  return estimate(pairs.map(([one, other]) => other / one));
}

/** Mulberry32: the same numbers at every run, so that two runs measure the same. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

import type { Turn } from "./driver.ts";
import { type Estimate, estimateRatio } from "./statistics.ts";

/** Two that are alike, and one to compare with them. */
export type Trio<T> = Record<"base" | "twin" | "other", T>;

/**
 * Gives each its turn, there and back again (A B B A), so that what changes slowly on the machine meets all of them alike,
 * until it has been enough.
 */
export async function interleave<Name extends string, T>(
  sides: Record<Name, () => Promise<T>>,
  isEnough: (turns: Record<Name, T[]>, rounds: number) => boolean,
): Promise<Record<Name, T[]>> {
  const names = Object.keys(sides) as Name[];
  const turns = Object.fromEntries(names.map((name) => [name, [] as T[]])) as Record<Name, T[]>;
  for (let round = 0; round === 0 || !isEnough(turns, round); round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) turns[name].push(await sides[name]());
  }
  return turns;
}

/** One after another: one start of a server is quicker than another for as long as it runs, so that one alone says nothing. */
export function inTurn<T>(some: readonly (() => Promise<T>)[]): () => Promise<T> {
  let next = 0;
  return async () => {
    const turn = some[next % some.length];
    if (turn === undefined) throw new Error("nothing was started");
    next += 1;
    return await turn();
  };
}

/** How many times the first the second is, of the turns of each that belong to the same round. */
export function ratioOf<T>(one: T[], other: T[], of: (turn: T) => number): Estimate {
  return estimateRatio(one.map((turn, round) => [of(turn), of(other[round] ?? turn)]));
}

export interface Comparison {
  /** How many times the base the other is. */
  other: Estimate;
  /** How many times the base its twin is: what the machine, and one start of a process and another, do by themselves. */
  twin: Estimate;
}

/** Each round gives a pair: the other against the mean of the two that are alike. */
export function compareTurns(turns: Trio<Turn[]>, of: (turn: Turn) => number): Comparison {
  const values = turns.base.map((base, round) => {
    const [twin, other] = [turns.twin[round], turns.other[round]];
    if (twin === undefined || other === undefined) throw new Error("a round lacks a turn");
    return { base: of(base), twin: of(twin), other: of(other) };
  });
  return {
    other: estimateRatio(values.map(({ base, twin, other }) => [(base + twin) / 2, other])),
    twin: ratioOf(turns.base, turns.twin, of),
  };
}

/** "+3.2 % (+1.0 to +4.4)" */
export function asChange({ median, low, high }: Estimate): string {
  const percent = (ratio: number) => `${ratio < 1 ? "" : "+"}${((ratio - 1) * 100).toFixed(1)}`;
  return `${percent(median)} % (${percent(low)} to ${percent(high)})`;
}

/** "1.33 (1.29 to 1.36)" */
export function asRatio({ median, low, high }: Estimate): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

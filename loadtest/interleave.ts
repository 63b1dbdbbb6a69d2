import type { Turn } from "./driver.ts";
import { type Estimate, estimateRatio } from "./statistics.ts";

/** Two that are alike, and one to compare with them. */
export type Trio<T> = Record<"base" | "twin" | "other", T>;
const names = ["base", "twin", "other"] as const;

/**
 * Gives each its turn, there and back again (A B B A), so that what changes slowly on the machine meets all of them alike,
 * until it has been enough.
 */
export async function interleave(
  sides: Trio<() => Promise<Turn>>,
  isEnough: (turns: Trio<Turn[]>, rounds: number) => boolean,
): Promise<Trio<Turn[]>> {
  const turns: Trio<Turn[]> = { base: [], twin: [], other: [] };
  for (let round = 0; round === 0 || !isEnough(turns, round); round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) turns[name].push(await sides[name]());
  }
  return turns;
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
    twin: estimateRatio(values.map(({ base, twin }) => [base, twin])),
  };
}

/** "+3.2 % (+1.0 to +4.4)" */
export function asChange({ median, low, high }: Estimate): string {
  const percent = (ratio: number) => `${ratio < 1 ? "" : "+"}${((ratio - 1) * 100).toFixed(1)}`;
  return `${percent(median)} % (${percent(low)} to ${percent(high)})`;
}

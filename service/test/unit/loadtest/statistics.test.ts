import { describe, expect, it } from "vitest";
import {
  createRandom,
  estimate,
  estimateRatio,
  median,
  quantile,
  rank,
} from "../../../../loadtest/statistics.ts";

/** Of a normal distribution, by the central limit theorem: the sum of twelve uniform numbers has the variance 1. */
function normal(random: () => number): number {
  return Array.from({ length: 12 }, random).reduce((sum, one) => sum + one, -6);
}

describe("median", () => {
  it("is the one in the middle, or lies between the two", () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([7])).toBe(7);
    expect(median([])).toBeNaN();
  });

  it("compares numbers and not texts", () => {
    expect(median([10, 9, 100])).toBe(10);
  });
});

describe("rank and quantile", () => {
  it("give a value that was measured, the smallest behind the share", () => {
    const numbers = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(quantile(numbers, 0.5)).toBe(50);
    expect(quantile(numbers, 0.99)).toBe(99);
    expect(quantile(numbers, 1)).toBe(100);
    expect(quantile(numbers, 0)).toBe(1);
    expect(rank([1, 2, 3], 0.34)).toBe(2);
    expect(rank([], 0.5)).toBe(0);
  });
});

describe("estimate", () => {
  it("has no doubt about what was always the same", () => {
    expect(estimate([2, 2, 2, 2])).toEqual({ median: 2, low: 2, high: 2 });
  });

  it("has the interval that the binomial distribution gives a median", () => {
    // Of 21 drawn with replacement from 1 to 21, the median is at most k with P(Binomial(21, k / 21) >= 11):
    // 0.0183 at 6 and 0.0557 at 7, and the other way round at the upper end.
    const { median: middle, low, high } = estimate(Array.from({ length: 21 }, (_, i) => i + 1));
    expect(middle).toBe(11);
    expect([low, high]).toEqual([7, 15]);
  });

  it("is the same at every call", () => {
    const random = createRandom(1);
    const numbers = Array.from({ length: 15 }, () => normal(random));
    expect(estimate(numbers)).toEqual(estimate(numbers));
  });

  it("holds the true median in about 95 of 100 samples", () => {
    const random = createRandom(7);
    const samples = Array.from({ length: 100 }, () =>
      estimate(Array.from({ length: 15 }, () => normal(random))),
    );
    const held = samples.filter(({ low, high }) => low <= 0 && high >= 0).length;
    expect(held).toBeGreaterThanOrEqual(88);
    expect(held).toBeLessThanOrEqual(99);
  });
});

describe("estimateRatio", () => {
  it("divides the second of each pair by the first, and drift away", () => {
    // The machine gets slower and slower, the second stays a tenth behind.
    const pairs = Array.from({ length: 8 }, (_, i) => [1000 - 90 * i, (1000 - 90 * i) * 0.9] as const);
    const { median: middle, low, high } = estimateRatio(pairs);
    for (const value of [middle, low, high]) expect(value).toBeCloseTo(0.9, 10);
  });

  it("does not let one bad pair decide", () => {
    const pairs = [...Array.from({ length: 8 }, () => [100, 101] as const), [100, 3] as const];
    const { median: middle, low } = estimateRatio(pairs);
    expect(middle).toBeCloseTo(1.01, 10);
    expect(low).toBeCloseTo(1.01, 10);
  });
});

describe("createRandom", () => {
  it("gives uniform numbers, the same for the same seed", () => {
    const [one, other] = [createRandom(3), createRandom(3)];
    const numbers = Array.from({ length: 10_000 }, one);
    expect(Array.from({ length: 10_000 }, other)).toEqual(numbers);
    expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true);
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    expect(mean).toBeCloseTo(0.5, 1);
  });
});

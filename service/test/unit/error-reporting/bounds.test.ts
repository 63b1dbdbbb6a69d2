import { expect, it } from "vitest";
import { createBounds } from "../../../src/error-reporting/bounds.ts";

it("admits one of a kind in ten seconds, and says how many it left out", () => {
  const admit = createBounds();
  expect(admit("a", 0)).toBe(0);
  expect([1, 2000, 9999].map((now) => admit("a", now))).toEqual([null, null, null]);
  expect(admit("b", 9999)).toBe(0);
  expect(admit("a", 10_000)).toBe(3);
  expect(admit("a", 20_000)).toBe(0);
});

it("admits thirty in a minute, of whatever kinds", () => {
  const admit = createBounds();
  const admitted = (from: number) =>
    Array.from({ length: 5000 }, (_, index) => admit(`kind ${from + index}`, from)).filter(
      (one) => one !== null,
    );
  expect(admitted(0)).toHaveLength(30);
  expect(admitted(59_999)).toHaveLength(0);
  expect(admitted(60_000)).toHaveLength(30);
});

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createReading } from "../../../src/metrics/reading.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("a value is read once in ten seconds, however many ask and how often", async () => {
  let reads = 0;
  const reading = createReading(async () => ++reads);
  expect(await Promise.all([reading.current(), reading.current(), reading.current()])).toEqual([1, 1, 1]);
  vi.advanceTimersByTime(9_999);
  expect(await reading.current()).toBe(1);
  vi.advanceTimersByTime(1);
  expect(await reading.current()).toBe(2);
});

test("one that fails is no value, is not asked again at once, and is back when the storage is", async () => {
  const answers = [async () => 1, async () => Promise.reject(new Error("away")), async () => 3];
  let reads = 0;
  const reading = createReading(async () => await answers[reads++]?.());
  expect(await reading.current()).toBe(1);
  vi.advanceTimersByTime(10_000);
  expect(await reading.current()).toBeUndefined();
  vi.advanceTimersByTime(9_000);
  expect(await reading.current()).toBeUndefined();
  expect(reads).toBe(2);
  vi.advanceTimersByTime(1_000);
  expect(await reading.current()).toBe(3);
});

test("a slow query holds nobody up for long, never runs twice at once, and runs the more seldom", async () => {
  vi.useRealTimers();
  let reads = 0;
  let answer = (_value: number) => {};
  const reading = createReading(
    () => {
      reads += 1;
      return new Promise<number>((resolve) => {
        answer = resolve;
      });
    },
    { waitMs: 50 },
  );
  expect(await reading.current()).toBeUndefined();
  expect(await reading.current()).toBeUndefined();
  expect(reads).toBe(1);
  const now = vi.spyOn(performance, "now");
  // The query took three seconds at least: nobody asks again within a minute.
  const started = performance.now();
  now.mockReturnValue(started + 3_000);
  answer(7);
  expect(await reading.current()).toBe(7);
  now.mockReturnValue(started + 60_000);
  expect(await reading.current()).toBe(7);
  expect(reads).toBe(1);
  now.mockRestore();
});

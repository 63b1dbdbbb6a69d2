import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRecentCredentials } from "../../../src/core/access/recent.ts";

function createReads() {
  let count = 0;
  return { read: async () => (count += 1), count: () => count };
}

test("requests of one credential that come together, or soon, ask once; those of another ask for theirs", async () => {
  const recent = createRecentCredentials();
  const reads = createReads();
  expect(await Promise.all([recent.find("a", reads.read), recent.find("a", reads.read)])).toEqual([1, 1]);
  expect(await recent.find("a", reads.read)).toBe(1);
  expect(await recent.find("b", reads.read)).toBe(2);
});

test("what another server changes is noticed within a second", async () => {
  const recent = createRecentCredentials();
  const reads = createReads();
  await recent.find("a", reads.read);
  await sleep(600);
  expect(await recent.find("a", reads.read)).toBe(2);
});

test("after a change here nothing is trusted that was asked for before, not even what is still on its way", async () => {
  const recent = createRecentCredentials();
  const reads = createReads();
  const slow = recent.find("a", async () => {
    await sleep(50);
    return "as it was";
  });
  recent.forget();
  expect(await recent.find("a", reads.read)).toBe(1);
  expect(await slow).toBe("as it was");
  expect(await recent.find("a", reads.read)).toBe(1);
});

test("a refusal is not remembered", async () => {
  const recent = createRecentCredentials();
  const refused = recent.find("a", () => Promise.reject(new Error("unknown")));
  await expect(refused).rejects.toThrow("unknown");
  expect(await recent.find("a", async () => "known now")).toBe("known now");
});

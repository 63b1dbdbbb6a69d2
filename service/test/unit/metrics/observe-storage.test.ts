import { expect, test } from "vitest";
import type { Storage, Transaction } from "../../../src/core/storage.ts";
import { type EndedTransaction, observeStorage } from "../../../src/metrics/observe-storage.ts";
import { newEvent } from "../../support/world.ts";

/** A storage that gives up on a transaction so many times first, and keeps nothing. */
function open(failures: number) {
  const told: EndedTransaction[] = [];
  const tx = { events: { append: async () => {} } } as unknown as Transaction;
  const storage = {
    async transaction<T>(_organizationId: string, work: (tx: Transaction) => Promise<T>): Promise<T> {
      for (let i = 0; i < failures; i += 1) await work(tx);
      return await work(tx);
    },
  } as unknown as Storage;
  return { told, observed: observeStorage(storage, (one) => told.push(one)) };
}

test("a transaction that was run again is one, with its retries and its events once", async () => {
  const { told, observed } = open(2);
  const result = await observed.transaction("o", async (tx) => {
    await tx.events.append([newEvent({ type: "task.created" }), newEvent({ type: "claim.created" })]);
    return 7;
  });
  expect(result).toBe(7);
  expect(told).toEqual([
    { kind: "change", outcome: "committed", retries: 2, events: ["task.created", "claim.created"] },
  ]);
});

test("what is rolled back has no events, and fails as it did", async () => {
  const { told, observed } = open(0);
  const failing = observed.transaction("o", async (tx) => {
    await tx.events.append([newEvent()]);
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  expect(told).toEqual([{ kind: "change", outcome: "rolled_back", retries: 0, events: [] }]);
});

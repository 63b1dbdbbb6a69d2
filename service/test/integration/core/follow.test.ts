import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Follower } from "../../../src/core/access/supervision.ts";
import { AppError } from "../../../src/core/errors.ts";
import type { Event } from "../../../src/core/index.ts";
import type { EventStore, Storage, Transaction } from "../../../src/core/storage.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";
import { isWaiting } from "../../support/world.ts";

let opened: TestCore;
let who: Follower;
let leaving: AbortController[];
/** How often the log was read, and what stands between core and it. */
let reads: number;
let fault: (() => Promise<void>) | undefined;

beforeEach(async () => {
  reads = 0;
  fault = undefined;
  leaving = [];
  opened = await openTestCore({ wrap: observed });
  who = { ...opened.owner, tokenId: null };
  await opened.core.projects.create(opened.owner, { key: "LOG", name: "Log" });
});
afterEach(async () => {
  for (const one of leaving) one.abort();
  await opened.close();
});

function observed(storage: Storage): Storage {
  const watched = (events: EventStore): EventStore => ({
    ...events,
    async list(...of) {
      reads += 1;
      await fault?.();
      return await events.list(...of);
    },
  });
  return {
    ...storage,
    reader: (organizationId) => {
      const reader = storage.reader(organizationId);
      return { ...reader, events: watched(reader.events) };
    },
  };
}

async function follow(after?: number) {
  const leave = new AbortController();
  leaving.push(leave);
  const following = await opened.core.events.follow(who, "LOG", { after, signal: leave.signal });
  return { ...following, leave };
}

const write = async (count: number, size = 0) => {
  const project = await opened.storage.reader(who.organizationId).projects.find("LOG");
  await opened.storage.transaction(who.organizationId, async (tx: Transaction) => {
    const event = {
      type: "task.updated" as const,
      projectId: project?.id ?? null,
      taskId: null,
      actor: who.actor,
    };
    const data = { text: "x".repeat(size) };
    await tx.events.append(Array.from({ length: count }, () => ({ ...event, requestId: "test", data })));
  });
};

const sequences = (events: Event[]) => events.map(({ sequence }) => sequence);

test("many who follow at the same place read the log once", async () => {
  const all: Awaited<ReturnType<typeof follow>>[] = [];
  all.push(await follow());
  while (all.length < 200) all.push(await follow(1));
  const before = reads;
  for (const place of [1, 2, 3]) {
    const next = all.map((one) => one.next(place));
    await sleep(50);
    await write(1);
    for (const events of await Promise.all(next)) expect(sequences(events)).toEqual([place + 1]);
  }
  expect(reads - before).toBe(3);
});

test("who falls behind is given the same, from what is kept or from the log", async () => {
  const [fast, slow] = [await follow(), await follow()];
  let place = fast.from;
  for (const events of [40, 300, 300]) {
    await write(events);
    for (const goal = place + events; place < goal; ) {
      const got = sequences(await fast.next(place));
      expect(got).toEqual(got.map((_, i) => place + 1 + i));
      place += got.length;
    }
  }
  const before = reads;
  const got: number[] = [];
  while (got.length < 640) got.push(...sequences(await slow.next(slow.from + got.length)));
  expect(got).toEqual(Array.from({ length: 640 }, (_, i) => slow.from + 1 + i));
  // What lies further back than the last 256 is read again, by pages; the rest is not.
  expect(reads - before).toBe(Math.ceil((640 - 256) / 64));
});

test("large events are kept only as far as there is room for them", async () => {
  const [fast, slow] = [await follow(), await follow()];
  await write(20, 200_000);
  for (let place = fast.from; place < fast.from + 20; ) place += (await fast.next(place)).length;
  const before = reads;
  // The last five fit into what is kept; the others are read again, each a page of its own.
  for (let place = slow.from; place < slow.from + 20; ) place += (await slow.next(place)).length;
  expect(reads - before).toBe(15);
});

test("nothing is read while nobody waits", async () => {
  const one = await follow();
  const before = reads;
  await write(10);
  await sleep(200);
  expect(reads).toBe(before);
  expect((await one.next(one.from)).length).toBe(10);
});

test("a storage that is away for a while costs patience and no event", async () => {
  const one = await follow();
  let times = 2;
  fault = async () => {
    times -= 1;
    if (times >= 0) throw new AppError("unavailable", "away");
  };
  const next = one.next(one.from);
  await write(2);
  expect(sequences(await next)).toEqual([2, 3]);
});

test("a defect ends it, for all who follow, and who comes next begins anew", async () => {
  const [one, other] = [await follow(), await follow()];
  fault = async () => {
    throw new TypeError("a defect");
  };
  const both = Promise.allSettled([one.next(1), other.next(1)]);
  await write(1);
  for (const { status } of await both) expect(status).toBe("rejected");
  fault = undefined;
  const again = await follow(1);
  expect(sequences(await again.next(1))).toEqual([2]);
});

test("who leaves hears why, and one who leaves before it began does not begin", async () => {
  const one = await follow();
  const next = one.next(one.from);
  expect(await isWaiting(next)).toBe(true);
  one.leave.abort(new AppError("unavailable", "enough"));
  await expect(next).rejects.toThrow("enough");
  await expect(one.next(one.from)).rejects.toThrow("enough");
  const gone = AbortSignal.abort(new AppError("unavailable", "gone"));
  await expect(opened.core.events.follow(who, "LOG", { signal: gone })).rejects.toThrow("gone");
});

test("a role that may no longer read ends it", async () => {
  const one = await opened.core.events
    .follow({ ...who, scopes: [] as const }, "LOG", { signal: new AbortController().signal })
    .catch((error: unknown) => error);
  expect(one).toMatchObject({ code: "forbidden" });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../../src/core/ids.ts";
import type { DeliveryResult, Repositories, Storage } from "../../src/core/storage.ts";
import type { Webhook } from "../../src/core/webhooks/schema.ts";
import type { TestStorage } from "./storage.ts";
import { createGate, createWorld, isWaiting, type World } from "./world.ts";

const all = { limit: 200, after: undefined };
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** What a storage has to keep that has webhooks. */
export function webhookContract(open: () => Promise<TestStorage>): void {
  let opened: TestStorage;
  let storage: Storage;
  let world: World;
  let reader: Repositories;

  beforeAll(async () => {
    opened = await open();
    storage = opened.storage;
  });
  afterAll(async () => {
    await opened.close();
  });
  beforeEach(async () => {
    // The queue is one for all organizations: none of the last test's may be left in it.
    while ((await take({ limit: 1000, perWebhook: 1000 })).length > 0);
    world = await createWorld(storage);
    reader = storage.reader(world.organizationId);
  });

  const take = async (claim: Partial<Parameters<Storage["upkeep"]["claimDeliveries"]>[0]> = {}) =>
    await storage.upkeep.claimDeliveries({
      limit: 100,
      perWebhook: 100,
      underWay: [],
      leaseSeconds: 3600,
      ...claim,
    });
  const addWebhook = async (values: Partial<Parameters<Repositories["webhooks"]["insert"]>[0]> = {}) =>
    await reader.webhooks.insert({
      id: newId(),
      projectId: null,
      url: "https://example.com/",
      description: "",
      events: ["*"],
      secret: "sealed",
      ...values,
    });
  const addDeliveries = async (webhook: Webhook, count: number) => {
    const added = [];
    for (const _ of range(count)) {
      const input = { id: newId(), webhookId: webhook.id, type: "webhook.test", data: {} };
      added.push(await reader.deliveries.insert(input));
    }
    return added;
  };
  const change = async <T>(work: (tx: Repositories) => Promise<T>) =>
    await storage.transaction(world.organizationId, work);
  const failure = (of: { id: string; fence: number }, retryInSeconds: number | null): DeliveryResult => ({
    id: of.id,
    fence: of.fence,
    responseStatus: 500,
    durationMs: 3,
    error: "no",
    retryInSeconds,
  });

  describe("events and deliveries", () => {
    test("appear together or not at all, one a webhook that wants it", async () => {
      const wanted = await addWebhook({ events: ["task.updated"], projectId: world.projectId });
      await addWebhook({ events: ["tag.*"] });
      await expect(
        change(async (tx) => {
          await tx.events.append([world.event()]);
          throw new Error("undone");
        }),
      ).rejects.toThrow("undone");
      expect(await reader.deliveries.list(wanted.id, undefined, all)).toEqual([]);
      await change(
        async (tx) => await tx.events.append([world.event(), world.event({ type: "task.created" })]),
      );
      const [audit] = await reader.events.audit({ type: "task.updated" }, all);
      expect(await take()).toMatchObject([
        { webhookId: wanted.id, type: "task.updated", data: { id: audit?.id } },
      ]);
    });

    test("do not fail when a webhook that wants them is deleted meanwhile", async () => {
      const webhook = await addWebhook();
      const [gone, commit] = [createGate(), createGate()];
      const deleting = change(async (tx) => {
        await tx.webhooks.delete(webhook.id, 1);
        gone.open();
        await commit.opened;
      });
      await gone.opened;
      const appending = change(async (tx) => await tx.events.append([world.event()]));
      expect(await isWaiting(appending)).toBe(true);
      commit.open();
      await Promise.all([deleting, appending]);
      expect(await reader.events.audit({ type: "task.updated" }, all)).toHaveLength(1);
      expect(await take()).toEqual([]);
    });
  });

  describe("the queue", () => {
    test("gives each delivery to one of many that ask at once", async () => {
      const webhook = await addWebhook();
      await addDeliveries(webhook, 40);
      const taken = await Promise.all(range(8).map(async () => await take({ limit: 5 })));
      const ids = taken.flat().map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const rest = await take();
      expect(new Set([...ids, ...rest.map(({ id }) => id)]).size).toBe(40);
      expect(await take()).toEqual([]);
    });

    test("gives of each webhook no more than its part, less what is under way, and one of a failing one", async () => {
      const [busy, failing, idle] = [await addWebhook(), await addWebhook(), await addWebhook()];
      for (const webhook of [busy, failing, idle]) await addDeliveries(webhook, 6);
      await reader.webhooks.failed(failing.id);
      const counts = async (claim: Parameters<typeof take>[0]) => {
        const taken = await take(claim);
        return [busy, failing, idle].map(({ id }) => taken.filter((one) => one.webhookId === id).length);
      };
      const underWay = [{ webhook: busy.id, count: 3 }];
      expect(await counts({ perWebhook: 4, underWay })).toEqual([1, 1, 4]);
      const full = [busy, failing].map(({ id }) => ({ webhook: id, count: 4 }));
      expect(await counts({ perWebhook: 4, underWay: full })).toEqual([0, 0, 2]);
      expect(await counts({ limit: 3 })).toEqual([3, 0, 0]);
      await reader.webhooks.succeeded(failing.id);
      expect(await counts({})).toEqual([2, 5, 0]);
    });

    test("takes what was due first, and nothing that is not due or whose webhook is disabled", async () => {
      const webhook = await addWebhook();
      const off = await addWebhook();
      await addDeliveries(off, 1);
      await reader.webhooks.disable(off.id, "requested");
      await addDeliveries(webhook, 3);
      const first = await take({ limit: 1 });
      const [second, third] = await take();
      if (second === undefined || third === undefined) throw new Error("there were three");
      await change(async (tx) => {
        await tx.deliveries.settle(failure(second, 3600));
        await tx.deliveries.settle(failure(third, 0));
        await tx.deliveries.release(first[0]?.id ?? "", first[0]?.fence ?? 0, 0);
      });
      const again = await take();
      expect(again.map(({ id, attempts }) => [id, attempts]).sort()).toEqual(
        [
          [third.id, 2],
          [first[0]?.id, 1],
        ].sort(),
      );
    });

    test("takes anew what nobody has settled when the lease is over, and then refuses the result of the first", async () => {
      const webhook = await addWebhook();
      await addDeliveries(webhook, 1);
      const [first] = await take({ leaseSeconds: 0 });
      const [second] = await take();
      if (first === undefined || second === undefined) throw new Error("it was there");
      expect([second.id, second.fence, second.attempts]).toEqual([first.id, first.fence + 1, 2]);
      const success = { ...failure(first, null), responseStatus: 200, error: null };
      expect(await change(async (tx) => await tx.deliveries.settle(success))).toBe(false);
      await change(async (tx) => await tx.deliveries.release(first.id, first.fence, 0));
      expect(await take()).toEqual([]);
      const settled = { ...success, fence: second.fence };
      expect(await change(async (tx) => await tx.deliveries.settle(settled))).toBe(true);
      expect(await change(async (tx) => await tx.deliveries.settle(settled))).toBe(false);
      expect(await reader.deliveries.find(first.id)).toMatchObject({
        state: "delivered",
        attempts: 2,
        responseStatus: 200,
        durationMs: 3,
        error: null,
        nextAttemptAt: null,
      });
    });

    test("what is given up while it is under way stays so when it fails, and not when it has arrived", async () => {
      const webhook = await addWebhook();
      await addDeliveries(webhook, 2);
      const [failed, arrived] = await take();
      if (failed === undefined || arrived === undefined) throw new Error("there were two");
      await change(async (tx) => {
        await tx.deliveries.giveUp(webhook.id, "gone");
        await tx.deliveries.settle(failure(failed, 5));
        await tx.deliveries.settle({ ...failure(arrived, null), error: null, responseStatus: 204 });
      });
      const states = (await reader.deliveries.list(webhook.id, undefined, all)).map(({ id, state }) => [
        id,
        state,
      ]);
      expect(Object.fromEntries(states)).toEqual({ [failed.id]: "dead", [arrived.id]: "delivered" });
    });
  });

  test("the log is listed newest first, by pages and states; what arrived is deleted after its time, and no more", async () => {
    const webhook = await addWebhook();
    await addDeliveries(webhook, 5);
    const taken = await take();
    await change(async (tx) => {
      const [a, b, c] = taken;
      if (a === undefined || b === undefined || c === undefined) throw new Error("there were five");
      await tx.deliveries.settle({ ...failure(a, null), error: null });
      await tx.deliveries.settle(failure(b, null));
      await tx.deliveries.settle(failure(c, 60));
    });
    const list = await reader.deliveries.list(webhook.id, undefined, all);
    expect(list.map(({ id }) => id)).toEqual(
      list
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
    const after = [list[1]?.id ?? ""];
    const next = await reader.deliveries.list(webhook.id, undefined, { limit: 2, after });
    expect(next.map(({ id }) => id)).toEqual(list.slice(2, 5).map(({ id }) => id));
    const states = async () =>
      (await reader.deliveries.list(webhook.id, undefined, all)).map(({ state }) => state).sort();
    expect(await states()).toEqual(["dead", "delivered", "pending", "pending", "pending"]);
    expect(await reader.deliveries.list(webhook.id, "dead", all)).toMatchObject([
      { state: "dead", error: "no" },
    ]);
    expect(await storage.upkeep.deleteDeliveries(1)).toBe(0);
    expect(await storage.upkeep.deleteDeliveries(0)).toBeGreaterThan(0);
    expect(await states()).toEqual(["dead", "pending", "pending", "pending"]);
    expect(await change(async (tx) => await tx.deliveries.replayDead(webhook.id))).toBe(1);
    expect(await states()).toEqual(["pending", "pending", "pending", "pending"]);
  });

  test("the queue has what enabled webhooks are still to get, and how late the first of it is", async () => {
    const empty = { pending: 0, oldestSeconds: 0, overdueSeconds: 0 };
    const before = await storage.upkeep.measureDeliveries();
    const webhook = await addWebhook();
    await addDeliveries(webhook, 3);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const queue = await storage.upkeep.measureDeliveries();
    expect(queue.pending - before.pending).toBe(3);
    expect(queue.oldestSeconds).toBeGreaterThanOrEqual(0.04);
    expect(queue.overdueSeconds).toBeGreaterThanOrEqual(0.04);
    await take();
    // Under way is not late, and not sent either.
    expect(await storage.upkeep.measureDeliveries()).toMatchObject({
      pending: before.pending + 3,
      overdueSeconds: 0,
    });
    for (const { id } of await reader.webhooks.list(all)) await reader.webhooks.disable(id, "gone");
    expect((await storage.upkeep.measureDeliveries()).pending).toBe(before.pending);
    if (before.pending === 0) expect(await storage.upkeep.measureDeliveries()).toEqual(empty);
  });

  test("a rotation keeps the secret before beside the new one, and a claim tells of both until it expires", async () => {
    const webhook = await addWebhook({ secret: "first" });
    await addDeliveries(webhook, 2);
    expect(await reader.webhooks.rotate(webhook.id, "second", 24)).toMatchObject({ version: 2 });
    expect((await take({ limit: 1 }))[0]?.secrets).toEqual(["second", "first"]);
    await reader.webhooks.rotate(webhook.id, "third", 0);
    expect((await take())[0]?.secrets).toEqual(["third"]);
  });

  test("go with their project; and a failing one says for how long", async () => {
    const webhook = await addWebhook({ projectId: world.projectId });
    await addDeliveries(webhook, 1);
    expect(await reader.webhooks.failed(webhook.id)).toBeLessThan(0.1);
    expect(await reader.webhooks.disable(webhook.id, "failing")).toBe(true);
    expect(await reader.webhooks.disable(webhook.id, "gone")).toBe(false);
    expect(await reader.webhooks.find(webhook.id)).toMatchObject({
      disabledReason: "failing",
      project: "DEMO",
    });
    expect(await reader.webhooks.update(webhook.id, { disabled: false }, 1)).toBeUndefined();
    expect(await reader.webhooks.update(webhook.id, { disabled: false }, 2)).toMatchObject({
      disabled: false,
    });
    expect(await reader.projects.delete(world.projectId, 1)).toBe(true);
    expect(await reader.webhooks.count()).toBe(0);
    expect(await reader.webhooks.failed(webhook.id)).toBeUndefined();
  });

  test("no organization sees or touches another's, through any method", async () => {
    const webhook = await addWebhook();
    const [delivery] = await addDeliveries(webhook, 1);
    const id = delivery?.id ?? "";
    const stranger = await createWorld(storage);
    await storage.transaction(stranger.organizationId, async (tx) => {
      const result = { ...failure({ id, fence: 0 }, null), error: null };
      expect([
        await tx.webhooks.list(all),
        await tx.webhooks.find(webhook.id),
        await tx.webhooks.count(),
        await tx.webhooks.update(webhook.id, { url: "x" }, 1),
        await tx.webhooks.delete(webhook.id, 1),
        await tx.webhooks.rotate(webhook.id, "x", 1),
        await tx.webhooks.failed(webhook.id),
        await tx.webhooks.disable(webhook.id, "gone"),
        await tx.deliveries.list(webhook.id, undefined, all),
        await tx.deliveries.find(id),
        await tx.deliveries.replay(id),
        await tx.deliveries.replayDead(webhook.id),
        await tx.deliveries.settle(result),
      ]).toEqual([
        [],
        undefined,
        0,
        undefined,
        false,
        undefined,
        undefined,
        false,
        [],
        undefined,
        undefined,
        0,
        false,
      ]);
      await tx.webhooks.succeeded(webhook.id);
      await tx.deliveries.giveUp(webhook.id, "x");
      await tx.deliveries.release(id, 0, 0);
      await tx.events.append([stranger.event()]);
    });
    const theirs = storage.reader(stranger.organizationId);
    const input = { id: newId(), webhookId: webhook.id, type: "x", data: {} };
    await expect(theirs.deliveries.insert(input)).rejects.toMatchObject({ code: "not_found" });
    const values = {
      id: newId(),
      projectId: world.projectId,
      url: "x",
      description: "",
      events: [],
      secret: "x",
    };
    await expect(theirs.webhooks.insert(values)).rejects.toMatchObject({ code: "not_found" });
    expect(await reader.deliveries.list(webhook.id, undefined, all)).toEqual([delivery]);
    expect(await reader.webhooks.list(all)).toEqual([webhook]);
  });
}

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Context } from "../../../src/core/context.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";

let test: TestCore;
let first: Context;
let second: Context;
let key = "";
let round = 0;
beforeAll(async () => {
  test = await openTestCore();
  first = await test.addAgent("first");
  second = await test.addAgent("second");
});
afterAll(() => test.close());
beforeEach(async () => {
  round += 1;
  key = `C${round}`;
  await test.core.projects.create(test.owner, { key, name: key });
});

const add = (title: string, more = {}) =>
  test.core.tasks.create(test.owner, key, "master", { title, ...more });
const get = (localId: string) => test.core.tasks.get(test.owner, `${key}:master:${localId}`);

/** Claims for a second, and waits until that is over by the database's clock. */
async function claimAndLetExpire(ctx: Context) {
  const claim = await test.core.claims.claimNext(ctx, key, "master", { ttlSeconds: 1 });
  if (claim === null) throw new Error("nothing was ready");
  await sleep(1100);
  return claim;
}

describe("a claim", () => {
  it("marks the task as worked on, shows its holder, and is over when it is completed", async () => {
    await add("Work");
    const claim = await test.core.claims.claimNext(first, key, "master", {});
    expect(claim).toMatchObject({ localId: "1", fence: 1, previousStatus: "pending", outcome: null });
    expect(await get("1")).toMatchObject({
      status: "in-progress",
      claim: { fence: 1, holder: { name: "first" } },
    });
    const done = await test.core.claims.complete(first, claim?.id ?? "", {
      fence: 1,
      note: "It is on the shelf.",
    });
    expect(done).toMatchObject({ outcome: "completed" });
    expect(await get("1")).toMatchObject({ status: "done", claim: null });
    const { items } = await test.core.attempts.list(test.owner, `${key}:master:1`, {});
    expect(items).toMatchObject([{ number: 1, outcome: "completed", note: "It is on the shelf." }]);
  });

  it("gives the task back with a note when it fails, and the next holder finds the note", async () => {
    await add("Work");
    const claim = await test.core.claims.claimNext(first, key, "master", {});
    await test.core.claims.fail(first, claim?.id ?? "", { fence: 1, note: "The oven is cold." });
    expect(await get("1")).toMatchObject({ status: "pending", claim: null });
    const again = await test.core.claims.claimNext(second, key, "master", {});
    expect(again).toMatchObject({ localId: "1", fence: 2 });
    const { items } = await test.core.attempts.list(second, again?.task ?? "", {});
    expect(items).toMatchObject([
      { outcome: "failed", note: "The oven is cold.", holder: { name: "first" } },
    ]);
  });

  it("keeps a status that its holder chose when it is released", async () => {
    await add("Work");
    const claim = await test.core.claims.claimNext(first, key, "master", {});
    const task = await get("1");
    await test.core.tasks.update(first, task.id, { status: "review" }, { version: task.version, fence: 1 });
    await test.core.claims.release(first, claim?.id ?? "", { fence: 1 });
    expect((await get("1")).status).toBe("review");
  });

  it("expires by itself: the task is free again at once, and the server puts it back", async () => {
    await add("Work");
    const old = await claimAndLetExpire(first);
    // Before any upkeep ran: the claim no longer counts.
    expect((await get("1")).claim).toBeNull();
    const fresh = await test.core.claims.claimNext(second, key, "master", {});
    expect(fresh).toMatchObject({ localId: "1", fence: 2, previousStatus: "pending" });
    await expect(test.core.claims.heartbeat(first, old.id, { fence: 1 })).rejects.toMatchObject({
      code: "claim_ended",
    });
    await expect(test.core.claims.complete(first, old.id, { fence: 1 })).rejects.toMatchObject({
      code: "claim_ended",
    });
    expect((await get("1")).status).toBe("in-progress");
  });

  it("is swept when nobody asks for the task: status back, attempt and event written, once", async () => {
    await add("Work");
    await claimAndLetExpire(first);
    const counts = await Promise.all([
      test.core.claims.expire(),
      test.core.claims.expire(),
      test.core.claims.expire(),
    ]);
    expect(counts.reduce((sum, count) => sum + count)).toBe(1);
    expect(await get("1")).toMatchObject({ status: "pending", claim: null });
    const { items } = await test.core.attempts.list(test.owner, `${key}:master:1`, {});
    expect(items).toMatchObject([{ outcome: "expired", holder: { name: "first" } }]);
    const events = await test.core.events.list(test.owner, key, { limit: 200 });
    expect(events.items.filter((event) => event.type === "claim.expired")).toMatchObject([
      { actor: { kind: "system" } },
    ]);
  });

  it("lives on by heartbeats", async () => {
    await add("Work");
    const claim = await test.core.claims.claimNext(first, key, "master", { ttlSeconds: 2 });
    await sleep(1200);
    await test.core.claims.heartbeat(first, claim?.id ?? "", { fence: 1 });
    await sleep(1200);
    expect(await test.core.claims.expire()).toBe(0);
    expect((await get("1")).claim).not.toBeNull();
  });

  it("refuses a write under a stale fence, and a status change without one", async () => {
    const task = await add("Work");
    await claimAndLetExpire(first);
    await test.core.claims.claimNext(second, key, "master", {});
    const { version } = await get("1");
    const write = (ctx: Context, fence?: number) =>
      test.core.tasks.update(
        ctx,
        task.id,
        { status: "done" },
        { version, ...(fence === undefined ? {} : { fence }) },
      );
    await expect(write(first, 1)).rejects.toMatchObject({ code: "stale_fence" });
    await expect(write(first, 2)).rejects.toMatchObject({ code: "stale_fence" });
    await expect(write(first)).rejects.toMatchObject({ code: "claimed" });
    await expect(write(test.owner)).rejects.toMatchObject({ code: "claimed" });
    await expect(write(second, 1)).rejects.toMatchObject({ code: "stale_fence" });
    // Words are everybody's.
    const described = await test.core.tasks.update(
      test.owner,
      task.id,
      { details: "Mind the step." },
      { version },
    );
    await test.core.tasks.update(
      second,
      task.id,
      { status: "done" },
      { version: described.version, fence: 2 },
    );
    expect((await get("1")).status).toBe("done");
  });

  it("guards deletion and moves as well", async () => {
    const task = await add("Work");
    await add("Beside it");
    await test.core.claims.claimNext(first, key, "master", {});
    const { version } = await get("1");
    await expect(test.core.tasks.delete(test.owner, task.id, { version })).rejects.toMatchObject({
      code: "claimed",
    });
    const move = test.core.tasks.move(test.owner, task.id, { after: "2" }, { version });
    await expect(move).rejects.toMatchObject({ code: "claimed" });
    const tag = await test.core.tags.get(test.owner, key, "master");
    await expect(test.core.tags.delete(test.owner, key, "master", tag.version)).rejects.toMatchObject({
      code: "claimed",
    });
  });

  it("on a task covers its subtasks, and on a subtask keeps its task from others", async () => {
    const parent = await add("Whole");
    const part = await test.core.tasks.createSubtask(test.owner, parent.id, { title: "Part" });
    const whole = await test.core.claims.claim(first, parent.id, {});
    await expect(test.core.claims.claim(second, part.id, {})).rejects.toMatchObject({ code: "claimed" });
    expect(await test.core.claims.claimNext(second, key, "master", {})).toBeNull();
    expect(await test.core.claims.claimNext(first, key, "master", {})).toMatchObject({ localId: "1.1" });
    await test.core.claims.release(first, whole.id, { fence: whole.fence });
    await expect(test.core.claims.claim(second, parent.id, {})).rejects.toMatchObject({ code: "claimed" });
  });

  it("is only for what is ready and open", async () => {
    const one = await add("One");
    const two = await add("Two", { dependencies: ["1"] });
    await expect(test.core.claims.claim(first, two.id, {})).rejects.toMatchObject({ code: "conflict" });
    await test.core.tasks.update(test.owner, one.id, { status: "done" }, { version: 1 });
    await expect(test.core.claims.claim(first, one.id, {})).rejects.toMatchObject({ code: "conflict" });
    expect(await test.core.claims.claim(first, two.id, {})).toMatchObject({ localId: "2" });
    expect(await test.core.claims.claimNext(second, key, "master", {})).toBeNull();
  });

  it("can be released by an admin, and by nobody else", async () => {
    await add("Work");
    const claim = await test.core.claims.claimNext(first, key, "master", {});
    const end = { fence: 1 };
    await expect(test.core.claims.release(second, claim?.id ?? "", end)).rejects.toMatchObject({
      code: "claimed",
    });
    await expect(test.core.claims.complete(test.owner, claim?.id ?? "", end)).rejects.toMatchObject({
      code: "claimed",
    });
    expect(await test.core.claims.release(test.owner, claim?.id ?? "", end)).toMatchObject({
      outcome: "released",
    });
  });

  it.each(["compat", "smart"] as const)(
    "of one holder are as many as there is work, in %s mode",
    async (mode) => {
      const operations = Array.from({ length: 70 }, () => ({
        op: "create" as const,
        task: { title: "Work" },
      }));
      await test.core.tasks.batch(test.owner, key, "master", { operations });
      const claimed = new Set<string>();
      for (let i = 0; i < 70; i += 1) {
        claimed.add((await test.core.claims.claimNext(first, key, "master", { mode }))?.localId ?? "none");
      }
      expect(claimed.size).toBe(70);
      expect(claimed).not.toContain("none");
      expect(await test.core.claims.claimNext(first, key, "master", { mode })).toBeNull();
      // What is next is still shown to whoever works on it.
      expect((await test.core.graphs.next(first, key, "master", mode)).task?.claim?.holder.name).toBe(
        "first",
      );
    },
  );

  it("of a subtask does not keep its holder from other work", async () => {
    const parent = await add("Whole");
    await test.core.tasks.createSubtask(test.owner, parent.id, { title: "Part" });
    await add("Other");
    await test.core.claims.claim(first, `${key}:master:1.1`, {});
    expect(await test.core.claims.claimNext(first, key, "master", {})).toMatchObject({ localId: "2" });
    expect(await test.core.claims.claimNext(first, key, "master", {})).toBeNull();
  });

  it("in smart mode takes what the longest chain hangs on", async () => {
    await add("Urgent", { priority: "critical" });
    await add("Foundation", { priority: "low" });
    await add("House", { dependencies: ["2"], effort: 40 });
    expect(await test.core.claims.claimNext(first, key, "master", { mode: "smart" })).toMatchObject({
      localId: "2",
    });
  });

  it("keeps nothing under an Idempotency-Key while nothing is ready", async () => {
    const ctx = { ...first, idempotencyKey: `empty ${key}` };
    expect(await test.core.claims.claimNext(ctx, key, "master", {})).toBeNull();
    await add("Work");
    const claim = await test.core.claims.claimNext(ctx, key, "master", {});
    expect(claim).toMatchObject({ localId: "1" });
    expect(await test.core.claims.claimNext(ctx, key, "master", {})).toEqual(claim);
  });
});

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createRandom } from "../../../loadtest/statistics.ts";
import { AppError, type ErrorCode } from "../../src/core/errors.ts";
import { newId } from "../../src/core/ids.ts";
import { defaultStatuses } from "../../src/core/receivers/schema.ts";
import type { Status } from "../../src/core/schema.ts";
import type {
  CandidateQuery,
  EdgeRecord,
  Repositories,
  Storage,
  TaskRecord,
  Transaction,
} from "../../src/core/storage.ts";
import type { TestStorage } from "./storage.ts";
import { createGate, createWorld, isWaiting, newEvent, taskInsert, type World } from "./world.ts";

/** One of the values by chance. */
const picker =
  (random: () => number) =>
  <T>(values: readonly T[]): T =>
    values[Math.floor(random() * values.length)] as T;
const all = { limit: 200, after: undefined };
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | "resolved"> {
  return await promise.then(
    () => "resolved" as const,
    (error: unknown) => {
      if (error instanceof AppError) return error.code;
      throw error;
    },
  );
}

/** What every storage has to keep, whatever holds its rows; most of it under concurrency. */
export function storageContract(open: () => Promise<TestStorage>): void {
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
    world = await createWorld(storage);
    reader = storage.reader(world.organizationId);
  });

  const claim = async (task: TaskRecord, values: { holderId?: string; ttlSeconds?: number } = {}) =>
    await storage.transaction(world.organizationId, async (tx) => {
      await tx.claims.lockFamily(task.id, true);
      return await tx.claims.insert({
        id: newId(),
        task,
        holder: { kind: "agent", id: values.holderId ?? newId(), name: "Agent" },
        ttlSeconds: values.ttlSeconds ?? 60,
        previousStatus: task.status,
      });
    });

  describe("numbers", () => {
    test("a tag's numbers are given out once under concurrency", async () => {
      const counts = range(40).map((i) => (i % 3) + 1);
      const take = (count: number) =>
        storage.transaction(world.organizationId, async (tx) => {
          const first = await tx.tags.takeNumbers(world.tagId, count);
          // Holds the row, so that the others wait for it and must not go on from what they saw before.
          await sleep(2);
          return first;
        });
      const firsts = await Promise.all(counts.map(take));
      const taken = firsts.flatMap((first, i) => range(counts[i] ?? 0).map((j) => first + j));
      const sum = counts.reduce((a, b) => a + b, 0);
      expect(taken.sort((a, b) => a - b)).toEqual(range(sum).map((i) => i + 1));
    });

    test("a task's numbers are given out once, and taking one is no change of the task", async () => {
      const task = await world.addTask();
      const take = () =>
        storage.transaction(world.organizationId, async (tx) => {
          const number = await tx.tasks.takeSubtaskNumber(task.id);
          await sleep(2);
          return number;
        });
      const taken = await Promise.all(range(30).map(take));
      expect(taken.sort((a, b) => a - b)).toEqual(range(30).map((i) => i + 1));
      expect((await reader.tasks.find({ id: task.id }))?.version).toBe(1);
    });

    test("a local id is unique for a tag and a parent, at both levels", async () => {
      const task = await world.addTask({ segment: "7", number: 7 });
      expect(await codeOf(world.addTask({ segment: "7", number: 7 }))).toBe("already_exists");
      await world.addTask({ segment: "7", number: 7, parentId: task.id });
      expect(await codeOf(world.addTask({ segment: "7", number: 7, parentId: task.id }))).toBe(
        "already_exists",
      );
      await world.addTask({ segment: "7", number: 7, tagId: await world.addTag("other") });
    });
  });

  describe("graph locks", () => {
    test("hold up another change of structure, not readers, claims and changes of fields", async () => {
      const task = await world.addTask();
      const gate = createGate();
      const locked = createGate();
      const holder = storage.transaction(world.organizationId, async (tx) => {
        await tx.tags.lockGraphs([world.tagId]);
        locked.open();
        await gate.opened;
      });
      await locked.opened;
      const second = storage.transaction(world.organizationId, (tx) => tx.tags.lockGraphs([world.tagId]));
      expect(await isWaiting(second)).toBe(true);
      await reader.tasks.update(task.id, { title: "changed" }, 1);
      await claim(task);
      expect((await reader.tasks.list(world, {}, all)).map(({ title }) => title)).toEqual(["changed"]);
      gate.open();
      await holder;
      expect((await second).map(({ id }) => id)).toEqual([world.tagId]);
    });

    test("whoever waited for one sees what its last holder did", async () => {
      const [a, b] = [await world.addTask(), await world.addTask()];
      // Each checks for a path back before it adds its edge: together they must not make a cycle.
      const connect = (from: TaskRecord, to: TaskRecord) =>
        storage.transaction(world.organizationId, async (tx) => {
          await tx.tags.lockGraphs([world.tagId]);
          if ((await tx.dependencies.path(world.tagId, to.id, from.id)) !== undefined) return "refused";
          await sleep(50);
          const edge = { id: newId(), tagId: world.tagId, taskId: from.id, dependsOnId: to.id };
          await tx.dependencies.insert([{ ...edge, position: 0, raw: null, problem: null }]);
          return "added";
        });
      const outcomes = await Promise.all([connect(a, b), connect(b, a)]);
      expect(outcomes.sort()).toEqual(["added", "refused"]);
    });

    test("are taken in one order, whatever order they are asked for in", async () => {
      const other = await world.addTag("other");
      const lock = (ids: string[]) =>
        storage.transaction(world.organizationId, async (tx) => {
          const tags = await tx.tags.lockGraphs(ids);
          await sleep(5);
          return tags.length;
        });
      const both = range(10).map((i) => lock(i % 2 === 0 ? [world.tagId, other] : [other, world.tagId]));
      expect(await Promise.all(both)).toEqual(range(10).map(() => 2));
    });
  });

  describe("depth", () => {
    test("a subtask has no subtasks, and a task with subtasks becomes none", async () => {
      const task = await world.addTask();
      const subtask = await world.addTask({ parentId: task.id });
      const other = await world.addTask();
      expect(await codeOf(world.addTask({ parentId: subtask.id }))).toBe("conflict");
      expect(await codeOf(reader.tasks.update(task.id, { parentId: other.id }, null))).toBe("conflict");
      expect(await codeOf(reader.tasks.update(other.id, { parentId: other.id }, null))).toBe("conflict");
      expect((await reader.tasks.update(other.id, { parentId: task.id }, 1))?.localId).toBe("1.2");
    });

    test("holds when one gives a task a subtask while another makes it one", async () => {
      for (const subtaskFirst of [true, false, true, false]) {
        const [task, other] = [await world.addTask(), await world.addTask()];
        const gate = createGate();
        const started = createGate();
        const insert = async () =>
          await storage.transaction(world.organizationId, async (tx) => {
            const subtask = {
              id: newId(),
              projectId: world.projectId,
              tagId: world.tagId,
              parentId: task.id,
            };
            await tx.tasks.insert([taskInsert({ ...subtask, segment: "1", number: 1 })]);
            started.open();
            await gate.opened;
          });
        const become = async () =>
          await storage.transaction(world.organizationId, async (tx) => {
            await tx.tasks.update(task.id, { parentId: other.id }, null);
            started.open();
            await gate.opened;
          });
        const first = codeOf(subtaskFirst ? insert() : become());
        await started.opened;
        const second = codeOf(subtaskFirst ? become() : insert());
        expect(await isWaiting(second, 100)).toBe(true);
        gate.open();
        expect([await first, await second]).toEqual(["resolved", "conflict"]);
      }
    });

    test("a subtask stays in its task's tag, and follows it to another with the edges among them", async () => {
      const task = await world.addTask();
      const [first, second] = [
        await world.addTask({ parentId: task.id }),
        await world.addTask({ parentId: task.id }),
      ];
      await world.addDependency(second.id, first.id);
      await world.addDependency(task.id, second.id);
      const other = await world.addTag("other");
      const alone = storage.transaction(world.organizationId, (tx) =>
        tx.tasks.update(first.id, { tagId: other }, null),
      );
      expect(await codeOf(alone)).toBe("conflict");

      await storage.transaction(world.organizationId, (tx) =>
        tx.tasks.update(task.id, { tagId: other, segment: "9", number: 9 }, null),
      );
      const moved = await reader.tasks.listAll(other);
      expect(moved.map(({ localId, dependencies }) => [localId, dependencies])).toEqual([
        ["9", ["9.2"]],
        ["9.1", []],
        ["9.2", ["9.1"]],
      ]);
      expect((await reader.dependencies.listAll(other)).length).toBe(2);
    });

    test("an edge to a task of another tag is refused, also by a move", async () => {
      const [from, to] = [await world.addTask(), await world.addTask()];
      await world.addDependency(from.id, to.id);
      const other = await world.addTag("other");
      expect(await codeOf(reader.tasks.update(to.id, { tagId: other }, null))).toBe("conflict");
      expect(await codeOf(reader.tasks.update(from.id, { tagId: other }, null))).toBe("conflict");
      const elsewhere = await world.addTask({ tagId: other });
      expect(await codeOf(world.addDependency(from.id, elsewhere.id))).toBe("conflict");
      expect(await codeOf(world.addDependency(from.id, from.id))).toBe("conflict");
      expect(await codeOf(world.addDependency(from.id, to.id))).toBe("already_exists");
    });
  });

  describe("claims", () => {
    test("of many that claim one task at once, one wins", async () => {
      const task = await world.addTask();
      const outcomes = await Promise.all(
        range(20).map(() =>
          codeOf(
            storage.transaction(world.organizationId, (tx) =>
              tx.claims.insert({
                id: newId(),
                task,
                holder: { kind: "agent", id: newId(), name: "Agent" },
                ttlSeconds: 60,
                previousStatus: "pending",
              }),
            ),
          ),
        ),
      );
      expect(outcomes.filter((outcome) => outcome === "resolved").length).toBe(1);
      expect(new Set(outcomes)).toEqual(new Set(["resolved", "already_exists"]));
    });

    test("the fence strictly increases, and a claim is no change of the task", async () => {
      const task = await world.addTask();
      const fences: number[] = [];
      await Promise.all(
        range(12).map(() =>
          storage.transaction(world.organizationId, async (tx) => {
            await tx.claims.lockFamily(task.id, true);
            const holder = { kind: "agent" as const, id: newId(), name: "Agent" };
            const made = await tx.claims.insert({
              id: newId(),
              task,
              holder,
              ttlSeconds: 60,
              previousStatus: "pending",
            });
            fences.push(made.fence);
            await tx.claims.end(made.id, "released");
          }),
        ),
      );
      expect(fences).toEqual(range(12).map((i) => i + 1));
      const now = await reader.tasks.find({ id: task.id });
      expect([now?.fence, now?.version, now?.claim]).toEqual([12, 1, null]);
    });

    test("a family's lock is the parent's, is not waited for unless asked, and frees with the transaction", async () => {
      const task = await world.addTask();
      const subtask = await world.addTask({ parentId: task.id });
      const gate = createGate();
      const locked = createGate();
      const holder = storage.transaction(world.organizationId, async (tx) => {
        expect(await tx.claims.lockFamily(subtask.id, false)).toBe(true);
        locked.open();
        await gate.opened;
      });
      await locked.opened;
      const attempt = (id: string, wait: boolean) =>
        storage.transaction(world.organizationId, (tx) => tx.claims.lockFamily(id, wait));
      expect(await attempt(task.id, false)).toBe(false);
      expect(await attempt(subtask.id, false)).toBe(false);
      const patient = attempt(task.id, true);
      expect(await isWaiting(patient)).toBe(true);
      gate.open();
      await holder;
      expect(await patient).toBe(true);
      expect(await attempt(newId(), true)).toBe(false);
    });

    test("a claim is shown while it lives and has not expired, by the database's clock", async () => {
      const task = await world.addTask();
      const subtask = await world.addTask({ parentId: task.id });
      const made = await claim(subtask, { ttlSeconds: 1 });
      expect(made).toMatchObject({
        localId: "1.1",
        tag: "master",
        project: "DEMO",
        expired: false,
        outcome: null,
      });
      const shown = (await reader.tasks.find({ id: subtask.id }))?.claim;
      expect(shown).toEqual({ id: made.id, holder: made.holder, fence: 1, expiresAt: made.expiresAt });
      expect((await reader.claims.findForeign(world.tagId, newId()))?.id).toBe(made.id);
      expect(await reader.claims.findForeign(world.tagId, made.holder.id)).toBeUndefined();
      expect((await reader.claims.list(world.tagId, all)).length).toBe(1);
      await sleep(1_050);
      expect((await reader.tasks.find({ id: subtask.id }))?.claim).toBeNull();
      expect(await reader.claims.list(world.tagId, all)).toEqual([]);
      expect((await reader.claims.liveAround(task.id)).map(({ id, expired }) => [id, expired])).toEqual([
        [made.id, true],
      ]);
      expect(await storage.upkeep.listExpiredClaims(100)).toContainEqual({
        organizationId: world.organizationId,
        claimId: made.id,
      });

      const renewed = await reader.claims.renew(made.id, 60);
      expect([renewed.expired, renewed.ttlSeconds]).toEqual([false, 60]);
      expect((await reader.claims.end(made.id, "completed")).outcome).toBe("completed");
      expect(await codeOf(reader.claims.end(made.id, "completed"))).toBe("claim_ended");
      expect(await codeOf(reader.claims.renew(made.id, 60))).toBe("claim_ended");
      expect(await reader.claims.liveAround(task.id)).toEqual([]);
    });

    test("attempts are numbered, oldest first", async () => {
      const task = await world.addTask();
      for (const outcome of ["failed", "completed"] as const) {
        const made = await claim(task);
        await storage.transaction(world.organizationId, async (tx) => {
          const locked = await tx.claims.findLocked(made.id);
          expect(locked?.id).toBe(made.id);
          const ended = await tx.claims.end(made.id, outcome);
          await tx.attempts.insert({ id: newId(), claim: ended, outcome, note: `it ${outcome}` });
        });
      }
      const attempts = await reader.attempts.list(task.id, all);
      expect(attempts.map(({ number, outcome, note }) => [number, outcome, note])).toEqual([
        [1, "failed", "it failed"],
        [2, "completed", "it completed"],
      ]);
      expect(
        (await reader.attempts.list(task.id, { limit: 5, after: [1] })).map(({ number }) => number),
      ).toEqual([2]);
    });
  });

  describe("events", () => {
    test("a reader who polls never meets a gap or a number that comes late", async () => {
      let writing = true;
      const seen: number[] = [];
      const poll = async () => {
        for (let again = true; again; ) {
          again = writing;
          await storage.transaction(world.organizationId, (tx) => tx.events.sequence(world.projectId));
          const events = await reader.events.list(world.projectId, seen.at(-1) ?? 0, 50);
          seen.push(...events.map(({ sequence }) => sequence));
          if (events.length === 50) again = true;
        }
      };
      const write = async (writer: number) => {
        for (const i of range(15)) {
          await storage.transaction(world.organizationId, async (tx) => {
            await tx.events.append([world.event({ data: { writer, i, part: 1 } })]);
            // Commits come in another order than the events' ids.
            await sleep(Math.random() * 8);
            await tx.events.append([world.event({ data: { writer, i, part: 2 } })]);
          });
        }
      };
      const others = [poll(), sequenceAlways()];
      async function sequenceAlways() {
        while (writing) {
          await storage.transaction(world.organizationId, (tx) => tx.events.sequence(world.projectId));
        }
      }
      await Promise.all(range(8).map(write));
      writing = false;
      await Promise.all(others);
      expect(seen).toEqual(range(8 * 15 * 2).map((i) => i + 1));

      const stored = await reader.events.list(world.projectId, 0, 1_000);
      for (const writer of range(8)) {
        const order = stored
          .filter(({ data }) => data.writer === writer)
          .map(({ data }) => [data.i, data.part]);
        expect(order).toEqual(
          range(15).flatMap((i) => [
            [i, 1],
            [i, 2],
          ]),
        );
      }
    });

    test("keep the order they were given in, and are undone with their transaction", async () => {
      await reader.events.append(range(20).map((i) => world.event({ data: { i } })));
      await expect(
        storage.transaction(world.organizationId, async (tx) => {
          await tx.events.append([world.event({ data: { lost: true } })]);
          throw new Error("undone");
        }),
      ).rejects.toThrow("undone");
      await storage.transaction(world.organizationId, (tx) => tx.events.sequence(world.projectId));
      const events = await reader.events.list(world.projectId, 5, 3);
      expect(events.map(({ sequence, data }) => [sequence, data.i])).toEqual([
        [6, 5],
        [7, 6],
        [8, 7],
      ]);
      expect((await reader.events.list(world.projectId, 0, 100)).length).toBe(20);
    });

    test("a page is bounded by its size as well, but has one event at least", async () => {
      const text = (length: number) => world.event({ data: { text: "x".repeat(length) } });
      await reader.events.append([text(9_000), ...range(5).map(() => text(1_000)), text(9_000)]);
      await storage.transaction(world.organizationId, (tx) => tx.events.sequence(world.projectId));
      const lengths = async (after: number, limit: number, size?: number) =>
        (await reader.events.list(world.projectId, after, limit, size)).length;
      expect(await lengths(0, 10)).toBe(7);
      expect(await lengths(0, 10, 3_500)).toBe(1);
      expect(await lengths(1, 10, 3_500)).toBe(3);
      expect(await lengths(1, 2, 3_500)).toBe(2);
      expect(await lengths(4, 10, 3_500)).toBe(2);
      expect(await lengths(6, 10, 3_500)).toBe(1);
      expect(await lengths(7, 10, 3_500)).toBe(0);
    });

    test("the audit goes back in time by pages and filters, and `since` gives what came after an instant", async () => {
      const task = await world.addTask();
      await reader.events.append([world.event({ taskId: task.id, type: "task.created" })]);
      const instant = await storage.transaction(world.organizationId, (tx) => tx.now());
      await sleep(5);
      await reader.events.append(range(2).map((i) => world.event({ taskId: task.id, data: { i } })));
      expect((await reader.events.since(task.id, instant)).map(({ data }) => data.i)).toEqual([1, 0]);

      const page = await reader.events.audit({ taskId: task.id }, { limit: 1, after: undefined });
      expect(page.map(({ data }) => data.i)).toEqual([1, 0]);
      const rest = await reader.events.audit({ taskId: task.id }, { limit: 5, after: [page[0]?.id ?? ""] });
      expect(rest.map(({ type }) => type)).toEqual(["task.updated", "task.created"]);
      expect((await reader.events.audit({ type: "task.created" }, all)).length).toBe(1);
      expect((await reader.events.audit({ actorId: newId() }, all)).length).toBe(0);
      expect((await reader.events.audit({ actorId: world.owner.id }, all)).length).toBe(3);
    });
  });

  test("a transaction's clock is never behind what was stored before it was asked", async () => {
    for (let i = 0; i < 200; i += 1) {
      const task = await world.addTask();
      const now = await storage.transaction(world.organizationId, async (tx) => {
        const asked = [tx.events.append([world.event({ taskId: task.id })]), tx.now()] as const;
        return (await Promise.all(asked))[1];
      });
      const [event] = await reader.events.audit({ taskId: task.id }, { limit: 1, after: undefined });
      expect(new Date(event?.createdAt ?? Number.NaN).getTime()).toBeLessThanOrEqual(now.getTime());
    }
  });

  describe("watching a log", () => {
    /** How often it was woken. */
    const watch = (projectId: string) => {
      const seen = { count: 0, end: () => {} };
      seen.end = storage.watch(projectId, () => {
        seen.count += 1;
      });
      return seen;
    };
    const until = async (met: () => boolean) => {
      for (let i = 0; i < 1_200 && !met(); i += 1) await sleep(10);
      return met();
    };

    test("wakes for committed events, by themselves or in a transaction, and when the project goes", async () => {
      const seen = watch(world.projectId);
      // What a storage says at the beginning may be for nothing.
      await sleep(300);
      let before = seen.count;
      await storage.transaction(world.organizationId, (tx) => tx.events.append([world.event()]));
      expect(await until(() => seen.count > before)).toBe(true);
      before = seen.count;
      await reader.events.append([world.event()]);
      expect(await until(() => seen.count > before)).toBe(true);
      before = seen.count;
      await storage.transaction(world.organizationId, async (tx) => {
        await tx.projects.delete(world.projectId, 1);
        await tx.events.append([world.event({ type: "project.deleted" })]);
      });
      expect(await until(() => seen.count > before)).toBe(true);
      seen.end();
    });

    test("wakes each who watches, and no more after its end", async () => {
      const [first, second] = [watch(world.projectId), watch(world.projectId)];
      await sleep(300);
      first.end();
      const before = [first.count, second.count];
      await reader.events.append([world.event()]);
      expect(await until(() => second.count > (before[1] ?? 0))).toBe(true);
      expect(first.count).toBe(before[0]);
      second.end();
    });

    test("the end of a log is the last sequence given, until the project is gone", async () => {
      expect(await reader.events.last(world.projectId)).toBe(0);
      await reader.events.append(range(3).map(() => world.event()));
      await storage.transaction(world.organizationId, (tx) => tx.events.sequence(world.projectId));
      expect(await reader.events.last(world.projectId)).toBe(3);
      const other = await createWorld(storage);
      expect(await storage.reader(other.organizationId).events.last(world.projectId)).toBeUndefined();
      await reader.projects.delete(world.projectId, 1);
      expect(await reader.events.last(world.projectId)).toBeUndefined();
    });
  });

  describe("idempotency", () => {
    test("of many under one key at once, one is the first and the others get its result", async () => {
      const actorId = newId();
      let firsts = 0;
      const answers = await Promise.all(
        range(50).map(() =>
          storage.transaction(world.organizationId, async (tx) => {
            const kept = await tx.idempotency.reserve(actorId, "hash", "fingerprint");
            if (kept !== undefined) return kept.result;
            firsts += 1;
            await sleep(20);
            await tx.idempotency.complete(actorId, "hash", "the answer");
            return "the answer";
          }),
        ),
      );
      expect(firsts).toBe(1);
      expect(new Set(answers)).toEqual(new Set(["the answer"]));
    });

    test("a key whose change failed is free again; old ones are deleted", async () => {
      const reserve = (actorId: string) =>
        storage.transaction(world.organizationId, (tx) =>
          tx.idempotency.reserve(actorId, "hash", "fingerprint"),
        );
      const actorId = newId();
      await expect(
        storage.transaction(world.organizationId, async (tx) => {
          await tx.idempotency.reserve(actorId, "hash", "fingerprint");
          throw new Error("failed");
        }),
      ).rejects.toThrow("failed");
      expect(await reserve(actorId)).toBeUndefined();
      expect(await reserve(actorId)).toEqual({ fingerprint: "fingerprint", result: "" });
      expect(await reserve(newId())).toBeUndefined();
      expect(await storage.upkeep.deleteIdempotencyRecords(1)).toBe(0);
      expect(await storage.upkeep.deleteIdempotencyRecords(0)).toBeGreaterThanOrEqual(2);
      expect(await reserve(actorId)).toBeUndefined();
    });
  });

  describe("what metrics tell of", () => {
    const count = async () => await storage.upkeep.countReadyTasks(["pending"], ["done"]);

    test("a task is ready that is pending, waits for nothing that is open, and whose family nobody holds", async () => {
      const before = await count();
      const task = await world.addTask();
      const subtask = await world.addTask({ parentId: task.id });
      const other = await world.addTask({ status: "in-progress" });
      const waiting = await world.addTask();
      await world.addDependency(waiting.id, other.id);
      expect((await count()) - before).toBe(2);
      await reader.tasks.update(other.id, { status: "done" }, null);
      expect((await count()) - before).toBe(3);

      for (const held of [task, subtask]) {
        const record = await reader.tasks.find({ id: held.id });
        if (record === undefined) throw new Error("it is there");
        const made = await storage.transaction(world.organizationId, (tx) =>
          tx.claims.insert({
            id: newId(),
            task: record,
            holder: world.owner,
            ttlSeconds: 60,
            previousStatus: "pending",
          }),
        );
        expect((await count()) - before).toBe(1);
        await reader.claims.end(made.id, "released");
        expect((await count()) - before).toBe(3);
      }
    });

    test("no connection waits while nobody works, and there are never more than the most", () => {
      const connections = storage.connections();
      if (connections === null) return;
      const { max, used, idle, waiting } = connections;
      expect([used, waiting]).toEqual([0, 0]);
      expect(idle).toBeLessThanOrEqual(max);
    });

    test("the newest migration has a name where there are migrations", async () => {
      const head = await storage.upkeep.findMigrationHead();
      expect(head === null || /^\d{14}_\w+$/.test(head)).toBe(true);
    });
  });

  describe("transactions", () => {
    test("a deadlock is run again until both are done", async () => {
      const [a, b] = [await world.addTask(), await world.addTask()];
      const met = [createGate(), createGate()];
      let runs = 0;
      const change = (first: TaskRecord, second: TaskRecord, side: 0 | 1) =>
        storage.transaction(world.organizationId, async (tx) => {
          runs += 1;
          const { title } = (await tx.tasks.lock([first.id]))[0] ?? first;
          met[side]?.open();
          await met[1 - side]?.opened;
          await tx.tasks.lock([second.id]);
          await tx.tasks.update(first.id, { title: `${title}+` }, null);
        });
      await Promise.all([change(a, b, 0), change(b, a, 1)]);
      expect(runs).toBe(3);
      expect((await reader.tasks.find({ id: a.id }))?.title).toBe("Task+");
      expect((await reader.tasks.find({ id: b.id }))?.title).toBe("Task+");
    });

    test("what is asked for at once runs in the order in which it is asked, also behind a lock", async () => {
      const task = await world.addTask();
      const [locked, asked] = [createGate(), createGate()];
      const holder = storage.transaction(world.organizationId, async (tx) => {
        await tx.tags.lockGraphs([world.tagId]);
        locked.open();
        await asked.opened;
        await tx.tasks.update(task.id, { rank: "z" }, null);
      });
      await locked.opened;
      const seen = await storage.transaction(world.organizationId, async (tx) => {
        const all = Promise.all([
          tx.tags.lockGraphs([world.tagId]),
          tx.tasks.neighbourRank(world.tagId, null, null, "before"),
          tx.tasks.update(task.id, { title: "One" }, null),
          tx.tasks.find({ id: task.id }),
          tx.tasks.update(task.id, { title: "Two" }, null),
          tx.tasks.find({ id: task.id }),
        ]);
        setTimeout(() => asked.open(), 50);
        const [, rank, , one, , two] = await all;
        return [rank, one?.title, two?.title];
      });
      await holder;
      expect(seen).toEqual(["z", "One", "Two"]);
    });

    test("of what is asked for at once the first refusal is told, and nothing of it stays", async () => {
      const task = await world.addTask();
      const work = storage.transaction(world.organizationId, async (tx) => {
        await Promise.all([
          tx.tasks.update(task.id, { title: "Lost" }, null),
          tx.tasks.update(task.id, { parentId: task.id }, null),
          tx.tasks.update(task.id, { title: "Lost, too" }, null),
        ]);
      });
      expect(await codeOf(work)).toBe("conflict");
      expect(await reader.tasks.find({ id: task.id })).toMatchObject({ title: "Task", version: 1 });
    });

    test("an error undoes all of it", async () => {
      const id = newId();
      await expect(
        storage.transaction(world.organizationId, async (tx) => {
          await tx.projects.insert({ id, key: "GONE", name: "Gone", description: "" });
          throw new AppError("forbidden", "no");
        }),
      ).rejects.toThrow("no");
      expect(await reader.projects.find("GONE")).toBeUndefined();
    });

    test("a snapshot sees one state, whatever is committed meanwhile", async () => {
      const task = await world.addTask();
      await storage.snapshot(world.organizationId, async (tx) => {
        const before = await tx.tasks.find({ id: task.id });
        await reader.tasks.update(task.id, { title: "meanwhile" }, 1);
        expect(await tx.tasks.find({ id: task.id })).toEqual(before);
      });
      expect((await reader.tasks.find({ id: task.id }))?.title).toBe("meanwhile");
    });

    test("now is this moment's, not the transaction's start", async () => {
      await storage.transaction(world.organizationId, async (tx) => {
        const start = await tx.now();
        await sleep(20);
        expect((await tx.now()).getTime()).toBeGreaterThan(start.getTime());
      });
    });

    test("the last owner stays when two owners leave at once", async () => {
      const second = await reader.memberships.insert({
        id: newId(),
        userId: newId(),
        email: `${newId()}@example.com`,
        name: "Second",
        role: "owner",
      });
      const leave = (id: string) =>
        storage.transaction(world.organizationId, async (tx) => {
          if ((await tx.memberships.countOwnersLocked()) < 2) return false;
          await sleep(30);
          return await tx.memberships.delete(id, 1);
        });
      const left = await Promise.all([leave(world.membershipId), leave(second.id)]);
      expect(left.sort()).toEqual([false, true]);
    });
  });

  describe("tasks", () => {
    test("come back as they went in, with times as ISO text and JSON as values", async () => {
      const id = newId();
      const values = {
        title: "작업 🚀",
        description: "d",
        details: "\ttext \u2028 'quoted' \"twice\" \\ {}",
        testStrategy: "t",
        status: "in-progress" as const,
        priority: "critical" as const,
        assignee: "ann",
        effort: 1.25,
        actualEffort: 0.1,
        labels: ["a,b", 'q"', "null", "{}", "\\"],
        complexity: { score: 7.5, reasoning: "r" },
        metadata: { nested: { list: [1, null, "x"] } },
        extra: { parentId: "undefined" },
        rank: "Zz",
        source: [
          ["id", null],
          ["extra", '"\\u0000 \\ud800"'],
        ] as [string, string | null][],
        nextLocalNumber: 4,
      };
      const task = await world.addTask({ id, ...values });
      const { labels, ...rest } = values;
      expect(task).toMatchObject({
        ...rest,
        id,
        labels,
        version: 1,
        fence: 0,
        dependencies: [],
        claim: null,
      });
      expect(task.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(task.updatedAt).toBe(task.createdAt);

      const cleared = await reader.tasks.update(
        id,
        {
          priority: null,
          assignee: null,
          effort: null,
          actualEffort: null,
          complexity: null,
          source: null,
          labels: [],
        },
        1,
      );
      expect(cleared).toMatchObject({
        priority: null,
        assignee: null,
        effort: null,
        complexity: null,
        source: null,
      });
      expect([cleared?.version, cleared?.labels]).toEqual([2, []]);
      expect((cleared?.updatedAt ?? "") >= task.updatedAt).toBe(true);
    });

    test("a stale version changes and deletes nothing", async () => {
      const task = await world.addTask();
      const outcomes = await Promise.all(
        range(10).map((i) => reader.tasks.update(task.id, { title: `t${i}` }, 1)),
      );
      expect(outcomes.filter((outcome) => outcome !== undefined).length).toBe(1);
      expect(await reader.tasks.delete(task.id, 1)).toBe(false);
      expect(await reader.tasks.delete(task.id, 2)).toBe(true);
      expect(await reader.tasks.update(task.id, { title: "x" }, null)).toBeUndefined();
      expect(await reader.tasks.delete(task.id, null)).toBe(false);
    });

    test("are found by local id, also where a segment holds dots", async () => {
      const task = await world.addTask({ segment: "a.b" });
      const subtask = await world.addTask({ segment: "c.d", parentId: task.id });
      const at = (localId: string) => reader.tasks.find({ project: "DEMO", tag: "master", localId });
      expect((await at("a.b"))?.id).toBe(task.id);
      expect((await at("a.b.c.d"))?.id).toBe(subtask.id);
      expect(await at("c.d")).toBeUndefined();
      expect((await world.addTask({ segment: "a.b.c.d" })).localId).toBe("a.b.c.d");
      expect((await at("a.b.c.d"))?.segment).toBe("a.b.c.d");
    });

    test("list by rank as bytes, page by page, with filters", async () => {
      const ranks = ["a1", "Zz", "a0V", "a0", "b"];
      for (const rank of ranks) await world.addTask({ rank, title: rank });
      const parent = await world.addTask({
        rank: "c",
        status: "done",
        priority: "low",
        assignee: "x",
        labels: ["l"],
      });
      await world.addTask({ rank: "a0", parentId: parent.id, title: "sub" });
      const titles = (tasks: Pick<TaskRecord, "title">[]) => tasks.map(({ title }) => title);

      const first = await reader.tasks.list(world, { level: "task" }, { limit: 2, after: undefined });
      expect(titles(first)).toEqual(["Zz", "a0", "a0V"]);
      const last = first[1];
      const rest = await reader.tasks.list(
        world,
        { level: "task" },
        { limit: 9, after: [last?.rank ?? "", last?.id ?? ""] },
      );
      expect(titles(rest)).toEqual(["a0V", "a1", "b", "Task"]);
      const matching = { statuses: ["done"], priorities: ["low"], assignee: "x", label: "l" } as const;
      const filter = { ...matching, statuses: [...matching.statuses], priorities: [...matching.priorities] };
      expect((await reader.tasks.list(world, filter, all)).map(({ id }) => id)).toEqual([parent.id]);
      expect(titles(await reader.tasks.list(world, { parentId: parent.id, level: "subtask" }, all))).toEqual([
        "sub",
      ]);
      expect(titles(await reader.tasks.subtasks(parent.id))).toEqual(["sub"]);
      expect(titles(await reader.tasks.listAll(world.tagId))).toEqual([
        "Zz",
        "a0",
        "a0V",
        "a1",
        "b",
        "Task",
        "sub",
      ]);

      const neighbour = (rank: string | null, side: "before" | "after") =>
        reader.tasks.neighbourRank(world.tagId, null, rank, side);
      expect([await neighbour("a0", "before"), await neighbour("a0", "after")]).toEqual(["Zz", "a0V"]);
      expect([await neighbour(null, "before"), await neighbour("c", "after")]).toEqual(["c", null]);
      expect(await reader.tasks.neighbourRank(world.tagId, parent.id, null, "before")).toBe("a0");
    });

    test("are searched by words, a title before a description, page by page", async () => {
      await world.addTask({ title: "other" });
      await world.addTask({ title: "b", description: "Payment gateway" });
      await world.addTask({ title: "payment" });
      await world.addTask({ title: "c", testStrategy: "payment -refund" });
      await world.addTask({ title: "결제 처리" });
      const found = async (text: string) =>
        (await reader.tasks.search(world.projectId, text, all)).map((hit) => hit.task.title);
      expect(await found("payment")).toEqual(["payment", "b", "c"]);
      expect(await found("payment -gateway")).toEqual(["payment", "c"]);
      expect(await found('"payment gateway"')).toEqual(["b"]);
      expect(await found("결제")).toEqual(["결제 처리"]);
      expect(await found("  ")).toEqual([]);
      const [hit] = await reader.tasks.search(world.projectId, "payment", { limit: 1, after: undefined });
      const after = [String(hit?.score), hit?.task.id ?? ""];
      const rest = await reader.tasks.search(world.projectId, "payment", { limit: 9, after });
      expect(rest.map(({ task }) => task.title)).toEqual(["b", "c"]);
      expect(rest.every(({ score }) => Number.isSafeInteger(score))).toBe(true);
    });

    test("the longest texts can be stored, and searched in their beginning", async () => {
      // Every word another one, in letters of three bytes: more than a full-text index takes for one row.
      const letter = (n: number) => String.fromCharCode(0xac00 + (n % 11_000));
      const text = (seed: number) =>
        range(33_000)
          .map((i) => letter(seed) + letter(i) + letter(i >> 4) + letter(i * 7) + letter(i * 131))
          .join(" ");
      const long = { description: text(1), details: text(2), testStrategy: text(3) };
      const task = await world.addTask({ title: "long", ...long });
      expect(task.details).toBe(long.details);
      const word = long.details.split(" ")[5] ?? "";
      expect((await reader.tasks.search(world.projectId, word, all)).length).toBe(1);
    });

    test("a file's worth of tasks goes in at once, subtasks with their parents", async () => {
      const details = "lorem ipsum dolor ".repeat(80);
      const tasks = range(180).flatMap((i) => {
        const id = newId();
        const common = { projectId: world.projectId, tagId: world.tagId, details };
        const subtasks = range(5).map((j) =>
          taskInsert({
            ...common,
            id: newId(),
            parentId: id,
            segment: `${j + 1}`,
            number: j + 1,
            rank: `a${j}`,
          }),
        );
        return [
          ...subtasks,
          taskInsert({ ...common, id, segment: `${i + 1}`, number: i + 1, rank: `a${i}` }),
        ];
      });
      const edges = tasks.slice(1).map((task, i) => ({
        id: newId(),
        tagId: world.tagId,
        taskId: task.id,
        dependsOnId: i % 3 === 0 ? null : (tasks[i]?.id ?? ""),
        position: 0,
        raw: "1",
        problem: i % 3 === 0 ? ("missing" as const) : null,
      }));
      await storage.transaction(world.organizationId, async (tx) => {
        await tx.tasks.insert(tasks);
        await tx.dependencies.insert(edges);
      });
      expect((await reader.tasks.listAll(world.tagId)).length).toBe(1_080);
      expect((await reader.dependencies.quarantined({ tagId: world.tagId })).length).toBe(360);
    });

    test("locking gives the newest state, parents first", async () => {
      const task = await world.addTask();
      const subtask = await world.addTask({ parentId: task.id });
      const gate = createGate();
      const updated = createGate();
      const writer = storage.transaction(world.organizationId, async (tx) => {
        await tx.tasks.update(task.id, { title: "written" }, null);
        updated.open();
        await gate.opened;
      });
      await updated.opened;
      const locked = storage.transaction(world.organizationId, (tx) =>
        tx.tasks.lock([subtask.id, task.id, newId()]),
      );
      expect(await isWaiting(locked)).toBe(true);
      gate.open();
      await writer;
      expect((await locked).map(({ id, title }) => [id, title])).toEqual([
        [task.id, "written"],
        [subtask.id, "Task"],
      ]);
      expect(await reader.tasks.subtaskStatuses(task.id)).toEqual(["pending"]);
    });

    test("a task goes with its subtasks, edges, claims and comments", async () => {
      const [task, waiting] = [await world.addTask(), await world.addTask()];
      const subtask = await world.addTask({ parentId: task.id });
      await world.addDependency(waiting.id, subtask.id);
      await claim(subtask);
      await reader.comments.insert({ id: newId(), taskId: subtask.id, author: world.owner, body: "b" });
      expect(await reader.tasks.delete(task.id, null)).toBe(true);
      expect(
        (await reader.tasks.listAll(world.tagId)).map(({ id, dependencies }) => [id, dependencies]),
      ).toEqual([[waiting.id, []]]);
    });
  });

  describe("candidates", () => {
    const base = (): CandidateQuery => ({
      tagId: world.tagId,
      level: "task",
      statuses: ["pending", "in-progress"],
      completeStatuses: ["done"],
      completeParentStatuses: ["pending", "in-progress", "done"],
      subtasksWaitForTasks: true,
      quarantinedEdgesHold: false,
      priorities: ["critical", "high", "medium", "low"],
      defaultPriority: "medium",
      holderId: null,
      unclaimed: false,
      limit: 50,
    });
    const candidates = async (query: Partial<CandidateQuery> = {}) => {
      const ids = await reader.tasks.candidates({ ...base(), ...query });
      const tasks = await Promise.all(ids.map((id) => reader.tasks.find({ id })));
      return tasks.map((task) => task?.localId);
    };

    test("are ordered by priority, then dependencies, then number, slugs last by rank", async () => {
      const done = await world.addTask({ status: "done" });
      const medium = await world.addTask();
      await world.addTask({ segment: "10", number: 10 });
      await world.addTask({ segment: "9", number: 9 });
      await world.addTask({ segment: "b" });
      await world.addTask({ segment: "A" });
      await world.addTask({ segment: "20", number: 20, priority: "high" });
      await world.addTask({ segment: "21", number: 21, priority: "low" });
      await world.addTask({ segment: "22", number: 22, priority: "critical", status: "review" });
      await world.addDependency(medium.id, done.id);
      expect(await candidates()).toEqual(["20", "9", "10", "b", "A", "2", "21"]);
      expect(await candidates({ limit: 2 })).toEqual(["20", "9"]);
    });

    test("are held back by quarantined edges if asked to, each read as it was written", async () => {
      const [open, done] = [
        await world.addTask({ status: "blocked" }),
        await world.addTask({ status: "done" }),
      ];
      const working = await world.addTask({ status: "in-progress" });
      await world.addTask({ parentId: working.id, status: "done" });
      const edge = async (taskId: string, raw: string) =>
        await reader.dependencies.insert([
          {
            id: newId(),
            tagId: world.tagId,
            taskId,
            dependsOnId: null,
            position: 0,
            raw,
            problem: "missing",
          },
        ]);
      for (const raw of ["99", open.localId, `"${done.localId}"`, `"${working.localId}.1"`]) {
        await edge((await world.addTask()).id, raw);
      }
      // In a subtask the bare 1 is the sibling, which is done, and not task 1, which is open.
      await edge((await world.addTask({ parentId: working.id })).id, "1");
      expect(await candidates()).toEqual(["3", "4", "5", "6", "7"]);
      expect(await candidates({ quarantinedEdgesHold: true })).toEqual(["3", "6", "7"]);
      const subtasks = {
        level: "subtask",
        parentStatuses: ["in-progress"],
        quarantinedEdgesHold: true,
      } as const;
      expect(await candidates(subtasks)).toEqual(["3.2"]);
    });

    test("wait for a done subtask as long as its task is put aside, and, if asked to, for every task", async () => {
      const [aside, waiting, working, done] = [
        await world.addTask({ status: "deferred" }),
        await world.addTask(),
        await world.addTask({ status: "in-progress" }),
        await world.addTask({ status: "done" }),
      ];
      const part = await world.addTask({ parentId: aside.id, status: "done" });
      await world.addDependency(waiting.id, part.id);
      expect(await candidates()).toEqual(["3"]);
      expect(await candidates({ completeParentStatuses: ["deferred"] })).toEqual(["3", "2"]);
      const subtask = await world.addTask({ parentId: working.id });
      await world.addDependency(subtask.id, done.id);
      const subtasks = { level: "subtask", parentStatuses: ["in-progress"] } as const;
      expect(await candidates(subtasks)).toEqual(["3.1"]);
      expect(await candidates({ ...subtasks, subtasksWaitForTasks: false })).toEqual([]);
    });

    test("wait for what is not complete; subtasks take their task's priority and status", async () => {
      const [one, two] = [
        await world.addTask({ status: "in-progress", priority: "low" }),
        await world.addTask(),
      ];
      await world.addDependency(one.id, two.id);
      const first = await world.addTask({ parentId: one.id });
      await world.addTask({ parentId: one.id, priority: "medium" });
      const third = await world.addTask({ parentId: one.id, priority: "critical" });
      await world.addTask({ parentId: two.id, priority: "critical" });
      await world.addDependency(third.id, first.id);
      expect(await candidates()).toEqual(["2"]);
      const subtasks = { level: "subtask", parentStatuses: ["in-progress"] } as const;
      expect(await candidates(subtasks)).toEqual(["1.2", "1.1"]);
      await reader.tasks.update(first.id, { status: "cancelled" }, null);
      expect(await candidates(subtasks)).toEqual(["1.2"]);
      await reader.tasks.update(first.id, { status: "done" }, null);
      expect(await candidates(subtasks)).toEqual(["1.3", "1.2"]);
    });

    test("leave out what another's live claim covers, in the whole family, until it expires", async () => {
      const [one, two, three] = [await world.addTask(), await world.addTask(), await world.addTask()];
      const subtask = await world.addTask({ parentId: one.id });
      await world.addTask({ parentId: two.id });
      const holderId = newId();
      await claim(subtask, { holderId });
      await claim(two, { holderId });
      await claim(three, { holderId, ttlSeconds: 1 });
      expect(await candidates()).toEqual([]);
      expect(await candidates({ level: "subtask" })).toEqual([]);
      expect(await candidates({ holderId })).toEqual(["1", "2", "3"]);
      expect(await candidates({ holderId, level: "subtask" })).toEqual(["1.1", "2.1"]);
      expect(await candidates({ holderId: newId() })).toEqual([]);
      await sleep(1_050);
      expect(await candidates()).toEqual(["3"]);
    });

    test("to be claimed are only those that nobody works on, the holder neither; its own task's subtasks are", async () => {
      const [one, two, three] = [await world.addTask(), await world.addTask(), await world.addTask()];
      const subtask = await world.addTask({ parentId: one.id });
      await world.addTask({ parentId: two.id });
      const holderId = newId();
      await claim(subtask, { holderId });
      await claim(two, { holderId });
      await claim(three, { holderId, ttlSeconds: 1 });
      const unclaimed = { holderId, unclaimed: true };
      expect(await candidates(unclaimed)).toEqual([]);
      expect(await candidates({ ...unclaimed, level: "subtask" })).toEqual(["2.1"]);
      expect(await candidates({ unclaimed: true, level: "subtask" })).toEqual([]);
      await sleep(1_050);
      expect(await candidates(unclaimed)).toEqual(["3"]);
    });

    test("the first that nobody has locked is locked, however many come before it", async () => {
      const parent = await world.addTask({ status: "in-progress" });
      const subtask = await world.addTask({ parentId: parent.id });
      const locked = [parent];
      while (locked.length < 70) locked.push(await world.addTask());
      const last = await world.addTask();
      const subtasks = { ...base(), level: "subtask", parentStatuses: ["in-progress"], limit: 1 } as const;
      const [gate, ready] = [createGate(), createGate()];
      const holder = storage.transaction(world.organizationId, async (tx) => {
        await tx.tasks.lock(locked.map(({ id }) => id));
        ready.open();
        await gate.opened;
      });
      const attempt = (query: CandidateQuery) =>
        storage.transaction(world.organizationId, async (tx) => await tx.claims.lockCandidate(query));
      try {
        await ready.opened;
        expect(await attempt(base())).toBe(last.id);
        // The family's lock is the parent's.
        expect(await attempt(subtasks)).toBeUndefined();
      } finally {
        gate.open();
        await holder;
      }
      expect(await attempt(base())).toBe(parent.id);
      expect(await attempt(subtasks)).toBe(subtask.id);
    });

    test("follow every change of the graph", async () => {
      const random = createRandom(20_261_127);
      const pick = picker(random);
      const tasks = await Promise.all(range(9).map((i) => world.addTask({ segment: `t${i}` })));
      const status = new Map(tasks.map(({ id }) => [id, "pending" as Status]));
      let edges: [string, string][] = [];
      for (let step = 0; step < 120; step += 1) {
        const [a, b] = [pick([...status.keys()]), pick([...status.keys()])];
        const what = random();
        if (what < 0.5) {
          const next = pick(["done", "pending", "in-progress", "review"] as const);
          await reader.tasks.update(a, { status: next }, null);
          status.set(a, next);
        } else if (what < 0.8) {
          if (a !== b && !edges.some(([from, to]) => from === a && to === b)) {
            await world.addDependency(a, b);
            edges.push([a, b]);
          }
        } else if (what < 0.97) {
          const [from, to] = edges.length > 0 ? pick(edges) : [a, b];
          expect(await reader.dependencies.delete(from, to)).toBe(edges.length > 0);
          edges = edges.filter((one) => one.join() !== `${from},${to}`);
        } else if (status.size > 3) {
          await reader.tasks.delete(a, null);
          status.delete(a);
          edges = edges.filter((one) => !one.includes(a));
        }
        const expected = [...status.keys()]
          .filter((id) => ["pending", "in-progress"].includes(status.get(id) ?? ""))
          .filter((id) => edges.every(([from, to]) => from !== id || status.get(to) === "done"));
        expect((await reader.tasks.candidates({ ...base(), quarantinedEdgesHold: true })).sort()).toEqual(
          expected.sort(),
        );
      }
    });

    test("let a task through once all that it waits for is complete, in whatever order that came at once", async () => {
      const change = (work: (tx: Transaction) => Promise<unknown>) =>
        storage.transaction(world.organizationId, work);
      for (let round = 0; round < 15; round += 1) {
        const [task, one, two, late, dropped] = await Promise.all(range(5).map(() => world.addTask()));
        if (!task || !one || !two || !late || !dropped) throw new Error("five were made");
        for (const other of [one, two, dropped]) await world.addDependency(task.id, other.id);
        const complete = ({ id }: TaskRecord) =>
          change(async (tx) => {
            await tx.tasks.update(id, { status: "done" }, null);
            await sleep(5);
          });
        await Promise.all([
          complete(one),
          complete(two),
          complete(late),
          change((tx) =>
            tx.dependencies.insert([
              {
                ...{ id: newId(), tagId: world.tagId, taskId: task.id, dependsOnId: late.id },
                ...{ position: 9, raw: null, problem: null },
              },
            ]),
          ),
          change((tx) => tx.dependencies.delete(task.id, dropped.id)),
        ]);
        expect(await reader.tasks.candidates(base())).toContain(task.id);
      }
    });
  });

  describe("dependencies", () => {
    test("a path follows edges and goes from a task to its subtasks, the shortest way", async () => {
      const [a, b, c, d] = [
        await world.addTask(),
        await world.addTask(),
        await world.addTask(),
        await world.addTask(),
      ];
      const sub = await world.addTask({ parentId: b.id });
      await world.addDependency(a.id, b.id);
      await world.addDependency(sub.id, c.id);
      await world.addDependency(c.id, d.id);
      const path = (from: TaskRecord, to: TaskRecord) =>
        reader.dependencies.path(world.tagId, from.id, to.id);
      expect(await path(a, d)).toEqual([a.id, b.id, sub.id, c.id, d.id]);
      expect(await path(d, a)).toBeUndefined();
      expect(await path(sub, b)).toBeUndefined();
      expect(await path(a, a)).toEqual([a.id]);
      await world.addDependency(a.id, d.id);
      expect(await path(a, d)).toEqual([a.id, d.id]);
      // Storage itself does not refuse a cycle; looking for a path in one must still end.
      await world.addDependency(d.id, a.id);
      expect(await path(c, b)).toEqual([c.id, d.id, a.id, b.id]);
      expect(await reader.dependencies.path(world.tagId, a.id, newId())).toBeUndefined();
    });

    test("a path is found or not as the graph has one, however its edges came and went", async () => {
      const random = createRandom(20_261_128);
      const pick = picker(random);
      const parents = new Map<string, string | null>();
      let edges: EdgeRecord[] = [];
      let found = 0;
      const add = async (parentId: string | null) =>
        parents.set((await world.addTask({ parentId, segment: newId() })).id, parentId);
      const reaches = (from: string, to: string): boolean => {
        const reached = new Set([from]);
        for (const id of reached) {
          for (const edge of edges) if (edge.from === id) reached.add(edge.to);
          for (const [subtask, parent] of parents) if (parent === id) reached.add(subtask);
        }
        return reached.has(to);
      };
      const path = async (from: string, to: string) => await reader.dependencies.path(world.tagId, from, to);
      const insert = async (more: EdgeRecord[]) => {
        await reader.dependencies.insert(
          more.map(({ from, to }, position) => ({
            ...{ id: newId(), tagId: world.tagId, taskId: from, dependsOnId: to },
            ...{ position, raw: null, problem: null },
          })),
        );
        edges.push(...more);
      };
      for (let i = 0; i < 10; i += 1) await add(null);
      for (let step = 0; step < 300; step += 1) {
        const ids = [...parents.keys()];
        const [a, b] = [pick(ids), pick(ids)];
        const what = random();
        const known = edges.some(({ from, to }) => from === a && to === b);
        const pairs = [[b, a], ...range(11).map(() => [pick(ids), pick(ids)])] as [string, string][];
        const ways = await Promise.all(pairs.map(([from, to]) => path(from, to)));
        expect(ways.map((way) => way !== undefined)).toEqual(pairs.map(([from, to]) => reaches(from, to)));
        found += ways.filter((way) => way !== undefined).length;
        for (const way of ways) {
          for (const [i, id] of (way ?? []).slice(1).entries()) {
            const isEdge = edges.some(({ from, to }) => from === way?.[i] && to === id);
            expect(isEdge || parents.get(id) === way?.[i]).toBe(true);
          }
        }
        const [way] = ways;
        if (what < 0.5) {
          if (way === undefined && !known) await insert([{ from: a, to: b }]);
        } else if (what < 0.58) {
          // As an import does: several at once, none of which closes a cycle with the others.
          const c = pick(ids);
          if (
            new Set([a, b, c]).size === 3 &&
            way === undefined &&
            !known &&
            !reaches(c, a) &&
            !reaches(b, a)
          ) {
            if (!edges.some(({ from, to }) => from === a && to === c)) {
              await insert([
                { from: a, to: b },
                { from: a, to: c },
              ]);
            }
          }
        } else if (what < 0.72) {
          const edge = edges.length > 0 ? pick(edges) : undefined;
          if (edge !== undefined) await reader.dependencies.delete(edge.from, edge.to);
          edges = edges.filter((one) => one !== edge);
        } else if (what < 0.82) {
          if (parents.size < 24) await add(parents.get(a) === null && random() < 0.7 ? a : null);
        } else if (
          parents.get(b) === null &&
          a !== b &&
          ![...parents.values()].includes(a) &&
          !reaches(a, b)
        ) {
          await reader.tasks.update(a, { parentId: b, segment: `m${step}` }, null);
          parents.set(a, b);
        } else if (step % 3 === 0 && parents.size > 6) {
          await reader.tasks.delete(a, null);
          const gone = [a, ...ids.filter((id) => parents.get(id) === a)];
          for (const id of gone) parents.delete(id);
          edges = edges.filter(({ from, to }) => !gone.includes(from) && !gone.includes(to));
        }
      }
      expect(found).toBeGreaterThan(40);
    });

    test("many ways to one task cost no more than one", async () => {
      const layers = range(15).map((layer) =>
        range(6).map((i) =>
          taskInsert({
            id: newId(),
            projectId: world.projectId,
            tagId: world.tagId,
            segment: `${layer}-${i}`,
          }),
        ),
      );
      await reader.tasks.insert(layers.flat());
      const edges = layers
        .slice(1)
        .flatMap((layer, i) => layer.flatMap((to) => (layers[i] ?? []).map((from) => ({ from, to }))));
      await reader.dependencies.insert(
        edges.map(({ from, to }, position) => ({
          id: newId(),
          tagId: world.tagId,
          taskId: from.id,
          dependsOnId: to.id,
          position,
          raw: null,
          problem: null,
        })),
      );
      const [from, to] = [layers[0]?.[0]?.id ?? "", layers[14]?.[5]?.id ?? ""];
      const start = performance.now();
      expect((await reader.dependencies.path(world.tagId, from, to))?.length).toBe(15);
      expect(await reader.dependencies.path(world.tagId, to, from)).toBeUndefined();
      expect(performance.now() - start).toBeLessThan(500);
    });

    test("are listed by position; a quarantined one is kept beside, and is no edge", async () => {
      const [a, b, c] = [await world.addTask(), await world.addTask(), await world.addTask()];
      await world.addDependency(a.id, c.id);
      await world.addDependency(a.id, b.id);
      expect(await reader.dependencies.nextPosition(a.id)).toBe(2);
      const quarantined = { id: newId(), tagId: world.tagId, taskId: a.id, dependsOnId: null, position: 2 };
      await reader.dependencies.insert([{ ...quarantined, raw: '"99"', problem: "missing" }]);
      expect((await reader.tasks.find({ id: a.id }))?.dependencies).toEqual(["3", "2"]);
      expect((await reader.dependencies.dependsOn(a.id)).map(({ localId }) => localId)).toEqual(["3", "2"]);
      expect(await reader.dependencies.dependents(b.id)).toEqual([
        { id: a.id, localId: "1", title: "Task", status: "pending" },
      ]);
      expect(await reader.dependencies.quarantined({ taskId: a.id })).toEqual([
        {
          ...quarantined,
          raw: '"99"',
          problem: "missing",
          task: { id: a.id, localId: "1", title: "Task", status: "pending" },
        },
      ]);
      expect((await reader.dependencies.listAll(world.tagId)).map(({ position }) => position)).toEqual([
        0, 1, 2,
      ]);
      expect((await reader.dependencies.listAt([b.id])).length).toBe(1);
      const { tasks, edges } = await reader.tasks.graph(world.tagId);
      expect([tasks.length, edges]).toEqual([
        3,
        [
          { from: a.id, to: c.id },
          { from: a.id, to: b.id },
        ],
      ]);
      expect(await reader.dependencies.delete(a.id, b.id)).toBe(true);
      expect(await reader.dependencies.delete(a.id, b.id)).toBe(false);
      await reader.dependencies.deleteById([quarantined.id]);
      expect((await reader.dependencies.listAll(world.tagId)).length).toBe(1);
    });
  });

  describe("members, agents and tokens", () => {
    test("a token leads to its owner until it is revoked, expires or its membership goes", async () => {
      const { agents, tokens, memberships } = reader;
      const agent = await agents.insert({
        id: newId(),
        membershipId: newId(),
        name: "bot",
        description: "",
        capabilities: ["x,y"],
      });
      expect(agent).toMatchObject({ capabilities: ["x,y"], disabled: false, version: 1 });
      expect(
        await codeOf(
          agents.insert({
            id: newId(),
            membershipId: newId(),
            name: "bot",
            description: "",
            capabilities: [],
          }),
        ),
      ).toBe("already_exists");
      const issue = async (owner: { membershipId: string } | { agentId: string }, expiresInDays = 1) => {
        const hash = randomUUID();
        const input = { id: newId(), name: "t", hash, hint: "tm_", scopes: ["read" as const], expiresInDays };
        return { hash, token: await tokens.insert({ ...input, owner }) };
      };
      const { hash, token } = await issue({ agentId: agent.id });
      expect(token?.owner).toEqual({ kind: "agent", id: agent.id, name: "bot" });
      expect(await storage.identity.findToken(hash)).toMatchObject({
        organizationId: world.organizationId,
        role: "agent",
        disabled: false,
        revoked: false,
        expired: false,
        scopes: ["read"],
      });
      await agents.update(agent.id, { disabled: true, name: "robot" }, 1);
      expect(await storage.identity.findTokenById(token?.id ?? "")).toMatchObject({
        disabled: true,
        actor: { name: "robot" },
      });
      expect(await agents.update(agent.id, { disabled: false }, 1)).toBeUndefined();
      expect(
        (await storage.identity.findToken((await issue({ membershipId: world.membershipId }, 0)).hash))
          ?.expired,
      ).toBe(true);
      expect((await tokens.revoke(token?.id ?? ""))?.revokedAt).not.toBeNull();
      expect(await tokens.revoke(token?.id ?? "")).toBeUndefined();
      expect((await storage.identity.findToken(hash))?.revoked).toBe(true);
      expect((await tokens.list(all, agent.id)).length).toBe(1);
      expect((await tokens.list(all)).length).toBe(2);
      expect((await memberships.list(all)).map(({ member, email }) => [member.kind, email === null])).toEqual(
        [
          ["user", false],
          ["agent", true],
        ],
      );
      expect(await agents.delete(agent.id, 2)).toBe(true);
      expect(await storage.identity.findToken(hash)).toBeUndefined();
      expect((await issue({ agentId: agent.id })).token).toBeUndefined();
    });

    test("what has become of credentials is told in their order, for all of them at once", async () => {
      const { agents, tokens } = reader;
      const issue = async (owner: { membershipId: string } | { agentId: string }, expiresInDays = 1) => {
        const made = { id: newId(), name: "t", hash: randomUUID(), hint: "tm_", scopes: ["read" as const] };
        await tokens.insert({ ...made, expiresInDays, owner });
        return made.id;
      };
      const { id: agentId } = await agents.insert({
        id: newId(),
        membershipId: newId(),
        name: "bot",
        description: "",
        capabilities: [],
      });
      const { membershipId } = world;
      const tokenIds = [
        await issue({ membershipId }),
        await issue({ membershipId }),
        await issue({ membershipId }, 0),
      ];
      await tokens.revoke(tokenIds[1] ?? "");
      const agentToken = await storage.identity.findTokenById(await issue({ agentId }));
      const ask = async () =>
        await storage.identity.findStandings([
          { membershipId, tokenId: null },
          ...tokenIds.map((tokenId) => ({ membershipId, tokenId })),
          { membershipId, tokenId: newId() },
          { membershipId: newId(), tokenId: null },
          { membershipId: agentToken?.membershipId ?? "", tokenId: agentToken?.tokenId ?? "" },
        ]);
      const good = { role: "owner", disabled: false, revoked: false, expired: false };
      expect(await ask()).toEqual([
        good,
        good,
        { ...good, revoked: true },
        { ...good, expired: true },
        undefined,
        undefined,
        { ...good, role: "agent" },
      ]);
      await agents.update(agentId, { disabled: true }, 1);
      expect((await ask()).at(-1)).toEqual({ ...good, role: "agent", disabled: true });
      await agents.delete(agentId, 2);
      expect((await ask()).at(-1)).toBeUndefined();
      expect(await storage.identity.findStandings([])).toEqual([]);
    });

    test("a person is one user in all organizations, bound to one identity", async () => {
      const email = `${newId()}@example.com`;
      const person = { userId: newId(), email, name: "Ann", role: "viewer" as const };
      const member = await reader.memberships.insert({ id: newId(), ...person });
      expect(member).toMatchObject({ email, role: "viewer", member: { kind: "user", name: "Ann" } });
      expect(await codeOf(reader.memberships.insert({ id: newId(), ...person, userId: newId() }))).toBe(
        "already_exists",
      );
      const other = await createWorld(storage);
      const second = await storage
        .reader(other.organizationId)
        .memberships.insert({ id: newId(), ...person, userId: newId() });
      expect(second.member.id).toBe(member.member.id);
      expect(await storage.identity.listPrincipals({ userId: member.member.id })).toMatchObject([
        { organizationId: world.organizationId, organization: { id: world.organizationId } },
        { organizationId: other.organizationId },
      ]);
      expect(await storage.identity.bindUser(member.member.id, "https://issuer", email)).toBe(true);
      expect(await storage.identity.bindUser(member.member.id, "https://issuer", "another")).toBe(false);
      expect(await storage.identity.findUser({ issuer: "https://issuer", subject: email })).toMatchObject({
        email,
      });
      expect(await storage.identity.findUser({ email })).toMatchObject({ subject: email });
      expect(await codeOf(storage.identity.bindUser(world.owner.id, "https://issuer", email))).toBe(
        "already_exists",
      );

      expect((await reader.memberships.updateRole(member.id, "admin", 1))?.role).toBe("admin");
      expect(await reader.memberships.updateRole(member.id, "viewer", 1)).toBeUndefined();
      expect(await codeOf(reader.memberships.updateRole(member.id, "agent", 2))).toBe("conflict");
      expect(await reader.memberships.delete(member.id, 2)).toBe(true);
      expect((await storage.identity.firstOwner())?.role).toBe("owner");
      expect(await storage.identity.countOrganizations()).toBeGreaterThanOrEqual(2);
    });

    test("an organization's slug is taken once, and its name changes by version", async () => {
      const made = await reader.organizations.get();
      const input = {
        organization: { id: newId(), slug: made.slug, name: "Again" },
        owner: { membershipId: newId(), userId: newId(), email: `${newId()}@example.com`, name: "Owner" },
        event: newEvent({ type: "organization.created" }),
      };
      expect(await codeOf(storage.identity.createOrganization(input))).toBe("already_exists");
      expect(await storage.identity.findUser({ email: input.owner.email })).toBeUndefined();
      const inside = storage.transaction(world.organizationId, (tx) =>
        tx.createOrganization({ ...input, organization: { ...input.organization, slug: `s-${newId()}` } }),
      );
      expect((await inside).principal).toMatchObject({
        role: "owner",
        organizationId: input.organization.id,
      });
      expect((await reader.organizations.update({ name: "New" }, 1))?.name).toBe("New");
      expect(await reader.organizations.update({ name: "Newer" }, 1)).toBeUndefined();
    });
  });

  describe("projects, tags, comments and import runs", () => {
    test("a project is found by key, changed by version and goes with everything but its events", async () => {
      const { projects, tags, events } = reader;
      const source = {
        form: "flat" as const,
        members: [{ tag: "master" }, { key: "b", raw: "1" }],
        finalNewline: true,
      };
      const project = await projects.insert({ id: newId(), key: "P2", name: "Two", description: "" });
      expect(await codeOf(projects.insert({ id: newId(), key: "P2", name: "Two", description: "" }))).toBe(
        "already_exists",
      );
      expect(await projects.update(project.id, { source, name: "Zwei" }, 1)).toMatchObject({
        source,
        name: "Zwei",
        version: 2,
      });
      expect(await projects.update(project.id, { name: "Deux" }, 1)).toBeUndefined();
      expect((await projects.list({ limit: 1, after: undefined })).length).toBe(2);
      expect((await projects.list({ limit: 5, after: [world.projectId] })).map(({ key }) => key)).toEqual([
        "P2",
      ]);
      const common = { projectId: project.id, description: "", metadata: {}, nextLocalNumber: 3 };
      await tags.insert({ ...common, id: newId(), name: "b", source: null });
      const tag = await tags.insert({
        ...common,
        id: newId(),
        name: "a",
        source: { importedAs: "A", members: null },
      });
      expect(tag).toMatchObject({
        position: 1,
        nextLocalNumber: 3,
        source: { importedAs: "A", members: null },
      });
      expect(await codeOf(tags.insert({ ...common, id: newId(), name: "a", source: null }))).toBe(
        "already_exists",
      );
      expect((await tags.list(project.id)).map(({ name }) => name)).toEqual(["b", "a"]);
      expect(
        await tags.update(tag.id, { name: "c", metadata: { m: 1 }, nextLocalNumber: 9 }, 1),
      ).toMatchObject({
        name: "c",
        metadata: { m: 1 },
        nextLocalNumber: 9,
        version: 2,
      });
      expect(await tags.delete(tag.id, 1)).toBe(false);
      expect(await tags.delete(tag.id, 2)).toBe(true);
      await reader.importRuns.insert({
        id: newId(),
        projectId: project.id,
        actorId: world.owner.id,
        mode: "strict",
        sha256: "ff",
        report: { ok: [true] },
      });
      expect(await reader.importRuns.list(project.id, all)).toMatchObject([
        { sha256: "ff", report: { ok: [true] } },
      ]);
      await events.append([world.event({ projectId: project.id, type: "project.deleted" })]);
      expect(await projects.delete(project.id, 1)).toBe(false);
      expect(await projects.delete(project.id, 2)).toBe(true);
      expect(await projects.find("P2")).toBeUndefined();
      expect((await events.audit({ type: "project.deleted" }, all)).length).toBe(1);
      expect(await codeOf(tags.insert({ ...common, id: newId(), name: "late", source: null }))).toBe(
        "conflict",
      );
    });

    test("the list of tags is locked until the transaction ends", async () => {
      const gate = createGate();
      const locked = createGate();
      const holder = storage.transaction(world.organizationId, async (tx) => {
        await tx.projects.lock(world.projectId);
        locked.open();
        await gate.opened;
      });
      await locked.opened;
      const second = storage.transaction(world.organizationId, (tx) => tx.projects.lock(world.projectId));
      expect(await isWaiting(second)).toBe(true);
      gate.open();
      await Promise.all([holder, second]);
    });

    test("comments are changed by version", async () => {
      const task = await world.addTask();
      const comment = await reader.comments.insert({
        id: newId(),
        taskId: task.id,
        author: world.owner,
        body: "one",
      });
      expect(comment).toMatchObject({ task: task.id, author: world.owner, version: 1 });
      expect((await reader.comments.update(comment.id, "two", 1))?.body).toBe("two");
      expect(await reader.comments.update(comment.id, "three", 1)).toBeUndefined();
      expect((await reader.comments.find(comment.id))?.projectId).toBe(world.projectId);
      expect((await reader.comments.list(task.id, all)).length).toBe(1);
      expect(await reader.comments.delete(comment.id, 2)).toBe(true);
      expect(
        await codeOf(
          reader.comments.insert({ id: newId(), taskId: newId(), author: world.owner, body: "x" }),
        ),
      ).toBe("not_found");
    });
  });

  test("no organization sees or touches another's rows, through any method", async () => {
    const task = await world.addTask({ title: "secret", status: "in-progress" });
    const subtask = await world.addTask({ parentId: task.id });
    await world.addDependency(subtask.id, (await world.addTask()).id);
    await world.addTag("theirs");
    const agent = await reader.agents.insert({
      id: newId(),
      membershipId: newId(),
      name: "a",
      description: "",
      capabilities: [],
    });
    const tokenInput = { name: "t", hint: "h", scopes: [], expiresInDays: 1 };
    const token = await reader.tokens.insert({
      ...tokenInput,
      id: newId(),
      hash: newId(),
      owner: { agentId: agent.id },
    });
    const comment = await reader.comments.insert({
      id: newId(),
      taskId: task.id,
      author: world.owner,
      body: "secret",
    });
    const target = {
      url: "https://github.com/a/b/issues/1",
      provider: "github",
      kind: "issue",
      key: "a/b#1",
    } as const;
    const link = await reader.links.insert({ ...target, id: newId(), taskId: task.id, title: null });
    const statuses = defaultStatuses;
    const receiver = await reader.receivers.insert({ id: newId(), name: "r", statuses, secret: "sealed" });
    const live = await claim(task);
    const run = { id: newId(), projectId: world.projectId, actorId: world.owner.id, mode: "strict" as const };
    await reader.importRuns.insert({ ...run, sha256: "", report: {} });
    await reader.events.append([world.event({ taskId: task.id })]);
    await storage.transaction(world.organizationId, (tx) => tx.events.sequence(world.projectId));
    const actorId = newId();
    await storage.transaction(world.organizationId, (tx) =>
      tx.idempotency.reserve(actorId, "hash", "theirs"),
    );
    const before = await everything(reader, world);

    const stranger = await createWorld(storage);
    const keyset = all;
    const taskIds = [task.id, subtask.id];
    await storage.transaction(stranger.organizationId, async (tx) => {
      const nothing = await Promise.all([
        tx.memberships.find(world.membershipId),
        tx.memberships.updateRole(world.membershipId, "viewer", 1),
        tx.agents.find(agent.id),
        tx.agents.update(agent.id, { name: "x" }, 1),
        tx.tokens.find(token?.id ?? ""),
        tx.tokens.revoke(token?.id ?? ""),
        tx.tokens.insert({
          ...tokenInput,
          id: newId(),
          hash: newId(),
          owner: { membershipId: world.membershipId },
        }),
        tx.tokens.insert({ ...tokenInput, id: newId(), hash: newId(), owner: { agentId: agent.id } }),
        tx.projects.update(world.projectId, { name: "x" }, 1),
        tx.tags.find(world.project, "theirs"),
        tx.tags.findById(world.tagId),
        tx.tags.update(world.tagId, { name: "x" }, 1),
        tx.tasks.find({ id: task.id }),
        tx.tasks.find({ project: "DEMO", tag: "master", localId: task.localId }),
        tx.tasks.update(task.id, { title: "x" }, null),
        tx.claims.find(live.id),
        tx.claims.findLocked(live.id),
        tx.claims.findForeign(world.tagId, newId()),
        tx.comments.find(comment.id),
        tx.comments.update(comment.id, "x", 1),
        tx.links.find(link.id),
        tx.links.tell(link.id, { at: "2026-01-01T00:00:00.000Z", delivery: "d", digest: "d" }),
        tx.receivers.find(receiver.id),
        tx.receivers.update(receiver.id, { name: "x", statuses }, 1),
        tx.receivers.rotate(receiver.id, "x", 1),
        tx.dependencies.path(world.tagId, subtask.id, task.id),
        tx.idempotency.reserve(actorId, "hash", "mine"),
      ]);
      expect(nothing.filter((value) => value !== undefined)).toEqual([]);
      expect(await tx.tasks.neighbourRank(world.tagId, null, null, "before")).toBeNull();

      const empty = await Promise.all([
        tx.tokens.list(keyset, agent.id),
        tx.tags.list(world.projectId),
        tx.tags.lockGraphs([world.tagId]),
        tx.tasks.list(world, {}, keyset),
        tx.tasks.subtasks(task.id),
        tx.tasks.listAll(world.tagId),
        tx.tasks.search(world.projectId, "secret", keyset),
        tx.tasks.lock(taskIds),
        tx.tasks.subtaskStatuses(task.id),
        tx.tasks.graph(world.tagId).then(({ tasks, edges }) => [...tasks, ...edges]),
        tx.tasks.candidates({
          tagId: world.tagId,
          level: "task",
          statuses: ["pending", "in-progress"],
          completeStatuses: [],
          completeParentStatuses: [],
          subtasksWaitForTasks: true,
          quarantinedEdgesHold: false,
          priorities: [],
          defaultPriority: "medium",
          holderId: live.holder.id,
          unclaimed: false,
          limit: 9,
        }),
        tx.dependencies.listAt(taskIds),
        tx.dependencies.dependsOn(subtask.id),
        tx.dependencies.dependents(task.id),
        tx.dependencies.listAll(world.tagId),
        tx.dependencies.quarantined({ tagId: world.tagId }),
        tx.claims.list(world.tagId, keyset),
        tx.claims.liveAround(task.id),
        tx.attempts.list(task.id, keyset),
        tx.comments.list(task.id, keyset),
        tx.links.list({ taskId: task.id }, keyset),
        tx.receivers.list(keyset),
        tx.links.list({ url: target.url }, keyset),
        tx.events.list(world.projectId, 0, 9),
        tx.events.audit({ taskId: task.id }, keyset),
        tx.events.since(task.id, new Date(0)),
        tx.importRuns.list(world.projectId, keyset),
      ]);
      expect(empty.flat()).toEqual([]);

      const refused = await Promise.all([
        tx.memberships.delete(world.membershipId, 1),
        tx.agents.delete(agent.id, 1),
        tx.projects.delete(world.projectId, 1),
        tx.tags.delete(world.tagId, 1),
        tx.tasks.delete(task.id, null),
        tx.dependencies.delete(subtask.id, task.id),
        tx.claims.lockFamily(task.id, true),
        tx.comments.delete(comment.id, 1),
        tx.links.delete(link.id),
        tx.receivers.delete(receiver.id, 1),
      ]);
      expect(refused).toEqual(refused.map(() => false));
      await tx.projects.lock(world.projectId);
      await tx.dependencies.deleteById((await reader.dependencies.listAll(world.tagId)).map(({ id }) => id));
      await tx.events.sequence(world.projectId);
      expect(await tx.dependencies.nextPosition(subtask.id)).toBe(0);
      expect((await tx.memberships.list(keyset)).length).toBe(1);
      expect(await tx.memberships.countOwnersLocked()).toBe(1);
      expect([await tx.agents.list(keyset), await tx.tokens.list(keyset)]).toEqual([[], []]);
      expect((await tx.projects.list(keyset)).map(({ id }) => id)).toEqual([stranger.projectId]);
      expect((await tx.organizations.get()).id).toBe(stranger.organizationId);
    });

    const theirs = storage.reader(stranger.organizationId);
    const task1 = { projectId: world.projectId, tagId: world.tagId, id: newId(), segment: "99" };
    const edge = {
      id: newId(),
      tagId: world.tagId,
      taskId: task.id,
      dependsOnId: null,
      position: 0,
      raw: null,
    };
    const tag = {
      id: newId(),
      projectId: world.projectId,
      name: "x",
      description: "",
      metadata: {},
      source: null,
    };
    const claimInput = {
      id: newId(),
      task,
      holder: world.owner,
      ttlSeconds: 1,
      previousStatus: "pending" as const,
    };
    const refusals = [
      theirs.tags.insert({ ...tag, nextLocalNumber: 1 }),
      theirs.tags.takeNumbers(world.tagId, 1),
      theirs.tasks.insert([taskInsert(task1)]),
      theirs.tasks.insert([
        taskInsert({ ...task1, projectId: stranger.projectId, tagId: stranger.tagId, parentId: task.id }),
      ]),
      theirs.tasks.takeSubtaskNumber(task.id),
      theirs.dependencies.insert([{ ...edge, problem: "missing" }]),
      theirs.claims.insert(claimInput),
      theirs.claims.renew(live.id, 1),
      theirs.claims.end(live.id, "released"),
      theirs.attempts.insert({ id: newId(), claim: live, outcome: "completed", note: "" }),
      theirs.comments.insert({ id: newId(), taskId: task.id, author: world.owner, body: "x" }),
      theirs.links.insert({ ...target, id: newId(), taskId: task.id, title: null }),
      theirs.importRuns.insert({ ...run, id: newId(), sha256: "", report: {} }),
    ];
    const codes = await Promise.all(refusals.map(codeOf));
    expect(codes.filter((code) => !["not_found", "conflict", "claim_ended"].includes(code))).toEqual([]);
    expect(await everything(reader, world)).toEqual(before);
  });
}

/** All that an organization can read of itself, to see that nothing of it changed. */
async function everything(reader: Repositories, world: World): Promise<unknown> {
  const tasks = await reader.tasks.listAll(world.tagId);
  return await Promise.all([
    reader.organizations.get(),
    reader.memberships.list(all),
    reader.agents.list(all),
    reader.receivers.list(all),
    reader.tokens.list(all),
    reader.projects.list(all),
    reader.tags.list(world.projectId),
    tasks,
    reader.dependencies.listAll(world.tagId),
    reader.claims.list(world.tagId, all).then((claims) => claims.map(({ id, expiresAt }) => [id, expiresAt])),
    ...tasks.map(({ id }) => reader.comments.list(id, all)),
    ...tasks.map(({ id }) => reader.links.list({ taskId: id }, all)),
    reader.events.list(world.projectId, 0, 1_000),
    reader.importRuns.list(world.projectId, all),
  ]);
}

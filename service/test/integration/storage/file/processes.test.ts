import { spawn } from "node:child_process";
import { readFile, rm, unlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AppError } from "../../../../src/core/errors.ts";
import { createProcessLock } from "../../../../src/storage/file/process-lock.ts";
import { runFileChild, text } from "../../../support/file-children.ts";
import { createFolder, openFolderCore, type TestFolder } from "../../../support/folder.ts";

let folder: TestFolder;
beforeEach(async () => {
  folder = await createFolder(text);
  await (await openFolderCore(folder.directory)).close();
});
afterEach(async () => {
  await folder.remove();
});

async function run(changes: number): Promise<number[]> {
  const { code, acknowledged, errors } = await runFileChild(folder.directory, changes);
  expect(code, errors).toBe(0);
  return acknowledged;
}

it("processes that change one task at once lose nothing, and none is kept waiting by another", async () => {
  const { core, owner, key, close } = await openFolderCore(folder.directory);
  const read = async () => Number((await core.tasks.get(owner, `${key}:master:1`)).title);
  const seen: number[] = [];
  let writing = true;
  const poll = async () => {
    while (writing) {
      seen.push(await read());
      await sleep(5);
    }
  };
  const polled = poll();
  const acknowledged = await Promise.all([run(30), run(30), run(30)]);
  // What is acknowledged is there for another process at once.
  expect(await read()).toBe(90);
  writing = false;
  await polled;
  expect(acknowledged.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 90 }, (_, i) => i + 1));
  for (const numbers of acknowledged) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  // A reader in another process sees commits as they come, and never goes back.
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect(new Set(seen).size).toBeGreaterThan(5);
  expect(await folder.read()).toBe(text.replace('"0"', '"90"'));
  await close();
}, 120_000);

it("a snapshot stays at its state while another process commits", async () => {
  const [first, second] = [await openFolderCore(folder.directory), await openFolderCore(folder.directory)];
  const reference = `${first.key}:master:1`;
  const locator = { project: first.key, tag: "master", localId: "1" };
  await first.storage.snapshot(first.owner.organizationId, async (tx) => {
    await second.core.tasks.update(second.owner, reference, { title: "meanwhile" }, { version: 1 });
    expect((await first.core.tasks.get(first.owner, reference)).title).toBe("meanwhile");
    expect((await tx.tasks.find(locator))?.title).toBe("0");
  });
  await first.close();
  await second.close();
});

it("a long transaction of one process gives way to another between its own", async () => {
  const [first, second] = [await openFolderCore(folder.directory), await openFolderCore(folder.directory)];
  let going = true;
  const busy = async () => {
    while (going) {
      await first.storage.transaction(first.owner.organizationId, async () => await sleep(20));
    }
  };
  // Always some of them on at once: without giving way there would be no moment at which nobody is.
  const all = Promise.all([busy(), sleep(7).then(busy), sleep(14).then(busy)]);
  const start = performance.now();
  await second.core.tasks.update(second.owner, `${first.key}:master:1`, { title: "mine" }, { version: 1 });
  expect(performance.now() - start).toBeLessThan(5_000);
  going = false;
  await all;
  await first.close();
  await second.close();
});

describe("the lock", () => {
  const file = () => path.join(folder.sidecar, "lock");
  const take = async (patienceMs = 200) => {
    const lock = createProcessLock(folder.sidecar);
    return await lock.acquire(patienceMs).then(
      async () => {
        await lock.release();
        return "taken";
      },
      (error: unknown) => (error instanceof AppError ? `${error.code}: ${error.message}` : String(error)),
    );
  };
  /** What a lock of this process looks like, with something else in it. */
  const leave = async (change: object, ageMs = 0) => {
    await rm(file(), { force: true });
    const lock = createProcessLock(folder.sidecar);
    await lock.acquire(200);
    const owner: object = JSON.parse(await readFile(file(), "utf8"));
    await unlink(file());
    await lock.release();
    await writeFile(file(), JSON.stringify({ ...owner, ...change }));
    const then = new Date(Date.now() - ageMs);
    await utimes(file(), then, then);
  };
  const hourMs = 3_600_000;

  it("of a living process is waited for, however old it is, and names its owner", async () => {
    await leave({}, hourMs);
    expect(await take()).toMatch(new RegExp(`^unavailable: .*written by process ${process.pid} on `));
  });

  it("of a process that has ended is taken at once", async () => {
    const child = spawn(process.execPath, ["--eval", ""]);
    await new Promise((resolve) => child.once("close", resolve));
    await leave({ pid: child.pid });
    expect(await take()).toBe("taken");
  });

  it.runIf(process.platform === "linux")(
    "of a process whose id another has by now is taken at once",
    async () => {
      await leave({ started: "1" });
      expect(await take()).toBe("taken");
    },
  );

  it("of another machine is taken when its heartbeat has stopped", async () => {
    await leave({ place: "elsewhere", host: "other", pid: 1 }, 20_000);
    expect(await take()).toMatch(/written by process 1 on other/);
    await leave({ place: "elsewhere", host: "other", pid: 1 }, 31_000);
    expect(await take()).toBe("taken");
  });

  it("that a power failure has left empty is taken when it is old", async () => {
    await writeFile(file(), "");
    expect(await take()).toMatch(/unknown machine/);
    const then = new Date(Date.now() - 31_000);
    await utimes(file(), then, then);
    expect(await take()).toBe("taken");
  });

  it("is had by one of many at a time", async () => {
    let [holders, most] = [0, 0];
    const hold = async () => {
      const lock = createProcessLock(folder.sidecar);
      await lock.acquire(20_000);
      holders += 1;
      most = Math.max(most, holders);
      expect(await lock.isHeld()).toBe(true);
      await sleep(2);
      holders -= 1;
      await lock.release();
    };
    await leave({ pid: 2 ** 22 + 1 });
    await Promise.all(Array.from({ length: 20 }, hold));
    expect(most).toBe(1);
  });

  it("is wanted by those who wait for it, not by one that died over it", async () => {
    const lock = createProcessLock(folder.sidecar);
    await lock.acquire(200);
    expect(await lock.isWantedByOthers()).toBe(false);
    const waiting = take(10_000);
    await sleep(100);
    expect(await lock.isWantedByOthers()).toBe(true);
    await lock.release();
    expect(await waiting).toBe("taken");
    const dead = path.join(folder.sidecar, "lock-of-a-waiter");
    await writeFile(dead, "{}");
    const then = new Date(Date.now() - 10_000);
    await utimes(dead, then, then);
    expect(await lock.isWantedByOthers()).toBe(false);
  });

  it("that was taken away is noticed before anything is written", async () => {
    const { storage, owner, key, close } = await openFolderCore(folder.directory);
    let runs = 0;
    await storage.transaction(owner.organizationId, async (tx) => {
      runs += 1;
      const task = await tx.tasks.find({ project: key, tag: "master", localId: "1" });
      await tx.tasks.update(task?.id ?? "", { title: "once" }, null);
      // Another process took this one for dead, as after a long sleep of the machine.
      if (runs === 1) await unlink(file());
    });
    expect(runs).toBe(2);
    await close();
  });
});

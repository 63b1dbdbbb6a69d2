import { appendFile, readdir, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createEngine } from "../../../../src/storage/file/engine.ts";
import { createJournal } from "../../../../src/storage/file/journal.ts";
import { openFile } from "../../../../src/storage/file/open.ts";
import { createProcessLock } from "../../../../src/storage/file/process-lock.ts";
import { createRepositories } from "../../../../src/storage/file/repositories.ts";
import { openTasksFile, type TasksFile } from "../../../../src/storage/file/tasks-file.ts";
import { createFolder, type FolderCore, openFolderCore, type TestFolder } from "../../../support/folder.ts";
import { plainFile } from "../../../support/status-servers.ts";

let folder: TestFolder;
let opened: FolderCore;
beforeEach(async () => {
  folder = await createFolder(plainFile(3));
  opened = await openFolderCore(folder.directory);
});
afterEach(async () => {
  await opened.close();
  await folder.remove();
});

const journal = () => path.join(folder.sidecar, "journal-0.jsonl");
const setTitle = async (title: string, { core, owner, key } = opened) => {
  const task = await core.tasks.get(owner, `${key}:master:1`);
  return await core.tasks.update(owner, task.id, { title }, { version: task.version });
};
const titleIn = async ({ core, owner, key } = opened) =>
  (await core.tasks.get(owner, `${key}:master:1`)).title;
const reopen = async () => {
  await opened.close();
  opened = await openFolderCore(folder.directory);
};

it("goes on behind what a crash left of a line, also of one with an end", async () => {
  await setTitle("one");
  for (const torn of ['0123abcd {"puts":{"tas', '01234567 {"puts":{},"removed":{}}\n']) {
    await appendFile(journal(), torn);
    expect(await titleIn()).toBe("one");
    await reopen();
    expect(await titleIn()).toBe("one");
    await setTitle("two");
    await reopen();
    expect(await titleIn()).toBe("two");
    await setTitle("one");
  }
});

it("is refused when it is damaged before its end, and left as it is", async () => {
  await setTitle("one");
  await setTitle("two");
  await opened.close();
  const text = await readFile(journal(), "utf8");
  const damaged = text.replace('"title":"one"', '"title":"eno"');
  expect(damaged).not.toBe(text);
  await writeFile(journal(), damaged);
  await expect(openFolderCore(folder.directory)).rejects.toThrow(/journal-0\.jsonl is damaged.*copy/s);
  expect(await readFile(journal(), "utf8")).toBe(damaged);
  await writeFile(journal(), text);
  opened = await openFolderCore(folder.directory);
  expect(await titleIn()).toBe("two");
});

it("is refused when a newer release wrote it, or its snapshot is damaged", async () => {
  for (const [text, sentence] of [
    ['{"form":2}', /newer release/],
    ['{"form":1,', /snapshot\.json is damaged/],
  ] as const) {
    await writeFile(path.join(folder.sidecar, "snapshot.json"), text);
    await expect(openFolderCore(folder.directory)).rejects.toThrow(sentence);
  }
  await rm(path.join(folder.sidecar, "snapshot.json"));
});

it("is renewed behind a snapshot when it has grown, and other processes follow", async () => {
  const other = await openFolderCore(folder.directory);
  const details = "x".repeat(190_000);
  await writeFile(path.join(folder.sidecar, "journal-7.jsonl"), "left by a crash\n");
  for (let change = 1; change <= 30; change += 1) {
    const { version, id } = await opened.core.tasks.get(opened.owner, `${opened.key}:master:2`);
    await opened.core.tasks.update(opened.owner, id, { details: `${details}${change}` }, { version });
  }
  await setTitle("last");
  expect(await titleIn(other)).toBe("last");
  await setTitle("other's", other);
  expect(await titleIn()).toBe("other's");
  const names = (await readdir(folder.sidecar)).filter((name) => /^(journal|snapshot)/.test(name));
  expect(names).toEqual([expect.stringMatching(/^journal-[1-6]\.jsonl$/), "snapshot.json"]);
  await other.close();
  await reopen();
  expect(await titleIn()).toBe("other's");
  const { items } = await opened.core.events.list(opened.owner, opened.key, { limit: 200 });
  expect(items.map(({ sequence }) => sequence)).toEqual(items.map((_, index) => index + 1));
});

it("that was put back to an earlier state is read anew", async () => {
  await setTitle("one");
  const { size } = await stat(journal());
  const text = await folder.read();
  await setTitle("two");
  await truncate(journal(), size);
  await folder.write(text);
  expect(await titleIn()).toBe("one");
  await setTitle("three");
  await reopen();
  expect(await titleIn()).toBe("three");
});

it("a folder that is none, or is the wrong one, is refused", async () => {
  for (const directory of [
    folder.file,
    path.join(folder.directory, "nowhere"),
    path.dirname(folder.sidecar),
  ]) {
    await expect(openFile({ directory })).rejects.toThrow(/no project's folder/);
  }
});

it("a change that cannot be written changes nothing, and says why", async () => {
  const place = `${folder.sidecar}-away`;
  await rename(folder.sidecar, place);
  const change = opened.storage.transaction(opened.owner.organizationId, async () => expect.fail("it began"));
  await expect(change).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("cannot be read or written"),
  });
  await rename(place, folder.sidecar);
  expect(await titleIn()).toBe("Task 1");
  await setTitle("kept");
  await reopen();
  expect(await titleIn()).toBe("kept");
});

it("a change whose file cannot be put in place is taken back, for all processes", async () => {
  await opened.close();
  const real = openTasksFile(folder.directory);
  let broken = true;
  // A disk that fails at this very step cannot be had for a test; all else is real.
  const file: TasksFile = {
    ...real,
    async draft(text) {
      const draft = await real.draft(text);
      const install = async () => {
        if (broken) throw Object.assign(new Error("EIO: i/o error, rename"), { code: "EIO" });
        await draft.install();
      };
      return { ...draft, install };
    },
  };
  const lock = createProcessLock(folder.sidecar);
  const engine = createEngine({ journal: createJournal(folder.sidecar), lock, file, name: "x" });
  const tasks = createRepositories(engine.db, opened.owner.organizationId).tasks;
  const locator = { project: opened.key, tag: "master", localId: "1" };
  const id = (await tasks.find(locator))?.id ?? "";
  await expect(tasks.update(id, { title: "lost" }, null)).rejects.toMatchObject({ code: "unavailable" });
  expect((await tasks.find(locator))?.title).toBe("Task 1");
  opened = await openFolderCore(folder.directory);
  expect(await titleIn()).toBe("Task 1");
  broken = false;
  expect((await tasks.update(id, { title: "kept" }, null))?.version).toBe(2);
  expect(await titleIn()).toBe("kept");
  await engine.close();
});

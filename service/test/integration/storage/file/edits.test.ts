import { appendFile, rm, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AppError } from "../../../../src/core/errors.ts";
import type { Event } from "../../../../src/core/index.ts";
import { createFolder, type FolderCore, openFolderCore, type TestFolder } from "../../../support/folder.ts";

interface Listed {
  id: number | string;
  [member: string]: unknown;
}
interface File {
  [tag: string]: { tasks: Listed[]; metadata: Record<string, unknown> };
}

const task = (id: number, title: string, more: object = {}): Listed => ({
  id,
  title,
  description: title,
  details: "",
  testStrategy: "",
  status: "pending",
  priority: "medium",
  dependencies: [],
  subtasks: [],
  ...more,
});
const subtask = (id: number, title: string, more: object = {}) => ({
  id,
  title,
  description: "",
  status: "pending",
  dependencies: [],
  details: "",
  ...more,
});

const subtasksOfOne = [subtask(1, "One one"), subtask(2, "One two", { dependencies: [1] })];
const base = (): File => ({
  master: {
    tasks: [
      task(1, "One", { subtasks: subtasksOfOne }),
      task(2, "Two", { dependencies: [1] }),
      task(3, "Three", { dependencies: [2, 77] }),
    ],
    metadata: { created: "2026-01-01T00:00:00.000Z", description: "Main" },
  },
  side: { tasks: [task(1, "Beside")], metadata: {} },
});
const write = (file: File) => JSON.stringify(file, null, 2);

let folder: TestFolder;
let opened: FolderCore;
beforeEach(async () => {
  folder = await createFolder(write(base()));
  opened = await openFolderCore(folder.directory);
});
afterEach(async () => {
  await opened.close();
  await folder.remove();
});

const at = (localId: string, tag = "master") => `${opened.key}:${tag}:${localId}`;
const get = async (localId: string, tag?: string) =>
  await opened.core.tasks.get(opened.owner, at(localId, tag));

/** What others do to the file, and the events that it came to. */
async function edit(change: (file: File) => void, from = base()): Promise<Event[]> {
  const before = (await opened.core.events.list(opened.owner, opened.key, { limit: 200 })).last;
  change(from);
  await folder.write(write(from));
  await agree();
  return (await opened.core.events.list(opened.owner, opened.key, { after: before, limit: 200 })).items;
}
/** What would be written says what the file says. */
async function agree(): Promise<void> {
  const written = await opened.core.importExport.export(opened.owner, opened.key, {});
  expect(JSON.parse(written)).toEqual(JSON.parse(await folder.read()));
}
const kinds = (events: Event[]) => events.map(({ type, data }) => [type, data.localId ?? data.name]);

async function refusal(work: Promise<unknown>): Promise<AppError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof AppError)) expect.fail(`no refusal: ${error}`);
  return error;
}

describe("an edit by somebody else", () => {
  it("of a task gives it a new version and an event, and leaves all others as they are", async () => {
    const [one, two] = [await get("1"), await get("2")];
    const events = await edit(({ master }) =>
      Object.assign(master?.tasks[1] ?? {}, { status: "done", title: "2" }),
    );
    expect(events).toMatchObject([
      {
        type: "task.updated",
        task: two.id,
        actor: { kind: "system", name: "tasks.json" },
        data: {
          localId: "2",
          changes: { title: ["Two", "2"], status: ["pending", "done"], version: [1, 2] },
        },
      },
    ]);
    expect(await get("2")).toMatchObject({ id: two.id, title: "2", status: "done", version: 2 });
    expect(await get("1")).toEqual(one);
    expect((await opened.core.tasks.get(opened.owner, two.id, two.updatedAt)).title).toBe("Two");
  });

  it("is seen by a change that was decided on the state before it", async () => {
    const seen = await get("2");
    await folder.write(write(base()).replace('"Two"', '"Zwei"'));
    const change = opened.core.tasks.update(
      opened.owner,
      seen.id,
      { status: "done" },
      { version: seen.version },
    );
    expect((await refusal(change)).code).toBe("version_mismatch");
    expect((await get("2")).title).toBe("Zwei");
    await opened.core.tasks.update(opened.owner, seen.id, { status: "done" }, { version: 2 });
    expect(JSON.parse(await folder.read()).master.tasks[1]).toMatchObject({ title: "Zwei", status: "done" });
  });

  it("in the middle of a transaction runs it again on the new state", async () => {
    let runs = 0;
    await opened.storage.transaction(opened.owner.organizationId, async (tx) => {
      runs += 1;
      const found = await tx.tasks.find({ project: opened.key, tag: "master", localId: "2" });
      if (runs === 1) await folder.write(write(base()).replace('"Two"', '"Zwei"'));
      await tx.tasks.update(found?.id ?? "", { details: `of ${found?.title}` }, null);
    });
    expect(runs).toBe(2);
    expect(await get("2")).toMatchObject({ title: "Zwei", details: "of Zwei", version: 3 });
    expect(JSON.parse(await folder.read()).master.tasks[1]).toMatchObject({
      title: "Zwei",
      details: "of Zwei",
    });
  });

  it("adds and removes tasks, subtasks and tags", async () => {
    const events = await edit((file) => {
      file.master?.tasks.splice(1, 1);
      file.master?.tasks.unshift(task(9, "Nine", { subtasks: [subtask(1, "Nine one")] }));
      Object.assign(file.master?.tasks[1] ?? {}, { subtasks: [...subtasksOfOne, subtask(3, "One three")] });
      file.fresh = { tasks: [task(1, "Fresh")], metadata: {} };
      delete file.side;
    });
    expect(kinds(events)).toEqual([
      ["tag.deleted", "side"],
      ["task.deleted", "2"],
      ["tag.created", "fresh"],
      ["task.updated", "3"],
      ["task.created", "9"],
      ["task.created", "9.1"],
      ["task.created", "1.3"],
      ["task.created", "1"],
    ]);
    const { items } = await opened.core.tasks.list(opened.owner, opened.key, "master", { level: "task" });
    expect(items.map(({ localId }) => localId)).toEqual(["9", "1", "3"]);
    // Three waited for a task that has gone: the file says so still, and the edge is kept, inactive.
    expect((await get("3")).dependencies).toEqual([]);
    expect(events[3]?.data).toMatchObject({ changes: { dependencies: [["2"], []] } });
    const { problems } = await opened.core.dependencies.validate(opened.owner, opened.key, "master");
    expect(problems.map(({ raw, problem }) => [raw, problem])).toEqual([
      ["2", "missing"],
      ["77", "missing"],
    ]);
    const made = await opened.core.tasks.create(opened.owner, opened.key, "master", { title: "Next" });
    expect(made.localId).toBe("10");
  });

  it("of references changes the edges, and keeps the others", async () => {
    const { id } = await get("3");
    await edit((file) => Object.assign(file.master?.tasks[2] ?? {}, { dependencies: [77, "1.2", 2] }));
    expect(await get("3")).toMatchObject({ id, dependencies: ["1.2", "2"], version: 2 });
    await opened.core.tasks.update(opened.owner, id, { title: "3" }, { version: 2 });
    expect(JSON.parse(await folder.read()).master.tasks[2].dependencies).toEqual([77, "1.2", 2]);
  });

  it("of the order is the new order", async () => {
    await edit((file) => file.master?.tasks.reverse());
    const { items } = await opened.core.tasks.list(opened.owner, opened.key, "master", { level: "task" });
    expect(items.map(({ localId }) => localId)).toEqual(["3", "2", "1"]);
    const text = await folder.read();
    await opened.core.tasks.update(
      opened.owner,
      at("1"),
      { title: "Last" },
      { version: (await get("1")).version },
    );
    expect(await folder.read()).toBe(text.replace('"One"', '"Last"'));
  });

  it("of what is unknown here is kept as it is written", async () => {
    const text = write(base())
      .replace('"title": "Two",', '"title": "Two",\n        "estimate": 1.50,')
      .replace('"metadata": {}', '"metadata": {\n      "updated": "x"\n    }');
    await folder.write(text);
    expect((await get("2")).extra).toEqual({ estimate: 1.5 });
    await opened.core.tasks.update(opened.owner, at("1"), { title: "Uno" }, { version: 1 });
    expect(await folder.read()).toBe(text.replace('"One"', '"Uno"'));
  });

  it("in another form of the same is no change, and is written in ours with the next one", async () => {
    const { last } = await opened.core.events.list(opened.owner, opened.key, { limit: 200 });
    await folder.write(JSON.stringify(base(), null, 4));
    expect((await get("2")).version).toBe(1);
    expect((await opened.core.events.list(opened.owner, opened.key, { limit: 200 })).last).toBe(last);
    expect(await folder.read()).toBe(JSON.stringify(base(), null, 4));
    await opened.core.tasks.update(opened.owner, at("2"), { title: "Deux" }, { version: 1 });
    expect(await folder.read()).toBe(write(base()).replace('"Two"', '"Deux"'));
  });

  it("back to the state before a change of ours is taken for what it is", async () => {
    await opened.core.tasks.update(opened.owner, at("2"), { title: "Deux" }, { version: 1 });
    await opened.core.tasks.update(opened.owner, at("2"), { title: "Dos" }, { version: 2 });
    await folder.write(write(base()).replace('"Two"', '"Deux"'));
    expect(await get("2")).toMatchObject({ title: "Deux", version: 4 });
    const again = await openFolderCore(folder.directory);
    expect((await again.core.tasks.get(again.owner, at("2"))).title).toBe("Deux");
    await again.close();
  });

  it("that was made while nobody had the folder open is taken in at the next opening", async () => {
    const { id } = await get("2");
    await opened.core.tasks.create(opened.owner, opened.key, "master", { title: "Ours" });
    await opened.close();
    await folder.write((await folder.read()).replace('"Two"', '"Zwei"'));
    opened = await openFolderCore(folder.directory);
    expect(await get("2")).toMatchObject({ id, title: "Zwei", version: 2 });
    // What the file says of our own task in its own way, a priority for none, is no edit of it.
    expect(await get("4")).toMatchObject({ title: "Ours", priority: null, version: 1 });
  });

  it("of a file with an id twice keeps the ids apart, whoever takes the next number", async () => {
    await opened.close();
    await folder.write(write({ master: { tasks: [task(1, "One"), task(1, "Also one")], metadata: {} } }));
    opened = await openFolderCore(folder.directory);
    const titles = async () => {
      const { items } = await opened.core.tasks.list(opened.owner, opened.key, "master", {});
      return items.map(({ localId, title }) => [localId, title]);
    };
    expect(await titles()).toEqual([
      ["1", "One"],
      ["2", "Also one"],
    ]);
    await opened.core.tasks.create(opened.owner, opened.key, "master", { title: "Ours" });
    const file = JSON.parse(await folder.read());
    expect(file.master.tasks.map(({ id }: Listed) => id)).toEqual([1, 1, 4]);
    await edit(({ master }) => void master?.tasks.push(task(5, "Theirs")), file);
    await edit(({ master }) => void master?.tasks.push(task(2, "Theirs too")), file);
    expect((await titles()).map(([, title]) => title)).toEqual([
      "One",
      "Also one",
      "Ours",
      "Theirs",
      "Theirs too",
    ]);
    expect(new Set((await titles()).map(([id]) => id)).size).toBe(5);
    const { id, version } = await get("5");
    await opened.core.tasks.update(opened.owner, id, { title: "Thine" }, { version });
    expect(JSON.parse(await folder.read()).master.tasks[3]).toMatchObject({ id: 5, title: "Thine" });
  });

  it("of a tag that was renamed here, or made here, leaves the order and the words of the others", async () => {
    await opened.core.tags.update(opened.owner, opened.key, "master", { name: "main" }, 1);
    await opened.core.tags.create(opened.owner, opened.key, { name: "made", description: "here" });
    await opened.core.tasks.create(opened.owner, opened.key, "made", { title: "Inside" });
    const file = JSON.parse(await folder.read());
    expect(Object.keys(file)).toEqual(["main", "side", "made"]);
    await edit((all) => Object.assign(all.side?.tasks[0] ?? {}, { status: "done" }), file);
    await edit((all) => Object.assign(all, { more: { tasks: [], metadata: {} } }), file);
    const text = await folder.read();
    await opened.core.tasks.update(opened.owner, at("1", "main"), { title: "Uno" }, { version: 1 });
    expect(await folder.read()).toBe(text.replace('"One"', '"Uno"'));
  });

  it("keeps what the file cannot say of a task that it changes", async () => {
    const claim = await opened.core.claims.claim(opened.owner, at("1"), {});
    const { id } = await get("1");
    await opened.core.comments.create(opened.owner, id, { body: "said" });
    const text = await folder.read();
    await folder.write(text.replace('"One"', '"Uno"'));
    expect(await get("1")).toMatchObject({ id, title: "Uno", claim: { id: claim.id, fence: 1 } });
    expect((await opened.core.comments.list(opened.owner, id, {})).items.length).toBe(1);
  });
});

describe("a file that cannot be read", () => {
  const lineOfTwo = write(base()).split('"Two"')[0]?.split("\n").length;
  const broken: [string, string, RegExp][] = [
    ["half written", write(base()).slice(0, 400), /ends too early|not valid JSON/],
    [
      "half merged",
      write(base()).replace(
        /^ *"title": "Two",$/m,
        '<<<<<<< HEAD\n"title": "Two",\n=======\n"title": "Zwei",\n>>>>>>> b',
      ),
      new RegExp(`Line ${lineOfTwo} has the mark of an unfinished merge`),
    ],
    [
      "with a comma too many",
      write(base()).replace('"Two",', '"Two",,'),
      new RegExp(`line ${lineOfTwo}, column 24`),
    ],
    ["empty", "", /empty/],
    ["with a member twice", '{"master":{"tasks":[{"id":1,"id":2}]}}', /\/master\/tasks\/0\/id/],
    ["not in UTF-8", "", /UTF-8/],
  ];
  it.each(broken)("%s is refused with the place, and never written over", async (name, text, sentence) => {
    if (name === "not in UTF-8") await writeFile(folder.file, Buffer.from([0x7b, 0xff, 0xfe]));
    else await folder.write(text);
    const before = await folder.read();
    for (const work of [
      () => get("1"),
      () => opened.core.tasks.create(opened.owner, opened.key, "master", { title: "No" }),
    ]) {
      const error = await refusal(work());
      expect([error.code, error.message]).toEqual(["unavailable", expect.stringMatching(sentence)]);
      expect(error.message).not.toContain(folder.directory);
    }
    expect(await folder.read()).toBe(before);
    const { migrations } = await opened.storage.check();
    expect(migrations).toMatchObject({ ok: false, detail: expect.stringMatching(sentence) });
    await folder.write(write(base()));
    expect((await get("1")).title).toBe("One");
    expect((await opened.storage.check()).migrations.ok).toBe(true);
  });

  it("for a moment only is waited for", async () => {
    const text = write(base()).replace('"Two"', '"Zwei"');
    await folder.write(text.slice(0, 300));
    const asked = get("2");
    await appendFile(folder.file, text.slice(300));
    expect((await asked).title).toBe("Zwei");
  });

  it("because it is gone is asked for, and not made anew", async () => {
    await rm(folder.file);
    expect((await refusal(get("1"))).message).toMatch(/is gone\. Put it back/);
    await folder.write(write(base()));
    expect((await get("1")).title).toBe("One");
  });
});

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ImportReport } from "../../../src/core/index.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";

const folder = process.env.SAMPLES_DIR ?? "../shared/samples";
const samples = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".json")) : [];
if (samples.length === 0) console.warn(`LEFT OUT: the imports of real files, because ${folder} is not there`);

let test: TestCore;
let key = "";
let round = 0;
beforeAll(async () => {
  test = await openTestCore();
});
afterAll(() => test.close());
beforeEach(async () => {
  round += 1;
  key = `I${round}`;
  await test.core.projects.create(test.owner, { key, name: key });
});

const importText = (text: string, query = {}) => test.core.importExport.import(test.owner, key, text, query);
const exportText = (query = {}) => test.core.importExport.export(test.owner, key, query);
const file = (tasks: object[], more = {}) => JSON.stringify({ master: { tasks, ...more } }, null, 2);
const plain = (id: number | string, more = {}) => ({ id, title: `Task ${id}`, status: "pending", ...more });

describe.each(samples.map((name) => [name]))("%s", (name) => {
  const text = readFileSync(join(folder, name), "utf8");

  it("is reported by a dry run, imported, and given back byte for byte", async () => {
    const dry = await importText(text, { dryRun: true, mode: "quarantine" });
    expect(await exportText()).not.toBe(text);
    const run = await importText(text, { mode: "quarantine" });
    expect(run).toEqual({ ...dry, dryRun: false, id: expect.any(String) });
    expect(await exportText()).toBe(text);
    const { items } = await test.core.importExport.listRuns(test.owner, key, {});
    expect(items).toMatchObject([{ id: run.id, report: run }]);
  });

  it("is refused by strict with every problem of the dry run, or has none; and then nothing was written", async () => {
    const { problems } = await importText(text, { dryRun: true });
    const events = await test.core.events.list(test.owner, key, {});
    const outcome = await importText(text).catch(
      (error: { details: { report: ImportReport } }) => error.details.report,
    );
    expect(outcome.problems).toEqual(problems);
    expect(outcome.accepted).toBe(problems.length === 0);
    if (problems.length > 0) {
      expect(await test.core.events.list(test.owner, key, {})).toEqual(events);
      expect((await test.core.tags.list(test.owner, key)).map((tag) => tag.name)).toEqual(["master"]);
    }
  });

  it("can be worked on: a changed status is all that differs", async () => {
    await importText(text, { mode: "quarantine" });
    const [tag] = await test.core.tags.list(test.owner, key);
    const { items } = await test.core.tasks.list(test.owner, key, tag?.name ?? "", {
      level: "task",
      limit: 1,
    });
    const [task] = items;
    await test.core.tasks.update(test.owner, task?.id ?? "", { title: "Changed by us" }, { version: 1 });
    const [before, after] = [text.split("\n"), (await exportText()).split("\n")];
    expect(after.length).toBe(before.length);
    const changed = after.filter((line, i) => line !== before[i]);
    expect(changed).toEqual([expect.stringContaining('"title": "Changed by us"')]);
  });
});

describe("an import", () => {
  it("refuses strictly with JSON pointers and changes nothing", async () => {
    const text = file([plain(1, { dependencies: [7] }), plain(1), { id: 3, status: "todo" }]);
    await expect(importText(text)).rejects.toMatchObject({
      code: "import_refused",
      errors: expect.arrayContaining([
        expect.objectContaining({ pointer: "/master/tasks/0/dependencies/0" }),
        expect.objectContaining({ pointer: "/master/tasks/1/id" }),
        expect.objectContaining({ pointer: "/master/tasks/2/status" }),
      ]),
    });
    expect((await test.core.tasks.list(test.owner, key, "master", {})).items).toEqual([]);
  });

  it("never infers a status: a done task over open subtasks and open dependencies stays done", async () => {
    await importText(
      file([
        plain(1, { status: "done", dependencies: [2], subtasks: [plain(1)] }),
        plain(2, { status: "completed" }),
      ]),
    );
    const get = (localId: string) => test.core.tasks.get(test.owner, `${key}:master:${localId}`);
    expect(await get("1")).toMatchObject({ status: "done", dependencies: ["2"] });
    expect(await get("1.1")).toMatchObject({ status: "pending" });
    expect(await get("2")).toMatchObject({ status: "done", extra: { status: "completed" } });
  });

  it("goes on numbering behind the file", async () => {
    await importText(file([plain(3, { subtasks: [plain(4)] }), plain(1)]));
    expect((await test.core.tasks.create(test.owner, key, "master", { title: "New" })).localId).toBe("4");
    const sub = await test.core.tasks.createSubtask(test.owner, `${key}:master:3`, { title: "New" });
    expect(sub.localId).toBe("3.5");
  });

  it("never mixes with tasks that are or were there, and takes a second file beside the first", async () => {
    await importText(file([plain(1)]));
    await expect(importText(file([plain(1)]))).rejects.toMatchObject({
      errors: [{ pointer: "/master", detail: expect.stringContaining("tag_in_use") }],
    });
    const task = await test.core.tasks.get(test.owner, `${key}:master:1`);
    await test.core.tasks.delete(test.owner, task.id, { version: 1 });
    await expect(importText(file([plain(1)]))).rejects.toMatchObject({ code: "import_refused" });
    await importText(JSON.stringify([plain(1)]), { tag: "second" });
    expect(Object.keys(JSON.parse(await exportText()))).toEqual(["master", "second"]);
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["no object", "7"],
    ["a member twice", '{"master":{"tasks":[{"id":1,"id":2,"title":"x","status":"pending"}]}}'],
    ["100,000 levels", "[".repeat(100_000) + "]".repeat(100_000)],
    ["a NUL", '{"master":{"tasks":[{"id":1,"title":"a\\u0000b","status":"pending"}]}}'],
    ["half a character", '{"master":{"tasks":[{"id":1,"title":"a\\ud800","status":"pending"}]}}'],
    ["half a character in a name", '{"master":{"tasks":[],"\\udc00":1}}'],
  ])("refuses %s in both modes", async (_, text) => {
    for (const mode of ["strict", "quarantine"]) {
      await expect(importText(text, { mode })).rejects.toMatchObject({ code: "import_refused" });
    }
    expect((await importText(text, { dryRun: true })).accepted).toBe(false);
    expect(await test.core.importExport.listRuns(test.owner, key, {})).toEqual({
      items: [],
      nextCursor: null,
    });
  });

  it("happens once under an Idempotency-Key", async () => {
    const ctx = { ...test.owner, idempotencyKey: `import ${key}` };
    const text = file([plain(1)]);
    const runs = await Promise.all(
      Array.from({ length: 10 }, () => test.core.importExport.import(ctx, key, text, {})),
    );
    expect(new Set(runs.map((run) => JSON.stringify(run))).size).toBe(1);
    expect((await test.core.importExport.listRuns(test.owner, key, {})).items).toHaveLength(1);
  });

  it("of one file by two clients at once is one import and one refusal", async () => {
    const text = file(Array.from({ length: 50 }, (_, i) => plain(i + 1)));
    const results = await Promise.allSettled([importText(text), importText(text)]);
    expect(results.map((result) => result.status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect((await test.core.tasks.list(test.owner, key, "master", { limit: 200 })).items).toHaveLength(50);
  });
});

describe("an export", () => {
  it("of a renamed tag, a deleted and a new task says just that", async () => {
    // As text, since a JavaScript object would put the members "2" and "10" in an order of its own.
    await importText(file([plain(1), plain(2)], { x: 0 }).replace('"x": 0', '"10": 1,\n    "2": 2'));
    const task = await test.core.tasks.get(test.owner, `${key}:master:1`);
    await test.core.tasks.delete(test.owner, task.id, { version: 1 });
    await test.core.tasks.create(test.owner, key, "master", { title: "New", dependencies: ["2"] });
    const tag = await test.core.tags.get(test.owner, key, "master");
    await test.core.tags.update(test.owner, key, "master", { name: "trunk" }, tag.version);
    const text = await exportText();
    const exported = JSON.parse(text);
    expect(Object.keys(exported)).toEqual(["trunk"]);
    expect(exported.trunk.tasks.map((one: { id: number }) => one.id)).toEqual([2, 3]);
    expect(exported.trunk.tasks[1].dependencies).toEqual([2]);
    expect(text.indexOf('"10"')).toBeLessThan(text.indexOf('"2": 2'));
  });

  it("of a project that was made here is a file that imports again without a problem", async () => {
    const one = await test.core.tasks.create(test.owner, key, "master", {
      title: "One",
      labels: ["x"],
      effort: 2,
    });
    await test.core.tasks.createSubtask(test.owner, one.id, { title: "Part" });
    await test.core.tasks.createSubtask(test.owner, one.id, { title: "Part", dependencies: ["1.1"] });
    const text = await exportText();
    expect(await exportText({ form: "canonical" })).toBe(text);
    await test.core.projects.create(test.owner, { key: `${key}B`, name: "again" });
    const report = await test.core.importExport.import(test.owner, `${key}B`, text, {});
    expect(report).toMatchObject({ accepted: true, problems: [] });
    const again = await test.core.tasks.get(test.owner, `${key}B:master:1.2`);
    expect(again).toMatchObject({ title: "Part", dependencies: ["1.1"] });
  });
});

describe("a copied tag", () => {
  it("has the same tasks, local ids and edges, and goes its own way", async () => {
    await importText(file([plain(1, { dependencies: [2, 9] }), plain(2, { subtasks: [plain(1)] })]), {
      mode: "quarantine",
    });
    await test.core.tags.copy(test.owner, key, "master", { name: "copy" });
    const copy = await test.core.tasks.get(test.owner, `${key}:copy:1`);
    expect(copy.dependencies).toEqual(["2"]);
    expect((await test.core.dependencies.validate(test.owner, key, "copy")).problems).toHaveLength(1);
    await test.core.tasks.update(test.owner, copy.id, { title: "Other" }, { version: 1 });
    expect((await test.core.tasks.get(test.owner, `${key}:master:1`)).title).toBe("Task 1");
    expect((await test.core.tasks.create(test.owner, key, "copy", { title: "New" })).localId).toBe("3");
  });
});

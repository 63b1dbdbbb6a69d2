import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AppError } from "../../../src/core/errors.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";

let test: TestCore;
let id = "";
beforeAll(async () => {
  test = await openTestCore();
  await test.core.projects.create(test.owner, { key: "ODD", name: "Odd" });
  id = (await test.core.tasks.create(test.owner, "ODD", "master", { title: "One" })).id;
});
afterAll(() => test.close());

describe("an instant", () => {
  it.each([
    "yesterday",
    "2026-06-30T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "0000-00-00T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "+275760-09-13T00:00:00Z",
  ])("%s is refused, naming the place", async (asOf) => {
    await expect(test.core.tasks.get(test.owner, id, asOf)).rejects.toMatchObject({
      code: "invalid_input",
      errors: [{ pointer: "/asOf" }],
    });
  });

  it.each(["0001-01-01T00:00:00Z", "1970-01-01T00:00:00+23:59"])("%s was before the task", async (asOf) => {
    await expect(test.core.tasks.get(test.owner, id, asOf)).rejects.toMatchObject({ code: "not_found" });
  });

  it("is the task's own: at its updatedAt a version is shown, and at its createdAt the first one", async () => {
    const made = await test.core.tasks.create(test.owner, "ODD", "master", { title: "Made" });
    await sleep(5);
    const changed = await test.core.tasks.update(test.owner, made.id, { title: "Changed" }, { version: 1 });
    expect(await test.core.tasks.get(test.owner, made.id, made.createdAt)).toEqual(made);
    expect(await test.core.tasks.get(test.owner, made.id, made.updatedAt)).toEqual(made);
    expect(await test.core.tasks.get(test.owner, made.id, changed.updatedAt)).toEqual(changed);
  });

  it("at the end of the calendar shows the present", async () => {
    const now = await test.core.tasks.get(test.owner, id);
    expect(await test.core.tasks.get(test.owner, id, "9999-12-31T23:59:59Z")).toEqual(now);
  });
});

describe("a value", () => {
  const metadata = {
    tiny: 5e-324,
    huge: 1.7976931348623157e308,
    exact: 9007199254740991,
    date: "2026-01-01T00:00:00Z",
    // What the database layer marks values of its own with.
    $type: "DateTime",
    nested: { prisma__type: "date", prisma__value: "2026-01-01" },
    "": [null, { "a/b~c": "\u2028" }],
  };

  it("comes back as it was", async () => {
    const values = {
      title: "2026-01-01T00:00:00.000Z",
      labels: ["{a,b}", '"', "\\", "NULL", "null", " "],
      metadata,
      assignee: "$1",
    };
    const task = await test.core.tasks.create(test.owner, "ODD", "master", values);
    expect(await test.core.tasks.get(test.owner, task.id)).toMatchObject(values);
  });

  it.each([Number.POSITIVE_INFINITY, Number.NaN])(
    "%s is refused rather than stored as null",
    async (number) => {
      const input = { title: "Number", metadata: { deep: [number] } };
      await expect(test.core.tasks.create(test.owner, "ODD", "master", input)).rejects.toMatchObject({
        code: "invalid_input",
        errors: [{ pointer: "/input/metadata/deep/0" }],
      });
    },
  );

  it("nested too deep to be walked is refused", async () => {
    const input = { title: "Deep", metadata: deep(20_000) };
    await expect(test.core.tasks.create(test.owner, "ODD", "master", input)).rejects.toMatchObject({
      code: "invalid_input",
    });
  });

  it("as long as may be fits every index: names of four bytes a character", async () => {
    const name = "𝔸".repeat(200);
    await test.core.tags.create(test.owner, "ODD", { name });
    await test.core.agents.create(test.owner, { name, capabilities: ["𝔸".repeat(100)] });
    expect(await test.core.tags.get(test.owner, "ODD", name)).toMatchObject({ name });
  });
});

describe("nothing that a caller can send is an error of the database", () => {
  const reference = () => `ODD:master:1`;
  const big = 2 ** 53 - 1;
  const calls: [string, () => Promise<unknown>][] = [
    [
      "words too long for the index",
      () => test.core.tasks.search(test.owner, "ODD", { q: "x".repeat(5000) }),
    ],
    ["search syntax", () => test.core.tasks.search(test.owner, "ODD", { q: "\"-!&|:*<-> ' or -" })],
    [
      "a title of one long word",
      () => test.core.tasks.create(test.owner, "ODD", "master", { title: "y".repeat(5000) }),
    ],
    ["a lone surrogate as local id", () => test.core.tasks.get(test.owner, "ODD:master:\ud800")],
    [
      "a lone surrogate as assignee",
      () => test.core.tasks.list(test.owner, "ODD", "master", { assignee: "\ud800" }),
    ],
    [
      "a lone surrogate as label",
      () => test.core.tasks.list(test.owner, "ODD", "master", { label: "\udc00" }),
    ],
    ["NUL as tag", () => test.core.tags.get(test.owner, "ODD", "\0")],
    ["NUL as key", () => test.core.projects.get(test.owner, "\0")],
    ["a huge time to live", () => test.core.claims.claim(test.owner, reference(), { ttlSeconds: big })],
    ["a huge version", () => test.core.projects.delete(test.owner, "ODD", big)],
    ["a fraction as version", () => test.core.tags.delete(test.owner, "ODD", "master", 1.5)],
    ["a huge place in the log", () => test.core.events.list(test.owner, "ODD", { after: big })],
    ["an actor that is no UUID", () => test.core.events.audit(test.owner, { actor: "nobody" })],
    ["a slug with a lone surrogate", () => test.core.organizations.get(test.owner, "\ud800")],
    [
      "an Idempotency-Key with NUL",
      () =>
        test.core.tasks.create({ ...test.owner, idempotencyKey: "\0\ud800" }, "ODD", "master", {
          title: "Keyed",
        }),
    ],
  ];
  it.each(calls)("%s", async (_, call) => {
    await call().catch((error: unknown) => {
      expect(error).toBeInstanceOf(AppError);
      expect(error).not.toMatchObject({ code: "unavailable" });
    });
  });

  it.each(["strict", "quarantine"] as const)("a file with what cannot be kept, %s", async (mode) => {
    const text = `{"odd":{"tasks":[
      {"id":1,"title":"One","status":"pending","dependencies":["\\u0000x","\\ud800","9\\u0000"],"\\udc00k":1},
      {"id":2,"title":"T\\u0000wo","status":"pend\\u0000ing","priority":"\\ud800","dependencies":[1e400]}]}}`;
    await expect(test.core.importExport.import(test.owner, "ODD", text, { mode })).rejects.toMatchObject({
      code: "import_refused",
    });
  });
});

describe("a cursor", () => {
  it("is never longer than a cursor may be, however long the words searched for", async () => {
    const q = "𝔸".repeat(500);
    for (const title of ["First", "Second"])
      await test.core.tasks.create(test.owner, "ODD", "master", { title: `${title} ${q}` });
    const page = await test.core.tasks.search(test.owner, "ODD", { q, limit: 1 });
    expect(page.nextCursor?.length).toBeLessThanOrEqual(2000);
    const rest = await test.core.tasks.search(test.owner, "ODD", {
      q,
      limit: 1,
      cursor: page.nextCursor ?? "",
    });
    expect([...page.items, ...rest.items].map((task) => task.title.split(" ")[0]).toSorted()).toEqual([
      "First",
      "Second",
    ]);
    await expect(
      test.core.tasks.search(test.owner, "ODD", { q: "first", cursor: page.nextCursor ?? "" }),
    ).rejects.toMatchObject({ code: "invalid_input" });
  });
});

describe("a move", () => {
  it("does not take the task itself for a sibling at a place where it is not yet", async () => {
    const [parent, task] = [
      await test.core.tasks.create(test.owner, "ODD", "master", { title: "Parent" }),
      await test.core.tasks.create(test.owner, "ODD", "master", { title: "Task" }),
    ];
    await expect(
      test.core.tasks.move(test.owner, task.id, { parent: parent.id, after: task.id }, { version: 1 }),
    ).rejects.toMatchObject({ code: "invalid_input", errors: [{ pointer: "/after" }] });
  });
});

function deep(levels: number): Record<string, unknown> {
  let value: Record<string, unknown> = {};
  for (let i = 0; i < levels; i += 1) value = { a: value };
  return value;
}

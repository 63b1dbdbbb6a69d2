import { describe, expect, it } from "vitest";
import { renderExport } from "../../../src/core/import-export/export.ts";
import type { ExportInput, ExportTag, ExportTask } from "../../../src/core/import-export/export-input.ts";
import { planImport } from "../../../src/core/import-export/plan.ts";
import { toExportInput } from "./round-trip.ts";

const imported = (text: string): ExportInput => toExportInput(planImport(text, { defaultTag: "master" }));

function tag(input: ExportInput, place = 0): ExportTag {
  const found = input.tags[place];
  if (found === undefined) throw new Error(`there is no tag ${place}`);
  return found;
}

function task(input: ExportInput, localId: string, place = 0): ExportTask {
  const found = tag(input, place).tasks.find((one) => one.localId === localId);
  if (found === undefined) throw new Error(`there is no task ${localId}`);
  return found;
}

const newTask = (localId: string, values: Partial<ExportTask> = {}): ExportTask => {
  const segment = localId.split(".").at(-1) ?? "";
  return {
    id: `new ${localId}`,
    localId,
    segment,
    number: Number(segment),
    parentId: null,
    source: null,
    updatedAt: "2026-01-03T00:00:00.000Z",
    title: `New ${localId}`,
    description: "",
    details: "",
    testStrategy: "",
    status: "pending",
    priority: null,
    assignee: null,
    effort: null,
    actualEffort: null,
    labels: [],
    complexity: null,
    metadata: {},
    extra: {},
    dependencies: [],
    ...values,
  };
};

const edge = (localId: string) => ({ localId, raw: null, problem: null });

/** The lines that a change takes out (-) and puts in (+), without their indentation. */
function diff(text: string, change: (input: ExportInput) => void): string[] {
  const input = imported(text);
  expect(renderExport(input, "preserve")).toBe(text);
  change(input);
  const before = text.split("\n");
  const after = renderExport(input, "preserve").split("\n");
  let head = 0;
  while (head < before.length && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < before.length - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  return [
    ...before.slice(head, before.length - tail).map((line) => `-${line.trim()}`),
    ...after.slice(head, after.length - tail).map((line) => `+${line.trim()}`),
  ];
}

const pretty = (value: unknown): string => JSON.stringify(value, null, 2);

const file = pretty({
  master: {
    tasks: [
      {
        id: "1",
        status: "completed",
        title: "One",
        details: null,
        dependencies: ["2", 2, 9],
        owner: { name: "Ada", address: { street: "S", at: 1 } },
        subtasks: [
          { id: 1.1, title: "Sub one", status: "todo", note: "n" },
          { id: 2, title: "Sub two", status: "done", dependencies: [1], subtasks: [] },
        ],
      },
      { id: 2, title: "Two", status: "pending", priority: "high", dependencies: [], labels: ["a"] },
    ],
    metadata: { updated: "u", created: "c", description: "Main" },
  },
  note: { keep: [1, 2] },
  second: [{ id: "x", title: "X", status: "done", dependencies: "1,2" }],
});

describe("preserve", () => {
  it("changes only the member that changed", () => {
    expect(diff(file, (input) => (task(input, "1").status = "in-progress"))).toEqual([
      '-"status": "completed",',
      '+"status": "in-progress",',
    ]);
    expect(diff(file, (input) => (task(input, "1").title = 'Ein "s"'))).toEqual([
      '-"title": "One",',
      '+"title": "Ein \\"s\\"",',
    ]);
    expect(diff(file, (input) => (task(input, "1.1").status = "pending"))).toEqual([
      '-"status": "todo",',
      '+"status": "pending",',
    ]);
    expect(diff(file, (input) => (task(input, "1").details = "D"))).toEqual([
      '-"details": null,',
      '+"details": "D",',
    ]);
  });

  it("gives the old text back when a change is undone", () => {
    const input = imported(file);
    const first = task(input, "1");
    first.status = "in-progress";
    first.status = "done";
    expect(renderExport(input, "preserve")).toBe(file);
  });

  it("writes a field that the file did not have only when it is set", () => {
    expect(diff(file, (input) => (task(input, "2").assignee = "Ada"))).toEqual([
      "-]",
      "+],",
      '+"assignee": "Ada"',
    ]);
    expect(diff(file, (input) => (task(input, "1.1").description = "D"))).toEqual([
      '-"note": "n"',
      '+"note": "n",',
      '+"description": "D"',
    ]);
  });

  it("keeps a task's priority readable for the peer when it is cleared, and leaves a subtask's out", () => {
    expect(diff(file, (input) => (task(input, "2").priority = null))).toEqual([
      '-"priority": "high",',
      '+"priority": "medium",',
    ]);
    const text = pretty([
      {
        id: 1,
        title: "t",
        status: "done",
        subtasks: [{ id: 1, priority: "low", title: "t", status: "done" }],
      },
    ]);
    expect(diff(text, (input) => (task(input, "1.1").priority = null))).toEqual(['-"priority": "low",']);
  });

  it("changes what is inside an unknown member, adds to extra and takes from it", () => {
    const owner = { address: { at: 2, street: "S" }, name: "Ada" };
    expect(diff(file, (input) => (task(input, "1").extra.owner = owner))).toEqual(['-"at": 1', '+"at": 2']);
    expect(diff(file, (input) => delete task(input, "1.1").extra.note)).toEqual([
      '-"status": "todo",',
      '-"note": "n"',
      '+"status": "todo"',
    ]);
    expect(diff(file, (input) => (task(input, "1.1").extra.more = [1]))).toEqual([
      '-"note": "n"',
      '+"note": "n",',
      '+"more": [',
      "+1",
      "+]",
    ]);
  });

  it("takes what is kept aside from extra while the field says no more", () => {
    const text = pretty([{ id: 1, title: "t", status: "done", details: ["a"], assignee: { a: 1 } }]);
    expect(diff(text, (input) => (task(input, "1").extra.details = ["b"]))).toEqual(['-"a"', '+"b"']);
    expect(diff(text, (input) => (task(input, "1").details = "D"))).toEqual([
      '-"details": [',
      '-"a"',
      "-],",
      '+"details": "D",',
    ]);
    expect(diff(text, (input) => (task(input, "1").assignee = "Bo"))).toEqual([
      '-"assignee": {',
      '-"a": 1',
      "-}",
      '+"assignee": "Bo"',
    ]);
  });

  it("takes out one dependency, active or not, and puts a new one behind", () => {
    const remove = (place: number) => (input: ExportInput) => task(input, "1").dependencies.splice(place, 1);
    expect(diff(file, remove(0))).toEqual(['-"2",']);
    expect(diff(file, remove(2))).toEqual(["-2,", "-9", "+2"]);
    expect(diff(file, (input) => task(input, "2").dependencies.push(edge("1.1")))).toEqual([
      '-"dependencies": [],',
      '+"dependencies": [',
      '+"1.1"',
      "+],",
    ]);
    expect(diff(file, (input) => task(input, "1.1").dependencies.push(edge("1.2")))).toEqual([
      '-"note": "n"',
      '+"note": "n",',
      '+"dependencies": [',
      '+"1.2"',
      "+]",
    ]);
  });

  it("keeps a text of dependencies whole, until there is something beside it", () => {
    expect(diff(file, (input) => (task(input, "x", 1).dependencies = []))).toEqual([
      '-"dependencies": "1,2"',
      '+"dependencies": []',
    ]);
    const added = (input: ExportInput) => {
      tag(input, 1).tasks.push(newTask("3"));
      task(input, "x", 1).dependencies.push(edge("3"));
    };
    expect(diff(file, added).slice(0, 5)).toEqual([
      '-"dependencies": "1,2"',
      '+"dependencies": [',
      '+"1,2",',
      "+3",
      "+]",
    ]);
  });

  it("writes a reference anew when its old text no longer means the target", () => {
    const moved = (input: ExportInput) => {
      const target = task(input, "1.1");
      target.segment = "7";
      target.localId = "1.7";
      for (const one of task(input, "1.2").dependencies) one.localId = "1.7";
    };
    const lines = diff(file, moved);
    expect(lines).toContain('+"id": 7,');
    expect(lines).toContain('+"1.7"');
  });

  it("leaves out an edge that the file would say of another task", () => {
    const input = imported(file);
    tag(input).tasks.push(newTask("3", { parentId: task(input, "2").id, localId: "2.1", segment: "1" }));
    tag(input).tasks.push(
      newTask("2.2", { parentId: task(input, "2").id, dependencies: [edge("1"), edge("2.1")] }),
    );
    const again = planImport(renderExport(input, "preserve"), { defaultTag: "master" });
    const from = again.tags[0]?.tasks.findIndex(({ title }) => title === "New 2.2");
    expect(again.tags[0]?.edges.filter((one) => one.from === from)).toEqual([
      { from, to: (from ?? 0) - 1, position: 0, raw: null, problem: null },
    ]);
  });

  it("puts new tasks behind the old ones, in canonical form", () => {
    const add = (input: ExportInput) =>
      tag(input).tasks.push(newTask("3", { priority: "low", extra: { k: 1 } }));
    expect(diff(file, add)).toEqual([
      "+},",
      "+{",
      '+"id": 3,',
      '+"title": "New 3",',
      '+"description": "New 3",',
      '+"details": "",',
      '+"testStrategy": "",',
      '+"status": "pending",',
      '+"priority": "low",',
      '+"dependencies": [],',
      '+"subtasks": [],',
      '+"k": 1',
    ]);
  });

  it("leaves out deleted tasks and subtasks, and adds the first subtask where there was no list", () => {
    const removed = (localId: string) => (input: ExportInput) => {
      tag(input).tasks = tag(input).tasks.filter((one) => one.localId !== localId);
    };
    expect(diff(file, removed("1.1"))).toEqual([
      '-"id": 1.1,',
      '-"title": "Sub one",',
      '-"status": "todo",',
      '-"note": "n"',
      "-},",
    ]);
    const add = (input: ExportInput) =>
      tag(input).tasks.push(newTask("2.1", { parentId: task(input, "2").id }));
    expect(diff(file, add)).toContain('+"subtasks": [');
  });

  it("follows the order of the tasks", () => {
    const input = imported(file);
    tag(input).tasks.reverse();
    const names = [...renderExport(input, "preserve").matchAll(/"title": "(\w+( \w+)?)"/g)].map(
      ([, name]) => name,
    );
    expect(names).toEqual(["Two", "One", "Sub two", "Sub one", "X"]);
  });

  it("renames a tag in its place, leaves out a deleted one and puts a new one behind", () => {
    expect(diff(file, (input) => (tag(input).name = "main"))).toEqual(['-"master": {', '+"main": {']);
    const input = imported(file);
    input.tags.splice(1, 1, { ...tag(input, 1), name: "third", source: null });
    const keys = Object.keys(JSON.parse(renderExport(input, "preserve")));
    expect(keys).toEqual(["master", "note", "third"]);
  });

  it("lets a tag have the name of a member that was none", () => {
    const input = imported(file);
    tag(input, 1).name = "note";
    expect(Object.keys(JSON.parse(renderExport(input, "preserve")))).toEqual(["master", "note"]);
  });

  it("changes a tag's description and metadata in their places", () => {
    expect(diff(file, (input) => (tag(input).description = "Core"))).toEqual([
      '-"description": "Main"',
      '+"description": "Core"',
    ]);
    expect(diff(file, (input) => (tag(input).metadata.created = "d"))).toEqual([
      '-"created": "c",',
      '+"created": "d",',
    ]);
    const described = JSON.parse(
      renderExport(
        { ...imported(file), tags: [{ ...tag(imported(file), 1), description: "Now" }] },
        "preserve",
      ),
    );
    expect(described.second.metadata).toEqual({ description: "Now" });
    expect(described.second.tasks).toHaveLength(1);
  });

  it("keeps a flat file and a list as such while they can hold all there is", () => {
    const list = pretty([{ id: 1, title: "t", status: "done" }]);
    expect(diff(list, (input) => (task(input, "1").title = "u"))).toEqual([
      '-"title": "t",',
      '+"title": "u",',
    ]);
    const flat = `${pretty({ version: 1, tasks: [], metadata: { a: 1 } })}\n`;
    expect(renderExport(imported(flat), "preserve")).toBe(flat);
    const both = imported(flat);
    both.tags.push({ ...tag(imported(list)), name: "other" });
    expect(JSON.parse(renderExport(both, "preserve"))).toEqual({
      master: { version: 1, tasks: [], metadata: { a: 1 } },
      other: [{ id: 1, title: "t", status: "done" }],
    });
    const renamed = imported(list);
    tag(renamed).name = "main";
    expect(Object.keys(JSON.parse(renderExport(renamed, "preserve")))).toEqual(["main"]);
  });

  it("keeps unusable, missing and repeated ids as they were, until something new refers to them", () => {
    const odd = pretty([
      { id: 1, title: "a", status: "done" },
      {
        title: "b",
        status: "done",
        subtasks: [
          { id: 1, title: "c", status: "done" },
          { id: 2, title: "d", status: "done", dependencies: [1] },
        ],
      },
      { id: 1, title: "e", status: "done", subtasks: [{ id: "1.1", title: "f", status: "done" }] },
      { id: 3.5, title: "g", status: "done", dependencies: [1] },
    ]);
    expect(diff(odd, () => {})).toEqual([]);
    expect(diff(odd, (input) => task(input, "1").dependencies.push(edge("2")))).toEqual([
      '-"status": "done"',
      "-},",
      "-{",
      '+"status": "done",',
      '+"dependencies": [',
      "+2",
      "+]",
      "+},",
      "+{",
      '+"id": 2,',
    ]);
    expect(diff(odd, (input) => task(input, "1").dependencies.push(edge("2.2")))).toEqual(
      expect.arrayContaining(['+"id": 2,', '+"2.2"']),
    );
  });

  it("keeps names, numbers and texts as they were spelled", () => {
    const text =
      '[\n  {\n    "id": 1.0,\n    "title": "\\u0041\\/",\n    "status": "done",\n    "__proto__": {\n      "10": 1.50,\n      "2": [],\n      "a": {},\n      "\\u0062": -0\n    },\n    "big": 12345678901234567890\n  }\n]\n';
    expect(renderExport(imported(text), "preserve")).toBe(text);
  });

  it("writes canonically what was never imported", () => {
    const input = { project: null, tags: [{ ...tag(imported(file)), source: null, tasks: [newTask("1")] }] };
    expect(renderExport(input, "preserve")).toBe(renderExport(input, "canonical"));
  });
});

describe("canonical", () => {
  const canonical = () => JSON.parse(renderExport(imported(file), "canonical"));

  it("is the tagged form, with all that the peer needs of each task", () => {
    expect(canonical()).toEqual({
      master: {
        tasks: [
          {
            id: 1,
            title: "One",
            description: "One",
            details: "",
            testStrategy: "",
            status: "done",
            priority: "medium",
            dependencies: [2],
            subtasks: [
              {
                id: 1,
                title: "Sub one",
                description: "",
                status: "deferred",
                dependencies: [],
                details: "",
                testStrategy: "",
                note: "n",
              },
              {
                id: 2,
                title: "Sub two",
                description: "",
                status: "done",
                dependencies: ["1.1"],
                details: "",
                testStrategy: "",
              },
            ],
            owner: { name: "Ada", address: { street: "S", at: 1 } },
          },
          {
            id: 2,
            title: "Two",
            description: "Two",
            details: "",
            testStrategy: "",
            status: "pending",
            priority: "high",
            dependencies: [],
            subtasks: [],
            labels: ["a"],
          },
        ],
        metadata: { created: "c", updated: "2026-01-02T03:04:05.678Z", description: "Main" },
      },
      second: {
        tasks: [
          {
            id: 1,
            title: "X",
            description: "X",
            details: "",
            testStrategy: "",
            status: "done",
            priority: "medium",
            dependencies: [],
            subtasks: [],
          },
        ],
        metadata: {
          created: "2026-01-01T00:00:00.000Z",
          updated: "2026-01-02T03:04:05.678Z",
          description: "",
        },
      },
    });
  });

  it("is written in order, with two spaces and a newline at the end", () => {
    const text = renderExport(imported(file), "canonical");
    expect(text).toBe(`${JSON.stringify(JSON.parse(text), null, 2)}\n`);
    expect(Object.keys(canonical().master.tasks[0])).toEqual([
      "id",
      "title",
      "description",
      "details",
      "testStrategy",
      "status",
      "priority",
      "dependencies",
      "subtasks",
      "owner",
    ]);
  });

  it("writes every field that is set, and reads it again", () => {
    const values = {
      assignee: "Ada",
      effort: 2,
      actualEffort: 3.5,
      labels: ["a"],
      complexity: { score: 5, reasoning: "r", recommendedSubtasks: 3, expansionPrompt: "p" },
      metadata: { m: 1 },
    };
    const input = {
      project: null,
      tags: [{ ...tag(imported(file)), source: null, tasks: [newTask("1", values)] }],
    };
    const again = planImport(renderExport(input, "canonical"), { defaultTag: "master" });
    expect(again.problems).toEqual([]);
    expect(again.tags[0]?.tasks[0]).toMatchObject({ ...values, extra: {} });
  });

  it("gives numbers to tasks whose ids cannot be used", () => {
    const odd = imported(
      pretty([
        { id: 1, title: "a", status: "done" },
        { id: 1, title: "b", status: "done" },
        { title: "c", status: "done" },
      ]),
    );
    expect(
      JSON.parse(renderExport(odd, "canonical")).master.tasks.map((one: { id: number }) => one.id),
    ).toEqual([1, 2, 3]);
  });

  it("writes an empty project as an empty object", () => {
    expect(renderExport({ project: null, tags: [] }, "canonical")).toBe("{}\n");
  });

  it("gives numbers to tasks whose ids are digits too many to count on from", () => {
    const ids = '"a", 12345678901234567890, "b", 7';
    const tasks = ids.split(", ").map((id) => `{ "id": ${id}, "title": "t", "status": "pending" }`);
    const input = imported(`{ "master": { "tasks": [${tasks.join(", ")}] } }`);
    const text = renderExport(input, "canonical");
    expect(JSON.parse(text).master.tasks.map(({ id }: { id: number }) => id)).toEqual([8, 9, 10, 7]);
    expect(planImport(text, { defaultTag: "master" }).problems).toEqual([]);
  });
});

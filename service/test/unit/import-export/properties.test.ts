import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findCycles } from "../../../src/core/import-export/cycles.ts";
import { renderExport } from "../../../src/core/import-export/export.ts";
import type { ExportInput, ExportTask } from "../../../src/core/import-export/export-input.ts";
import { planImport } from "../../../src/core/import-export/plan.ts";
import { toExportInput } from "./round-trip.ts";

/** JSON with the order of members and the text of scalars as given, which no JavaScript value can say. */
type Doc = string | { items: Doc[] } | { members: [string, Doc][] };

/** As JSON.stringify(value, null, 2) writes. */
function write(doc: Doc, indent = ""): string {
  if (typeof doc === "string") return doc;
  const deeper = `${indent}  `;
  const [open, close, parts] =
    "items" in doc
      ? ["[", "]", doc.items.map((item) => write(item, deeper))]
      : ["{", "}", doc.members.map(([key, value]) => `${JSON.stringify(key)}: ${write(value, deeper)}`)];
  return parts.length === 0
    ? `${open}${close}`
    : `${open}\n${deeper}${parts.join(`,\n${deeper}`)}\n${indent}${close}`;
}

const objectOf = (members: fc.Arbitrary<[string, Doc][]>): fc.Arbitrary<Doc> =>
  members.map((list) => ({ members: list }));
const uniqueMembers = (key: fc.Arbitrary<string>, value: fc.Arbitrary<Doc>, maxLength: number) =>
  fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength });

const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 8 }).filter((value) => !value.includes("\0")),
  fc.constantFrom("한국어", "مهمة", "🚀", 'a"b\\c', "\u2028", "line\nline"),
);
const textJson = fc.oneof(
  text.map((value) => JSON.stringify(value)),
  fc.constantFrom('"\\u0061"', '"\\/"', '"\\ud83d\\ude80"'),
);
const scalar: fc.Arbitrary<Doc> = fc.oneof(
  textJson,
  fc.constantFrom(
    "true",
    "false",
    "null",
    "0",
    "-0",
    "1.50",
    "1e2",
    "12345678901234567890",
    "3.0",
    "0.1",
    "1E-7",
  ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
);
const name = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "10",
      "2",
      "__proto__",
      "constructor",
      "a",
      "bb",
      "parentId",
      "updatedAt",
      "키",
    ),
  },
  { weight: 1, arbitrary: text },
);
const { value } = fc.letrec<{ value: Doc }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }).map((items) => ({ items })),
    objectOf(uniqueMembers(name, tie("value"), 3)),
  ),
}));

const id = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom("1", "2", "3", "4", "5", "6", '"2"', '"3"', '"a"', '"b-1"', '"작업"'),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "1.1",
      "2.1",
      '"1.2"',
      '"a.1"',
      "2.10",
      "1.0",
      "007".slice(2),
      '"007"',
      "1e1",
      "0",
      "-1",
    ),
  },
  { weight: 1, arbitrary: value },
);
const references: fc.Arbitrary<Doc> = fc.oneof(
  { weight: 6, arbitrary: fc.array(id, { maxLength: 4 }).map((items) => ({ items })) },
  { weight: 1, arbitrary: fc.constantFrom("null", '"1,2"', "1", "[]") },
  { weight: 1, arbitrary: value },
);
const usually = (json: fc.Arbitrary<Doc>): fc.Arbitrary<Doc> =>
  fc.oneof({ weight: 6, arbitrary: json }, { weight: 1, arbitrary: value });
const word = (...words: string[]) => usually(fc.constantFrom(...words.map((each) => JSON.stringify(each))));

const known = {
  title: usually(textJson),
  description: usually(textJson),
  details: usually(textJson),
  testStrategy: usually(textJson),
  status: word("pending", "in-progress", "done", "completed", "todo"),
  priority: word("high", "critical", "P0"),
  assignee: usually(textJson),
  effort: usually(fc.constantFrom("1", "2.50", "-1", '"2h"')),
  actualEffort: usually(fc.constantFrom("1", "0")),
  labels: usually(fc.array(textJson, { maxLength: 2 }).map((items) => ({ items }))),
  complexity: usually(fc.constantFrom("5", "11", "2.50")),
  complexityReasoning: usually(textJson),
  recommendedSubtasks: usually(fc.constantFrom("3", "1.5")),
  expansionPrompt: usually(textJson),
  metadata: usually(objectOf(uniqueMembers(name, value, 3))),
} satisfies Record<string, fc.Arbitrary<Doc>>;

function tasks(level: "task" | "subtask"): fc.Arbitrary<Doc> {
  const subtasks: fc.Arbitrary<Doc> =
    level === "task"
      ? fc.oneof({ weight: 5, arbitrary: tasks("subtask") }, { weight: 1, arbitrary: scalar })
      : fc.oneof({ weight: 5, arbitrary: fc.constant<Doc>("[]") }, { weight: 1, arbitrary: value });
  const members = fc
    .tuple(
      fc.record({ ...known, id, dependencies: references, subtasks }, { requiredKeys: [] }),
      uniqueMembers(
        name.filter((key) => !(key in known) && !["id", "dependencies", "subtasks"].includes(key)),
        value,
        3,
      ),
      fc.array(fc.nat(), { minLength: 24, maxLength: 24 }),
    )
    .map(([own, others, order]): [string, Doc][] => {
      const all = [...(Object.entries(own) as [string, Doc][]), ...others];
      const places = new Map(all.map((member, index) => [member, order[index] ?? 0]));
      return all.sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0));
    });
  return fc.array(objectOf(members), { maxLength: level === "task" ? 5 : 3 }).map((items) => ({ items }));
}

const inTag: fc.Arbitrary<Doc> = fc
  .tuple(tasks("task"), uniqueMembers(fc.constantFrom("metadata", "name", "10"), value, 3), fc.boolean())
  .map(([list, others, first]) => ({
    members: first ? [["tasks", list], ...others] : [...others, ["tasks", list]],
  }));
const file: fc.Arbitrary<Doc> = fc.oneof(
  tasks("task"),
  inTag,
  objectOf(
    uniqueMembers(
      fc.constantFrom("master", "10", "2", "__proto__", "태그", "a b", "c"),
      fc.oneof({ weight: 4, arbitrary: inTag }, { weight: 1, arbitrary: scalar }),
      4,
    ),
  ).filter(
    (doc) =>
      typeof doc !== "string" && "members" in doc && doc.members.some(([, tag]) => typeof tag !== "string"),
  ),
);
const fileText = fc.tuple(file, fc.boolean()).map(([doc, newline]) => `${write(doc)}${newline ? "\n" : ""}`);

const plan = (json: string) => planImport(json, { defaultTag: "master" });

/** What an API client can see of a task, without what a later change may leave behind in extra. */
function visible(task: ExportTask, without: readonly string[] = []) {
  const { source: _source, dependencies: _dependencies, id: _id, parentId: _parent, ...values } = task;
  const extra = Object.fromEntries(Object.entries(task.extra).filter(([key]) => !without.includes(key)));
  return JSON.parse(JSON.stringify({ ...values, extra }));
}

// A busy machine takes several times longer; these are about what comes out, not when.
const timeout = 120_000;

describe("any file of tasks, however odd", { timeout }, () => {
  it("comes back byte for byte", () => {
    fc.assert(
      fc.property(fileText, (json) => {
        const read = plan(json);
        expect(read.problems.filter((problem) => problem.fatal)).toEqual([]);
        expect(renderExport(toExportInput(read), "preserve")).toBe(json);
      }),
      { numRuns: 600 },
    );
  });

  it("is planned the same each time, with unique local ids below the next number and no cycle", () => {
    fc.assert(
      fc.property(fileText, (json) => {
        const read = plan(json);
        expect(JSON.stringify(plan(json))).toBe(JSON.stringify(read));
        for (const { tasks: planned, edges, nextLocalNumber } of read.tags) {
          const ids = planned.map(({ parent, segment }) => `${parent ?? ""}.${segment}`);
          expect(new Set(ids).size).toBe(ids.length);
          for (const { parent, number } of planned) {
            const next = parent === null ? nextLocalNumber : (planned[parent]?.nextLocalNumber ?? 0);
            expect(number ?? 0).toBeLessThan(next);
          }
          const active = edges.flatMap(({ from, to }) => (to === null ? [] : [{ from, to }]));
          expect(new Set(active.map(({ from, to }) => `${from} ${to}`)).size).toBe(active.length);
          expect(
            findCycles(
              planned.map(({ parent }) => parent),
              active,
            ).size,
          ).toBe(0);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("has a canonical form without problems, with the same values and active edges", () => {
    // But for those that no file can say: a bare id in a subtask that has a sibling of that id.
    // By the places of the tasks, since the form has numbers for ids that are none.
    const edgesOf = (input: ExportInput) =>
      input.tags.map((tag) => {
        const ids = new Set(tag.tasks.map((task) => task.localId));
        const places = new Map(tag.tasks.map((task, place) => [task.localId, place]));
        const canSay = ({ localId: own, parentId, segment }: ExportTask, id: string) =>
          parentId === null || id.includes(".") || !ids.has(`${own.slice(0, -segment.length)}${id}`);
        return tag.tasks.map((task) =>
          task.dependencies.flatMap(({ localId }) =>
            localId !== null && canSay(task, localId) ? [places.get(localId)] : [],
          ),
        );
      });
    fc.assert(
      fc.property(fileText, (json) => {
        const before = toExportInput(plan(json));
        const read = plan(renderExport(before, "canonical"));
        expect(read.problems).toEqual([]);
        expect(read.tags.flatMap((tag) => tag.tasks).every((task) => /^\d+$/.test(task.segment))).toBe(true);
        const after = toExportInput(read);
        expect(edgesOf(after)).toEqual(edgesOf(before));
        expect(after.tags.map((tag) => tag.tasks.map(({ title, status }) => [title, status]))).toEqual(
          before.tags.map((tag) => tag.tasks.map(({ title, status }) => [title, status])),
        );
      }),
      { numRuns: 300 },
    );
  });

  it("reads back every change of a field, and everything else as it was", () => {
    const values = {
      title: text.filter((title) => title.trim() !== ""),
      description: text,
      details: text,
      testStrategy: text,
      status: fc.constantFrom("pending", "in-progress", "review", "done", "deferred", "cancelled", "blocked"),
      priority: fc.constantFrom("critical", "high", "medium", "low"),
      assignee: fc.option(text.filter((assignee) => assignee !== "")),
      effort: fc.option(fc.constantFrom(0, 1.5)),
      labels: fc.array(text, { maxLength: 2 }),
      metadata: fc.dictionary(
        fc.constantFrom("a", "bb", "10", "__proto__"),
        fc.jsonValue({ maxDepth: 2, stringUnit: "grapheme" }),
      ),
    } as const;
    const change = fc.record({ place: fc.nat(), values: fc.record(values, { requiredKeys: [] }) });
    fc.assert(
      fc.property(fileText, change, (json, { place, values: changed }) => {
        fc.pre(!JSON.stringify(changed).includes("\\u0000"));
        const input = toExportInput(plan(json));
        const all = input.tags.flatMap((tag) => tag.tasks);
        const task = all[place % Math.max(all.length, 1)];
        fc.pre(task !== undefined);
        Object.assign(task, changed);
        const again = toExportInput(plan(renderExport(input, "preserve")));
        const read = again.tags.flatMap((tag) => tag.tasks);
        const keys = Object.keys(changed);
        expect(read.map((one, index) => visible(one, all[index] === task ? keys : []))).toEqual(
          all.map((one) => visible(one, one === task ? keys : [])),
        );
      }),
      { numRuns: 400 },
    );
  });
});

it("takes 10 MB in a time that grows with its size", { timeout }, () => {
  const list = Array.from({ length: 8000 }, (_, index) => ({
    id: index + 1,
    title: `Task ${index + 1}`,
    description: "d".repeat(200),
    status: "pending",
    priority: "medium",
    dependencies: index === 0 ? [] : [index, `${index}`, index + 2],
    details: "Line\n".repeat(120),
    subtasks: Array.from({ length: 4 }, (_unused, sub) => ({
      id: sub + 1,
      title: "Sub",
      status: "done",
      dependencies: sub === 0 ? [] : [sub],
      parentId: "undefined",
    })),
  }));
  const json = JSON.stringify({ master: { tasks: list } }, null, 2);
  const start = performance.now();
  const read = plan(json);
  const planned = performance.now();
  const input = toExportInput(read);
  const loaded = performance.now();
  const written = renderExport(input, "preserve");
  const done = performance.now();
  expect(written === json).toBe(true);
  const ms = (from: number, to: number) => `${Math.round(to - from)} ms`;
  console.info(
    `${Math.round(json.length / 1e6)} MB: planned in ${ms(start, planned)}, written in ${ms(loaded, done)}`,
  );
});

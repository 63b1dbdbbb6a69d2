import { describe, expect, it } from "vitest";
import { type ImportPlan, planImport } from "../../../src/core/import-export/plan.ts";

const plan = (file: unknown, defaultTag = "master"): ImportPlan =>
  planImport(typeof file === "string" ? file : JSON.stringify(file), { defaultTag });

const problems = (file: unknown) =>
  plan(file).problems.map(({ pointer, code, fatal }) => `${fatal ? "fatal " : ""}${code} ${pointer}`);

/** A task without anything to complain about. */
const task = (id: unknown, members: object = {}) => ({
  id,
  title: `Task ${id}`,
  status: "pending",
  ...members,
});

const only = (file: unknown) => {
  const [tag] = plan(file).tags;
  if (tag === undefined) throw new Error("the file has no tag");
  return tag;
};

/** One task with the given members, and what became of it. */
const one = (members: object) => {
  const file = { master: { tasks: [{ ...task(1), ...members }] } };
  const [read] = only(file).tasks;
  if (read === undefined) throw new Error("the file has no task");
  return { read, problems: problems(file), notices: plan(file).notices };
};

const localIds = (file: unknown): string[] => {
  const { tasks } = only(file);
  return tasks.map(({ parent, segment }) =>
    parent === null ? segment : `${tasks[parent]?.segment}.${segment}`,
  );
};

/** Each edge as "from>to", or "from>raw problem". */
const edges = (file: unknown, tag = 0): string[] => {
  const { tasks, edges: found } = plan(file).tags[tag] ?? { tasks: [], edges: [] };
  const name = (index: number) => {
    const { parent, segment } = tasks[index] ?? { parent: null, segment: "?" };
    return parent === null ? segment : `${tasks[parent]?.segment}.${segment}`;
  };
  return found.map(
    ({ from, to, raw, problem }) => `${name(from)}>${to === null ? `${raw} ${problem}` : name(to)}`,
  );
};

describe("the file's form", () => {
  it("reads tags, with a list of tasks in them or as one", () => {
    const read = plan({
      a: { tasks: [task(1)], metadata: { created: "x", description: "Of a" } },
      b: [task(1)],
      c: [],
    });
    expect(read.problems).toEqual([]);
    expect(read.tags.map(({ name, tasks }) => [name, tasks.length])).toEqual([
      ["a", 1],
      ["b", 1],
      ["c", 0],
    ]);
    expect(read.tags[0]).toMatchObject({
      description: "Of a",
      metadata: { created: "x" },
      source: {
        importedAs: "a",
        members: [
          ["tasks", null],
          ["metadata", '{"created":"x","description":"Of a"}'],
        ],
      },
    });
    expect(read.tags[1]?.source).toEqual({ importedAs: "b", members: null });
    expect(read.source).toEqual({
      form: "tagged",
      members: [{ tag: "a" }, { tag: "b" }, { tag: "c" }],
      finalNewline: false,
    });
  });

  it("reads a flat file and a list as the default tag", () => {
    const flat = plan({ version: 2, tasks: [task(1)], metadata: {} }, "work");
    expect(flat.tags[0]).toMatchObject({
      name: "work",
      source: {
        importedAs: "work",
        members: [
          ["version", "2"],
          ["tasks", null],
          ["metadata", "{}"],
        ],
      },
    });
    expect(flat.source).toEqual({ form: "flat", members: [{ tag: "work" }], finalNewline: false });
    const list = plan(`${JSON.stringify([task(1)])}\n`, "work");
    expect(list.tags[0]).toMatchObject({ name: "work", source: { members: null } });
    expect(list.source).toEqual({ form: "array", members: [{ tag: "work" }], finalNewline: true });
  });

  it("keeps what stands beside the tags and is none", () => {
    const read = plan({ version: "1", links: [1, "x"], a: { tasks: [] }, config: { x: 1 }, 7: null });
    expect(read.problems).toEqual([]);
    expect(read.notices.map(({ pointer }) => pointer)).toEqual(["/7", "/version", "/links", "/config"]);
    expect(read.source.members).toEqual([
      { key: "7", raw: "null" },
      { key: "version", raw: '"1"' },
      { key: "links", raw: '[1,"x"]' },
      { tag: "a" },
      { key: "config", raw: '{"x":1}' },
    ]);
  });

  it("reads a tag that is called tasks", () => {
    expect(only({ tasks: { tasks: [task(1)] } }).name).toBe("tasks");
  });

  it("reports a tag whose tasks are no list, and a tag inside a flat file", () => {
    expect(problems({ a: { tasks: {} }, b: { tasks: [] } })).toEqual(["wrong_type /a/tasks"]);
    expect(problems({ tasks: [], a: { tasks: [] } })).toEqual(["wrong_type /a"]);
  });

  it.each(["1", '"x"', "null", '{"a": 1}'])("refuses %s, which has no tasks at all", (text) => {
    expect(problems(text)).toEqual(["fatal wrong_type "]);
  });

  it("takes an object without members as a project without tags", () => {
    expect(plan("{}")).toMatchObject({ tags: [], problems: [] });
  });

  it.each(["", "a/b", "a\nb", "\u007f", "x".repeat(201)])("refuses the tag name %j", (name) => {
    expect(problems({ [name]: { tasks: [] } })).toEqual([
      `fatal invalid_tag_name /${name.replaceAll("/", "~1")}`,
    ]);
  });

  it("refuses what cannot be read or kept, in both modes", () => {
    expect(problems("")).toEqual(["fatal empty_file "]);
    expect(problems("{")).toEqual(["fatal malformed_json "]);
    expect(problems('{"a":{"tasks":[],"tasks":[]}}')).toEqual(["fatal duplicate_member /a/tasks"]);
    expect(problems({ a: { tasks: [task(1, { note: "\0" })] } })).toEqual([
      "fatal not_storable /a/tasks/0/note",
    ]);
    expect(problems({ a: { tasks: [task(1), 5] } })).toEqual(["fatal wrong_type /a/tasks/1"]);
    expect(problems({ a: { tasks: [task(1, { subtasks: [null] })] } })).toEqual([
      "fatal wrong_type /a/tasks/0/subtasks/0",
    ]);
  });
});

describe("a file made to fill the memory", () => {
  it("is refused for its number of tasks", () => {
    const read = plan(`{"a":[${"{},".repeat(60_000)}{"id":1,"subtasks":[${"{},".repeat(50_000)}{}]}]}`);
    expect(read.problems).toMatchObject([{ code: "too_many_tasks", fatal: true }]);
    expect(read.tags).toEqual([]);
  });

  it("has only its first problems listed, and every one that decides", () => {
    const read = plan([...Array.from({ length: 6000 }, () => ({ id: 1 })), null]);
    expect(read.problems.length).toBe(10_000);
    expect(read.problems.filter(({ fatal }) => fatal).map(({ pointer }) => pointer)).toEqual(["/6000"]);
    expect(read.notices.map(({ pointer }) => pointer)).toEqual([""]);
  });
});

describe("ids", () => {
  it("takes numbers, numeric strings and slugs in one file", () => {
    const file = [task(2), task("7"), task("로그인-page_1"), task(0)];
    expect(problems(file)).toEqual([]);
    expect(only(file).tasks.map(({ segment, number }) => [segment, number])).toEqual([
      ["2", 2],
      ["7", 7],
      ["로그인-page_1", null],
      ["0", 0],
    ]);
    expect(only(file).nextLocalNumber).toBe(8);
  });

  it("reads subtask ids that repeat the parent by their last part, 3.10 as ten", () => {
    const file =
      '[{"id":3,"title":"t","status":"done","subtasks":[{"id":3.1,"title":"t","status":"done"},{"id":3.10,"title":"t","status":"done"},{"id":"3.2","title":"t","status":"done"},{"id":5,"title":"t","status":"done"},{"id":"x","title":"t","status":"done"}]}]';
    expect(problems(file)).toEqual([]);
    expect(localIds(file)).toEqual(["3", "3.1", "3.10", "3.2", "3.5", "3.x"]);
    expect(plan(file).notices.map(({ pointer }) => pointer)).toEqual([
      "/0/subtasks/0/id",
      "/0/subtasks/1/id",
      "/0/subtasks/2/id",
    ]);
    expect(only(file).tasks[0]?.nextLocalNumber).toBe(11);
  });

  it("gives the next free number where an id is missing, unusable or taken", () => {
    const file = [
      task(4),
      { title: "a", status: "done" },
      task(3.1),
      task(null),
      task("4"),
      task({ x: 1 }),
      task("a b"),
    ];
    expect(problems(file)).toEqual([
      "missing_id /1",
      "unusable_id /2/id",
      "unusable_id /3/id",
      "unusable_id /5/id",
      "unusable_id /6/id",
      "duplicate_id /4/id",
    ]);
    expect(localIds(file)).toEqual(["4", "5", "6", "7", "8", "9", "10"]);
    expect(only(file).nextLocalNumber).toBe(11);
    expect(only(file).tasks.map(({ source }) => source.find(([key]) => key === "id"))).toEqual([
      ["id", null],
      ["id", null, "5"],
      ["id", "3.1", "6"],
      ["id", "null", "7"],
      ["id", '"4"', "8"],
      ["id", '{"x":1}', "9"],
      ["id", '"a b"', "10"],
    ]);
  });

  it("numbers subtasks for themselves, and takes a dotted id of another parent as unusable", () => {
    const file = [task(1, { subtasks: [task(1), task(1), task("2.1")] }), task(2, { subtasks: [task(1)] })];
    expect(problems(file)).toEqual(["unusable_id /0/subtasks/2/id", "duplicate_id /0/subtasks/1/id"]);
    expect(localIds(file)).toEqual(["1", "1.1", "1.2", "1.3", "2", "2.1"]);
  });

  it("lets the next number lie behind the count, and not count on from a timestamp", () => {
    expect(only([task("a"), task("b")]).nextLocalNumber).toBe(3);
    expect(only([task(1_700_000_000_000), task(2)])).toMatchObject({
      nextLocalNumber: 3,
      tasks: [{ number: null }, {}],
    });
    expect(only([]).nextLocalNumber).toBe(1);
  });
});

describe("fields", () => {
  it.each([undefined, null, "", " \n", 7, ["x"]])("has a title for %j", (title) => {
    const { read, problems: found } = one({ title });
    expect(read.title).toBe("(untitled)");
    expect(found.map((problem) => problem.split(" ")[0])).toEqual(["missing_title"]);
  });

  it("reads missing, null and empty texts as empty and keeps which it was", () => {
    const { read, problems: found } = one({ description: null, details: "" });
    expect(found).toEqual([]);
    expect(read).toMatchObject({ description: "", details: "", testStrategy: "", extra: {} });
    expect(read.source.slice(3)).toEqual([
      ["description", "null"],
      ["details", null],
    ]);
  });

  it("keeps aside what is no text", () => {
    const { read, problems: found } = one({ details: ["a", "b"], testStrategy: 3 });
    expect(found).toEqual(["wrong_type /master/tasks/0/details", "wrong_type /master/tasks/0/testStrategy"]);
    expect(read).toMatchObject({
      details: "",
      testStrategy: "",
      extra: { details: ["a", "b"], testStrategy: 3 },
    });
  });

  it.each(["pending", "in-progress", "review", "done", "deferred", "cancelled", "blocked"])(
    "takes status %s",
    (status) => {
      const { read, problems: found } = one({ status });
      expect([read.status, found, read.extra]).toEqual([status, [], {}]);
    },
  );

  it("reads completed as done and says so", () => {
    const { read, problems: found, notices } = one({ status: "completed" });
    expect([read.status, found, read.extra]).toEqual(["done", [], { status: "completed" }]);
    expect(notices.map(({ pointer }) => pointer)).toEqual(["/master/tasks/0/status"]);
  });

  it.each([
    [undefined, "missing_status /master/tasks/0", {}],
    [null, "missing_status /master/tasks/0/status", {}],
    ["todo", "unknown_status /master/tasks/0/status", { status: "todo" }],
    ["Done", "unknown_status /master/tasks/0/status", { status: "Done" }],
    [5, "unknown_status /master/tasks/0/status", { status: 5 }],
  ])("never guesses what status %j means", (status, problem, extra) => {
    const { read, problems: found } = one({ status, subtasks: [task(1, { status: "done" })] });
    expect([read.status, found, read.extra]).toEqual(["deferred", [problem], extra]);
  });

  it("takes the four priorities, none, and no others", () => {
    expect(one({ priority: "critical" }).read.priority).toBe("critical");
    expect(one({ priority: null })).toMatchObject({ read: { priority: null, extra: {} }, problems: [] });
    expect(one({}).read.priority).toBeNull();
    expect(one({ priority: "haute" })).toMatchObject({
      read: { priority: null, extra: { priority: "haute" } },
      problems: ["unknown_priority /master/tasks/0/priority"],
    });
  });

  it("takes assignee, labels, effort and metadata where they fit, and keeps them aside where not", () => {
    const fit = one({ assignee: "Ada", labels: ["x"], effort: 2.5, actualEffort: 3, metadata: { a: 1 } });
    expect(fit.read).toMatchObject({
      assignee: "Ada",
      labels: ["x"],
      effort: 2.5,
      actualEffort: 3,
      metadata: { a: 1 },
      extra: {},
    });
    const odd = {
      assignee: { name: "Ada" },
      labels: ["x", 1],
      effort: "2h",
      actualEffort: -1,
      metadata: [1],
    };
    const aside = one(odd);
    expect(aside.problems).toEqual([]);
    expect(aside.read).toMatchObject({
      assignee: null,
      labels: [],
      effort: null,
      actualEffort: null,
      metadata: {},
      extra: odd,
    });
  });

  it("takes the parts of complexity", () => {
    const parts = { complexity: 7.5, recommendedSubtasks: 4, expansionPrompt: "p", complexityReasoning: "r" };
    expect(one(parts).read).toMatchObject({
      complexity: { score: 7.5, recommendedSubtasks: 4, expansionPrompt: "p", reasoning: "r" },
      extra: {},
    });
    const odd = { complexity: "high", recommendedSubtasks: 2.5, expansionPrompt: {}, complexityScore: 3 };
    expect(one(odd).read).toMatchObject({ complexity: null, extra: odd });
    expect(one({ complexity: 11 }).read.complexity).toBeNull();
  });

  it("keeps every other member in extra, with its text where jsonb would change it", () => {
    const { tasks } = only(
      '[{"id":1,"title":"t","status":"done","a":"x","b":{"bb":1,"a":2},"c":1.0,"d":[ ],"e":"\\u0061","f":12345678901234567890,"__proto__":{"x":1},"10":null}]',
    );
    expect(Object.entries(tasks[0]?.extra ?? {})).toEqual([
      ["10", null],
      ["a", "x"],
      ["b", { bb: 1, a: 2 }],
      ["c", 1],
      ["d", []],
      ["e", "a"],
      ["f", Number("12345678901234567890")],
      ["__proto__", { x: 1 }],
    ]);
    expect(tasks[0]?.source.slice(3)).toEqual([
      ["a", null],
      ["b", '{"bb":1,"a":2}'],
      ["c", "1.0"],
      ["d", "[]"],
      ["e", '"\\u0061"'],
      ["f", "12345678901234567890"],
      ["__proto__", '{"x":1}'],
      ["10", null],
    ]);
  });

  it("keeps a third level and subtasks that are no list aside", () => {
    const third = [task(1)];
    const file = [
      task(1, { subtasks: [task(1, { subtasks: third }), task(2, { subtasks: [] })] }),
      task(2, { subtasks: "none" }),
    ];
    expect(problems(file)).toEqual(["too_deep /0/subtasks/0/subtasks", "wrong_type /1/subtasks"]);
    expect(only(file).tasks.map(({ extra }) => extra)).toEqual([
      {},
      { subtasks: third },
      {},
      { subtasks: "none" },
    ]);
  });
});

describe("dependencies", () => {
  const deps = (dependencies: unknown) => ({ dependencies });

  it("compares ids as strings, whatever their types", () => {
    expect(edges([task(1), task("2", deps(["1"])), task("a", deps([1, 2])), task(4, deps(["a"]))])).toEqual([
      "2>1",
      "a>1",
      "a>2",
      "4>a",
    ]);
  });

  it("keeps the text of a reference where an export would write another", () => {
    const { edges: found } = only([task(1), task(2, deps([1])), task(3, deps(["1"]))]);
    expect(found.map(({ raw, position }) => [raw, position])).toEqual([
      [null, 0],
      ['"1"', 0],
    ]);
  });

  it("finds subtasks by dotted references, from anywhere in the tag", () => {
    const file = [
      task(1, { subtasks: [task(1), task(2, deps(["1.1"]))] }),
      task(2, { ...deps(["1.2"]), subtasks: [task(1, deps([1.1]))] }),
    ];
    expect(problems(file)).toEqual([]);
    expect(edges(file)).toEqual(["1.2>1.1", "2>1.2", "2.1>1.1"]);
  });

  it("reads a subtask's bare reference as the sibling, and reports where it is a task as well", () => {
    const file = [
      task(1),
      task(5),
      task(2, {
        subtasks: [task(1), task(2, deps([1])), task(3, deps([5])), task(4, deps(["x"])), task("x")],
      }),
    ];
    expect(edges(file)).toEqual(["2.2>2.1", "2.3>5", "2.4>2.x"]);
    expect(problems(file)).toEqual(["dependency_ambiguous /2/subtasks/1/dependencies/0"]);
    expect(only(file).edges[0]).toMatchObject({ raw: "1", problem: null });
  });

  it("keeps inactive what cannot hold, each with its reason and text", () => {
    const file = {
      a: [
        task(1, deps([1, 9, "7", "7.1", 2, "2", null, "2,3", { id: 2 }, "x y"])),
        task(2, deps("1,3")),
        task(3, deps(null)),
      ],
      b: [task(7, { subtasks: [task(1)] })],
    };
    expect(edges(file)).toEqual([
      "1>1 self",
      "1>9 missing",
      '1>"7" cross_tag',
      '1>"7.1" cross_tag',
      "1>2",
      '1>"2" duplicate',
      "1>null unreadable",
      '1>"2,3" unreadable',
      '1>{"id":2} unreadable',
      '1>"x y" unreadable',
      '2>"1,3" unreadable',
    ]);
    expect(problems(file)).toEqual([
      "dependency_self /a/0/dependencies/0",
      "dependency_missing /a/0/dependencies/1",
      "dependency_cross_tag /a/0/dependencies/2",
      "dependency_cross_tag /a/0/dependencies/3",
      "dependency_duplicate /a/0/dependencies/5",
      "dependency_unreadable /a/0/dependencies/6",
      "dependency_unreadable /a/0/dependencies/7",
      "dependency_unreadable /a/0/dependencies/8",
      "dependency_unreadable /a/0/dependencies/9",
      "dependency_unreadable /a/1/dependencies",
    ]);
  });

  it("lets the edge that closes a cycle stay out and names the path", () => {
    const file = [task(1), task(2, deps([3])), task(3, deps([1, 2]))];
    expect(edges(file)).toEqual(["2>3", "3>1", "3>2 cycle"]);
    expect(plan(file).problems[0]?.detail).toContain("3 → 2 → 3.");
  });

  it("counts the steps from tasks to their subtasks in cycles", () => {
    expect(edges([task(1, { subtasks: [task(2, deps([1]))] })])).toEqual(["1.2>1 cycle"]);
    const indirect = [task(1, { subtasks: [task(5, deps([2]))] }), task(2, deps([1]))];
    expect(edges(indirect)).toEqual(["1.5>2", "2>1 cycle"]);
    expect(plan(indirect).problems[0]?.detail).toContain("2 → 1 → 1.5 → 2.");
  });

  it("does not take a number that quarantine gave for one that the file meant", () => {
    const file = [task(1, deps([2])), { title: "no id", status: "done" }];
    expect(localIds(file)).toEqual(["1", "2"]);
    expect(edges(file)).toEqual(["1>2 missing"]);
  });

  it("means the first of two tasks with the same id", () => {
    const { edges: found } = only([task(1), task(1), task(2, deps([1]))]);
    expect(found.map(({ to }) => to)).toEqual([0]);
  });
});

it("gives the same plan for the same text", () => {
  const text = JSON.stringify([
    task(1, { b: 1, a: { y: 1, x: 2 } }),
    task(1),
    task(2, { dependencies: [1, 9] }),
  ]);
  expect(JSON.stringify(plan(text))).toBe(JSON.stringify(plan(text)));
});

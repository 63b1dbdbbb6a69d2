import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Page, Task } from "../../../src/core/index.ts";
import { modes, openDescription, type Place } from "./harness.ts";

describe.each(modes)("on %s:", (_mode, open) => {
  let place: Place;
  let differs: (operationId: string, value: unknown) => string | undefined;

  beforeAll(async () => {
    place = await open();
    differs = await openDescription();
  });
  afterAll(async () => {
    await place.close();
  });

  const ids = (page: Page<Task>) => page.items.map(({ localId }) => localId);

  describe("list", () => {
    it("shows the tasks in their order, under a line that names the place", async () => {
      const { code, out } = await place.run(["list"]);
      expect(code).toBe(0);
      const lines = out.split("\n");
      expect(lines[0]).toBe(`DEMO · master · ${place.name}`);
      expect(lines[1]).toMatch(/^ID +STATUS +PRIORITY +TITLE +WAITS FOR +WHO$/);
      expect(lines[3]).toMatch(/^2 +○ pending +medium +Two +1$/);
      expect(lines.at(-2)).toBe("4 tasks: 4 pending");
    });

    it("draws subtasks below their tasks", async () => {
      const { out } = await place.run(["list", "--with-subtasks"]);
      expect([...out.matchAll(/^(└ )?[\d.]+(?= +○)/gm)].map(([id]) => id)).toEqual([
        "1",
        "2",
        "3",
        "└ 3.1",
        "└ 3.2",
        "4",
      ]);
      expect((await place.run(["list", "all"])).out).toBe(out);
    });

    it("filters by status, priority and level, as the other tool is asked as well", async () => {
      expect(ids(await place.json(["ls", "--priority", "high,low"]))).toEqual(["1", "4"]);
      expect(ids(await place.json(["list", "done"]))).toEqual([]);
      expect(ids(await place.json(["list", "--status=pending,review", "--with-subtasks"]))).toHaveLength(6);
      expect((await place.run(["list", "done"])).out).toContain("No tasks.");
    });

    it("answers the API's page, with the cursor where a limit cut it", async () => {
      const page = await place.json<Page<Task>>(["list", "--limit", "2"]);
      expect(differs("listTasks", page)).toBeUndefined();
      expect([ids(page), page.nextCursor]).toEqual([["1", "2"], expect.any(String)]);
      const selected = await place.json<Page<Task>>(["list", "--fields", "localId,title"]);
      expect(differs("listTasks", selected)).toBeUndefined();
      expect(selected.items[0]).toEqual({ localId: "1", title: "One" });
      expect((await place.run(["list", "--fields", "localId,title"])).out).toMatch(
        /^localId +title\n1 +One$/m,
      );
    });

    it("refuses what is no status, no field, no tag and no project, each with its exit code", async () => {
      expect(await place.run(["list", "finished"])).toMatchObject({
        code: 2,
        err: expect.stringContaining('"finished" is no status; it is one of pending, in-progress'),
      });
      expect(await place.run(["list", "--fields", "name"])).toMatchObject({
        code: 7,
        err: expect.stringContaining('There is no field "name"; name some of id, project'),
      });
      expect(await place.run(["list", "--tag", "nowhere"])).toMatchObject({
        code: 3,
        err: `task-master-pro: There is no tag "nowhere" that you can read. See "tags" for those that exist.\n`,
      });
      expect(await place.run(["list", "--project", "NONE"])).toMatchObject({ code: 3 });
      expect(await place.run(["list", "--limit", "none"])).toMatchObject({ code: 2 });
    });
  });

  describe("next and show", () => {
    it("names the next task, with reasons in smart mode", async () => {
      const answer = await place.json<{ task: Task }>(["next"]);
      expect(differs("getNext", answer)).toBeUndefined();
      expect(answer.task.localId).toBe("1");
      expect((await place.run(["next", "--mode", "smart"])).out).toMatch(
        /1 One[\s\S]+Take it: task-master-pro claim 1/,
      );
      expect(await place.run(["next", "--mode", "best"])).toMatchObject({ code: 2 });
    });

    it("shows one task, a subtask, several, and one by its full name", async () => {
      const task = await place.json<Task>(["show", "3.2"]);
      expect(differs("getTask", task)).toBeUndefined();
      expect(task).toMatchObject({ localId: "3.2", title: "Three two", dependencies: ["3.1"] });
      expect(ids(await place.json(["show", "1,2", "3"]))).toEqual(["1", "2", "3"]);
      expect((await place.json<Task>(["show", "DEMO:master:2"])).title).toBe("Two");
      expect((await place.json<Task>(["show", `--id=${task.id}`])).title).toBe("Three two");
      const { out } = await place.run(["show", "3"]);
      expect(out).toMatch(/Subtasks\nID +STATUS[\s\S]+3\.2 +○ pending/);
    });

    it("shows a task as it was", async () => {
      const before = new Date().toISOString();
      await place.json(["update", "4", "--title", "Four, said better"]);
      expect((await place.json<Task>(["show", "4", "--as-of", before])).title).toBe("Four");
      await place.json(["update", "4", "--title", "Four"]);
    });

    it("says what is not there on standard error, as a problem under --json", async () => {
      expect(await place.run(["show", "99"])).toEqual({
        code: 3,
        out: "",
        err: 'task-master-pro: There is no task "DEMO:master:99" that you can read.\n',
      });
      const { code, out, err } = await place.run(["show", "99", "--json"]);
      expect([code, out, JSON.parse(err)]).toEqual([
        3,
        "",
        expect.objectContaining({
          type: "urn:task-master-pro:problem:not_found",
          status: 404,
          code: "not_found",
        }),
      ]);
      expect(await place.run(["show"])).toMatchObject({ code: 2, err: expect.stringContaining("show 2.1") });
    });
  });

  describe("add and update", () => {
    it("adds a task with all that can be said of one", async () => {
      const made = await place.json<Task>([
        ...["add", "Schreibe", "die", "Seite", "--priority", "critical", "--status", "review"],
        ...["-d", "short", "--details", "long\n  text", "--test-strategy", "look", "--assignee", "ada"],
        ...["--label", "web,ui", "--label", "login", "--effort", "2.5", "--depends", "1,2"],
      ]);
      expect(differs("createTask", made)).toBeUndefined();
      expect(made).toMatchObject({
        title: "Schreibe die Seite",
        priority: "critical",
        status: "review",
        description: "short",
        details: "long\n  text",
        testStrategy: "look",
        assignee: "ada",
        labels: ["web", "ui", "login"],
        effort: 2.5,
        dependencies: ["1", "2"],
      });
      const { out } = await place.run(["show", made.localId]);
      for (const text of ["critical", "ada", "web, ui, login", "2.5 h estimated", "Details\nlong\n  text"]) {
        expect(out).toContain(text);
      }
      await place.json(["remove", made.localId]);
    });

    it("adds a subtask, and understands the other tool's words", async () => {
      const made = await place.json<Task>([
        "add-task",
        "--title=日本語 🎉 العربية",
        "--dependencies=1",
        "-p",
        "4",
      ]);
      expect(made).toMatchObject({ localId: "4.1", title: "日本語 🎉 العربية", dependencies: ["1"] });
      expect((await place.run(["show", "4.1"])).out).toContain("日本語 🎉 العربية");
      await place.json(["rm", "--id=4.1", "-y"]);
      expect((await place.run(["show", "4.1"])).code).toBe(3);
    });

    it("changes words, and says what cannot be", async () => {
      const changed = await place.json<Task>(["update", "2", "--priority", "high", "--label", "kitchen"]);
      expect(differs("updateTask", changed)).toBeUndefined();
      expect(changed).toMatchObject({ priority: "high", labels: ["kitchen"] });
      expect(await place.run(["update", "2"])).toMatchObject({ code: 2 });
      expect(await place.run(["update", "2", "--effort", "much"])).toMatchObject({
        code: 2,
        err: expect.stringContaining("It must be a number of hours"),
      });
      expect(await place.run(["add"])).toMatchObject({ code: 2 });
      expect(await place.run(["add", "x", "--priority", "urgent"])).toMatchObject({
        code: 2,
        err: expect.stringContaining("critical, high, medium, low"),
      });
      expect(await place.run(["add", "x", "--depends", "77"])).toMatchObject({
        code: 7,
        err: expect.stringContaining("77"),
      });
      expect(await place.run(["add", "x".repeat(1001)])).toMatchObject({
        code: 7,
        err: expect.stringContaining("/title"),
      });
      expect(await place.run(["add", "below", "--parent", "3.1"])).toMatchObject({
        code: 4,
        err: expect.stringContaining("a subtask has no subtasks"),
      });
    });
  });

  describe("set-status", () => {
    it.each([
      [["set-status", "2", "review"]],
      [["set-status", "--id=2", "--status=review"]],
      [["set-status", "--id=2", "review"]],
      [["status", "2", "-s", "review"]],
    ])("understands %j", async (args) => {
      await place.json(["set-status", "2", "pending"]);
      const task = await place.json<Task>(args);
      expect(differs("updateTask", task)).toBeUndefined();
      expect([task.localId, task.status]).toEqual(["2", "review"]);
    });

    it("sets several, and goes on where one is refused", async () => {
      const { code, out, err } = await place.run(["set-status", "2,98,3.1", "done"]);
      expect(code).toBe(3);
      expect(out).toMatch(/^2 +✓ done +Two$/m);
      expect(out).toMatch(/^3.1 +✓ done +Three one$/m);
      expect(err).toContain('"DEMO:master:98"');
      const page = await place.json<Page<Task>>(["set-status", "2,3.1", "pending"]);
      expect(page.items.map(({ status }) => status)).toEqual(["pending", "pending"]);
    });

    it("refuses what is no status, and a missing one", async () => {
      expect(await place.run(["set-status", "2", "finished"])).toMatchObject({ code: 2 });
      expect(await place.run(["set-status", "2"])).toMatchObject({ code: 2 });
      expect(await place.run(["set-status"])).toMatchObject({ code: 2 });
    });

    it("survives eight at once on one task: none is refused for another's version", async () => {
      const wanted = (index: number) => (index % 2 === 0 ? "pending" : "review");
      const ran = await Promise.all(
        Array.from({ length: 8 }, (_, index) => place.run(["set-status", "2", wanted(index)])),
      );
      expect(ran.map(({ code }) => code)).toEqual(Array(8).fill(0));
      await place.json(["set-status", "2", "pending"]);
    });
  });

  describe("move, remove, comment", () => {
    it("moves among siblings, under a parent, to the top and to another tag", async () => {
      const order = async () => ids(await place.json(["list"]));
      const { title } = await place.json<Task>(["add", "Wanderer"]);
      const [id = ""] = (await order()).slice(-1);
      const moved = await place.json<Task>(["move", id, "--before", "2"]);
      expect(differs("moveTask", moved)).toBeUndefined();
      expect((await order()).slice(0, 3)).toEqual(["1", id, "2"]);
      await place.json(["move", id, "--after", "2"]);
      expect((await order()).slice(0, 3)).toEqual(["1", "2", id]);
      const subtask = await place.json<Task>(["move", `--from=${id}`, "--to=2.9"]);
      expect(subtask.localId).toBe("2.1");
      const { out } = await place.run(["move", "2.1", "--top"]);
      const back = /^(\d+) +○ pending +Wanderer$/m.exec(out)?.[1] ?? "";
      expect(out).toContain("It was master 2.1.");
      await place.json(["tags", "add", "elsewhere"]);
      const away = await place.json<Task>(["move", back, "--to-tag", "elsewhere"]);
      expect(away).toMatchObject({ tag: "elsewhere", title });
      await place.json([
        "move",
        away.localId,
        "--from-tag",
        "elsewhere",
        "--to-tag",
        "master",
        "--parent",
        "2",
      ]);
      await place.json(["remove", "2.2"]);
    });

    it("refuses a move without a target, and one that cannot be", async () => {
      expect(await place.run(["move", "2"])).toMatchObject({
        code: 2,
        err: expect.stringContaining("--before"),
      });
      expect(await place.run(["move"])).toMatchObject({ code: 2 });
      expect(await place.run(["move", "3", "--parent", "2"])).toMatchObject({ code: 4 });
      expect(await place.run(["move", "2", "--before", "99"])).toMatchObject({ code: 3 });
    });

    it("comments, and shows it", async () => {
      const comment = await place.json(["comment", "1", "Needs", "a", "label."]);
      expect(differs("createComment", comment)).toBeUndefined();
      expect((await place.run(["show", "1"])).out).toMatch(/Comment by owner@\S+, .*\nNeeds a label\./);
      expect(await place.run(["comment", "99", "x"])).toMatchObject({ code: 3 });
      expect(await place.run(["remove"])).toMatchObject({ code: 2 });
      expect(await place.run(["remove", "99"])).toMatchObject({ code: 3 });
    });
  });
});

import { readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ImportReport, Page, Project, Tag } from "../../../src/core/index.ts";
import { modes, openDescription, type Place, seed } from "./harness.ts";

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

  const names = (page: Page<Tag>) => page.items.map(({ name }) => name);

  describe("tags", () => {
    it("lists, adds, copies, renames and deletes them", async () => {
      const made = await place.json<Tag>(
        ["tags", "add", "Sprint 2 / 日本", "-d", "x"].map((a) => a.replace(" / ", " ")),
      );
      expect(differs("createTag", made)).toBeUndefined();
      const copy = await place.json<Tag>(["tags", "copy", "master", "experiment"]);
      expect(differs("copyTag", copy)).toBeUndefined();
      const renamed = await place.json<Tag>(["tags", "rename", "experiment", "trial"]);
      expect(differs("updateTag", renamed)).toBeUndefined();
      const listed = await place.json<Page<Tag>>(["tags"]);
      expect(differs("listTags", listed)).toBeUndefined();
      expect(names(listed).sort()).toEqual(["Sprint 2 日本", "master", "trial"]);
      expect((await place.run(["tags", "list"])).out).toMatch(/^master \* /m);
      expect((await place.run(["tags", "list", "--fields", "name"])).out).toMatch(/^trial$/m);
      expect((await place.run(["list", "--tag", "trial"])).out).toContain("DEMO · trial");
      expect((await place.run(["tags", "remove", "trial", "-y"])).out).toContain("Deleted trial.");
      expect(names(await place.json(["tags", "list"])).sort()).toEqual(["Sprint 2 日本", "master"]);
    });

    it("refuses one twice, one that is not there, and what is no command", async () => {
      expect(await place.run(["tags", "add", "master"])).toMatchObject({ code: 4 });
      expect(await place.run(["tags", "delete", "nowhere"])).toMatchObject({ code: 3 });
      expect(await place.run(["tags", "rename", "nowhere", "x"])).toMatchObject({ code: 3 });
      expect(await place.run(["tags", "use"])).toMatchObject({ code: 2 });
    });
  });

  describe("projects", () => {
    it("lists them and makes one, and wants to know which when there are several", async () => {
      const made = await place.json<Project>(["projects", "add", "SECOND", "--name", "The second"]);
      expect(differs("createProject", made)).toBeUndefined();
      const page = await place.json<Page<Project>>(["projects"]);
      expect(differs("listProjects", page)).toBeUndefined();
      expect((await place.run(["projects"])).out).toMatch(/^SECOND +The second/m);
      expect(await place.run(["list"])).toMatchObject({
        code: 2,
        err: expect.stringContaining("There are several projects (DEMO, SECOND)"),
      });
      expect(await place.run(["projects", "add", "lower"])).toMatchObject({
        code: 7,
        err: expect.stringContaining("/key"),
      });
      expect(await place.run(["projects", "add", "DEMO"])).toMatchObject({ code: 4 });
    });
  });

  describe("import and export", () => {
    const at = (name: string) => join(place.folder, name);

    it("tries a file, imports it, and gives the same bytes back", async () => {
      const text = `${JSON.stringify(seed, null, 2)}\n`;
      await writeFile(at("in.json"), text);
      const tried = await place.json<ImportReport>(["import", "in.json", "--dry-run", "--project", "SECOND"]);
      expect(differs("importTasks", tried)).toBeUndefined();
      expect(tried).toMatchObject({
        dryRun: true,
        accepted: true,
        tags: [{ name: "master", tasks: 4, subtasks: 2 }],
      });
      const { out } = await place.run(["import", "in.json", "--project", "SECOND"]);
      expect(out).toMatch(/^master +4 +2 +2 +0\nImported\.$/m);
      expect((await place.run(["export", "--project", "SECOND"])).out).toBe(text);

      const said = await place.run(["export", "out.json", "--project", "SECOND"]);
      expect(said.out).toContain(`Wrote ${at("out.json")}.`);
      expect(await readFile(at("out.json"), "utf8")).toBe(text);
      await symlink(at("out.json"), at("link.json"));
      await place.run([
        "export",
        "link.json",
        "--project",
        "SECOND",
        "--form",
        "canonical",
        "--tag",
        "master",
      ]);
      expect(JSON.parse(await readFile(at("out.json"), "utf8"))).toHaveProperty("master.tasks");
      expect((await stat(at("link.json"))).isFile()).toBe(true);
      expect((await readdir(place.folder)).filter((name) => name.startsWith("out.json."))).toEqual([]);
    });

    it("lists every problem of a refused file by its pointer", async () => {
      const bad = {
        m: {
          tasks: [
            { id: 1, title: "T", status: "pending", dependencies: [7, 1] },
            { id: 1, title: "U" },
          ],
        },
      };
      for (const args of [
        ["import", "-"],
        ["import", "-", "--dry-run"],
      ]) {
        const { code, out, err } = await place.run([...args, "--project", "DEMO"], {
          stdin: JSON.stringify(bad),
        });
        expect([code, err]).toEqual([7, ""]);
        expect(out).toContain("/m/tasks/0/dependencies/0 ");
        expect(out).toContain("/m/tasks/1/id");
        expect(out).toMatch(/(would be refused|Nothing was imported): \d problems\. Mend the file/);
      }
      const answer = await place.run(["import", "-", "--json", "--project", "DEMO"], {
        stdin: JSON.stringify(bad),
      });
      expect([answer.code, differs("importTasks", JSON.parse(answer.out))]).toEqual([7, undefined]);
    });

    it("takes it in quarantine, with notices for what it reads otherwise", async () => {
      const odd = { odd: { tasks: [{ id: 1, title: "T", status: "completed", dependencies: [7] }] } };
      const { code, out } = await place.run(["import", "-", "--mode", "quarantine", "--project", "DEMO"], {
        stdin: JSON.stringify(odd),
      });
      expect(code).toBe(0);
      expect(out).toContain("/odd/tasks/0/status");
      expect(out).toContain("Imported, with 1 problem in quarantine.");
    });

    it("says what is wrong with garbage, a missing file and a folder", async () => {
      const project = ["--project", "DEMO"];
      expect(await place.run(["import", "-", ...project], { stdin: "{not json" })).toMatchObject({
        code: 7,
        out: expect.stringContaining("(the file)"),
      });
      expect(await place.run(["import", "nowhere.json", ...project])).toMatchObject({ code: 3 });
      expect(await place.run(["import", ".", ...project])).toMatchObject({ code: 2 });

      expect(await place.run(["export", "none/there.json", ...project])).toMatchObject({
        code: 3,
        err: expect.stringContaining("There is no folder"),
      });
      expect(await place.run(["export", ".", ...project])).toMatchObject({ code: 2 });
    });

    it("sends the file exactly as it is, with a mark at the beginning, and refuses what is no text", async () => {
      await place.json(["projects", "add", "MARKED"]);
      await writeFile(at("marked.json"), `\u{feff}${JSON.stringify(seed)}`);
      const project = ["--project", "MARKED"];
      expect((await place.run(["import", "marked.json", ...project])).code).toBe(0);
      const broken = Buffer.concat([
        Buffer.from('{"m":{"tasks":[{"id":1,"title":"'),
        Buffer.from([0xc3, 0x28, 0x22]),
      ]);
      expect(await place.run(["import", "-", ...project], { stdin: broken })).toMatchObject({
        code: 7,
        err: "task-master-pro: Standard input is no UTF-8 text.\n",
      });
    });

    it("shows how much is sent", async () => {
      const steps: [number, number][] = [];
      const text = JSON.stringify({
        big: { tasks: [{ id: 1, title: "T", status: "pending", details: "x".repeat(150_000) }] },
      });
      const { code } = await place.run(["import", "-", "--project", "DEMO"], {
        stdin: text,
        onProgress: (done, total) => steps.push([done, total]),
      });
      expect(code).toBe(0);
      expect(steps[0]).toEqual([65_536, text.length]);
      expect(steps.at(-1)).toEqual([text.length, text.length]);
    });

    it("lists a thousand tasks whole", async () => {
      const tasks = Array.from({ length: 1000 }, (_, i) => ({
        id: i + 1,
        title: `任務 ${i + 1}`,
        status: "pending",
      }));
      await place.json(["import", "-", "--project", "DEMO"], { stdin: JSON.stringify({ many: { tasks } }) });
      const { out } = await place.run(["list", "--project", "DEMO", "--tag", "many"]);
      expect(out).toContain("1000 tasks: 1000 pending");
      expect(out.split("\n")).toHaveLength(1004);
      const page = await place.json<Page<object>>([
        "list",
        "--project",
        "DEMO",
        "--tag",
        "many",
        "--limit",
        "450",
      ]);
      expect([page.items.length, typeof page.nextCursor]).toEqual([450, "string"]);
    });
  });
});

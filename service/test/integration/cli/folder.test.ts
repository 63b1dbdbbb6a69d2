import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Claim, Page, Task } from "../../../src/core/index.ts";
import { runCli, startCli } from "../../support/program.ts";
import { openFolderPlace, type Place } from "./harness.ts";

let place: Place;
beforeEach(async () => {
  place = await openFolderPlace();
});
afterEach(async () => {
  await place.close();
});

const tasksOf = async () => JSON.parse(await readFile(place.name, "utf8")).master.tasks;

it("writes what it changes into the file, in the other tool's form, and nothing else", async () => {
  const before = await tasksOf();
  await place.json(["set-status", "4", "done"]);
  const after = await tasksOf();
  expect(after).toEqual([...before.slice(0, 3), { ...before[3], status: "done" }]);
});

it("claims, completes and runs commands without a server", async () => {
  const claim = await place.json<Claim>(["claim"]);
  expect(claim.localId).toBe("1");
  expect((await tasksOf())[0].status).toBe("in-progress");
  expect((await place.run(["claim", "complete", "1", "--note", "Done."])).code).toBe(0);
  expect((await place.run(["claim", "4", "--exec", "exit 3"])).code).toBe(3);
  expect((await place.run(["show", "4"])).out).toMatch(/Attempt 1: failed/);
});

it("puts back a task whose claim has expired", async () => {
  await place.json(["claim", "4", "--ttl", "1s"]);
  expect((await place.json<Task>(["show", "4"])).status).toBe("in-progress");
  await expect
    .poll(async () => (await place.json<Task>(["show", "4"])).status, { timeout: 10_000 })
    .toBe("pending");
  expect((await place.run(["show", "4"])).out).toContain("Attempt 1: expired");
});

it("works from any folder inside the project, and by --file from elsewhere", async () => {
  const inside = join(place.folder, "src", "deep");
  await mkdir(inside, { recursive: true });
  expect((await place.run(["list"], { cwd: inside })).out).toContain(`DEMO · master · ${place.name}`);
  for (const path of [place.folder, place.name]) {
    expect((await place.run(["list", "--file", path], { cwd: "/" })).code).toBe(0);
  }
  expect(await place.run(["list", "--file", "/nowhere"])).toMatchObject({
    code: 3,
    err: expect.stringContaining("There is no .taskmaster/tasks/tasks.json in /nowhere"),
  });
  await writeFile(join(place.folder, "other.json"), "{}");
  expect(await place.run(["list", "--file", "other.json"])).toMatchObject({
    code: 2,
    err: expect.stringContaining("import it into one instead"),
  });
});

it("works in the tag that the other tool works in", async () => {
  await place.json(["tags", "add", "sprint"]);
  const state = join(place.folder, ".taskmaster", "state.json");
  await writeFile(state, '{"currentTag":"sprint"}');
  expect((await place.run(["list"])).out).toContain("DEMO · sprint ·");
  for (const text of ["{", "[]", '{"currentTag":7}', '{"currentTag":""}']) {
    await writeFile(state, text);
    expect((await place.run(["list"])).out).toContain("DEMO · master ·");
  }
});

describe("a file that cannot be read", () => {
  it.each(["{not json", "", '{"master":{"tasks":[{"id":1,"title":"A"},{"id":1,"title":"B"}]}}'])(
    "is refused with what is wrong, and left alone: %s",
    async (text) => {
      await writeFile(place.name, text);
      const { code, out, err } = await place.run(["add", "New"]);
      if (code === 0) expect(JSON.parse(await readFile(place.name, "utf8"))).toBeTypeOf("object");
      else {
        expect([code, out, err.split("\n").length]).toEqual([6, "", 2]);
        expect(err).toContain("tasks.json");
        expect(await readFile(place.name, "utf8")).toBe(text);
      }
    },
  );
});

it("watches what other processes do, and what others do to the file, and ends with Ctrl-C", async () => {
  const env = { XDG_CONFIG_HOME: place.folder, HOME: place.folder };
  const watch = startCli(["watch", "--file", place.folder], env);
  await watch.until(/DEMO ·/);
  await place.json(["add", "Seen by the watcher"]);
  await watch.until(/task created .*Seen by the watcher/);
  const text = await readFile(place.name, "utf8");
  await writeFile(place.name, text.replace('"Four"', '"Four, as edited"'));
  await watch.until(/task updated .*Four, as edited/);
  watch.child.kill("SIGINT");
  expect(await watch.ended).toMatchObject({ code: 0, stderr: "" });
}, 60_000);

it("loses nothing when processes write at the same time", async () => {
  const env = { XDG_CONFIG_HOME: place.folder, HOME: place.folder };
  const adds = Array.from({ length: 4 }, (_, i) =>
    runCli(["add", `At once ${i}`, "--json", "--file", place.folder], env),
  );
  for (const { code, stderr } of await Promise.all(adds)) expect([code, stderr]).toEqual([0, ""]);
  const { items } = await place.json<Page<Task>>(["list"]);
  expect(
    items
      .map(({ title }) => title)
      .filter((title) => title.startsWith("At once"))
      .sort(),
  ).toEqual(["At once 0", "At once 1", "At once 2", "At once 3"]);
}, 60_000);

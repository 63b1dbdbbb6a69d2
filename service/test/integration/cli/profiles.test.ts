import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openServerPlace, type RunOptions, run, type ServerPlace } from "./harness.ts";

let place: ServerPlace;
let folder: string;

beforeAll(async () => {
  place = await openServerPlace();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "task-master-pro-profiles-"));
  return async () => await rm(folder, { recursive: true });
});
afterAll(async () => {
  await place.close();
});

/** Without a server in the environment: whatever is known of one is in the profiles. */
const alone = (args: string[], options: RunOptions = {}) =>
  run(args, { cwd: folder, ...options, env: { XDG_CONFIG_HOME: folder, ...options.env } });
const file = () => join(folder, "task-master-pro", "profiles.json");

describe("login", () => {
  it("checks a token from standard input, keeps it for its owner alone, and works there from then on", async () => {
    const { code, out } = await alone(["login", `${place.url}/docs`], { stdin: `${place.app.token}\n` });
    expect(code).toBe(0);
    expect(out).toBe(
      `Logged in as owner@example.com (owner). Working in ${new URL(place.url).host} · ${place.url} · DEMO.\n`,
    );
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, "task-master-pro"))).mode & 0o777).toBe(0o700);
    expect((await alone(["list"])).out).toContain(`DEMO · master · ${place.url}`);
  });

  it("takes a token from a file, a name, a project and a tag", async () => {
    await writeFile(join(folder, "token"), place.app.token);
    const args = [
      "login",
      place.url,
      "--token-file",
      "token",
      "--profile",
      "laptop",
      "--project",
      "DEMO",
      "-t",
      "none",
    ];
    expect(JSON.parse((await alone([...args, "--json"])).out)).toMatchObject({
      profile: "laptop",
      server: place.url,
      project: "DEMO",
      tag: "none",
      me: { role: "owner" },
    });
    expect(await alone(["list"])).toMatchObject({ code: 3, err: expect.stringContaining('no tag "none"') });
    expect((await alone(["list", "--tag", "master"])).code).toBe(0);
    expect((await alone(["use", "--tag", "master"])).out).toContain("DEMO · master");
    expect((await alone(["list"])).code).toBe(0);
  });

  it("lists profiles without their tokens, changes between them, and forgets them", async () => {
    expect((await alone(["login", "--list"])).out).toBe("No profiles yet.\n");
    for (const name of ["one", "two"]) {
      await alone(["login", place.url, "--profile", name], { stdin: place.app.token });
    }
    const { out } = await alone(["login", "--list"]);
    expect(out).toMatch(/^one +http.*DEMO/m);
    expect(out).toMatch(/^two \* +http.*DEMO/m);
    expect(out).not.toContain(place.app.token);
    expect((await alone(["login", "--list", "--json"])).out).not.toContain(place.app.token);
    expect((await alone(["use", "--profile", "one"])).code).toBe(0);
    expect((await alone(["logout"])).out).toBe("Forgot one.\n");
    expect(await alone(["logout"])).toMatchObject({ code: 2 });
    expect((await alone(["list", "--profile", "two"])).code).toBe(0);
    expect(await alone(["list", "--profile", "one"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("there are two"),
    });
    expect(await readFile(file(), "utf8")).not.toContain('"one"');
  });

  it("keeps nothing of a token that is not good, or is none", async () => {
    expect(await alone(["login", place.url], { stdin: `tmp_${"0".repeat(64)}` })).toMatchObject({ code: 5 });
    expect(await alone(["login", place.url], { stdin: "two words" })).toMatchObject({
      code: 2,
      err: expect.stringContaining("That is no token"),
    });
    expect(await alone(["login", place.url], { stdin: "" })).toMatchObject({ code: 2 });
    expect(await alone(["login"])).toMatchObject({ code: 2 });
    for (const url of ["tasks.example.com", "ftp://x", "http://me:secret@localhost", "http://x/?token=1"]) {
      expect(await alone(["login", url], { stdin: "x" })).toMatchObject({ code: 2 });
    }
    await expect(stat(file())).rejects.toThrow("ENOENT");
  });

  it("warns of a server that could be listened to", async () => {
    const { err, code } = await alone(["login", "http://192.0.2.1", "--token-file", "nowhere"]);
    expect([code, err]).toEqual([3, expect.stringContaining("is not encrypted")]);
  });
});

describe("where it works", () => {
  it("is said when nothing says it", async () => {
    expect(await alone(["list"])).toMatchObject({
      code: 2,
      err: expect.stringContaining('Run "task-master-pro login URL" once'),
    });
    expect(await alone(["use", "DEMO"])).toMatchObject({ code: 2 });
    expect(await place.run(["import"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("name the file to import"),
    });
  });

  it("is the command line's, then the environment's, then the profile's", async () => {
    await alone(["login", place.url], { stdin: place.app.token });
    const dead = { TASKMASTER_SERVER: "http://127.0.0.1:1", TASKMASTER_TOKEN: "x" };
    expect((await alone(["list"], { env: dead })).code).toBe(6);
    expect(
      (await alone(["list", "--server", place.url], { env: { TASKMASTER_SERVER: dead.TASKMASTER_SERVER } }))
        .code,
    ).toBe(0);
    expect((await alone(["list", "--profile", new URL(place.url).host], { env: dead })).code).toBe(0);
    expect(await alone(["list", "--server", place.url, "--file", "x"])).toMatchObject({ code: 2 });
  });

  it("never sends a profile's token to another server", async () => {
    await alone(["login", place.url], { stdin: place.app.token });
    expect(await alone(["list", "--server", "http://127.0.0.1:1"])).toMatchObject({
      code: 5,
      err: expect.stringContaining("There is no token for http://127.0.0.1:1"),
    });
  });

  it("is not guessed from a profiles file that holds none", async () => {
    await alone(["login", place.url], { stdin: place.app.token });
    for (const text of ["", "[]", "{", '{"profiles":{"a":{"server":1}}}', '{"profiles":null}']) {
      await writeFile(file(), text);
      expect(await alone(["list"])).toMatchObject({ code: 2, err: expect.stringContaining("log in again") });
    }
    await chmod(file(), 0o600);
  });

  it("checks the project that it is to keep", async () => {
    await alone(["login", place.url], { stdin: place.app.token });
    expect(await alone(["use", "NOWHERE"])).toMatchObject({ code: 3 });
    expect((await alone(["use", "DEMO"])).out).toMatch(/^Working in .* · DEMO\.\n$/);
  });
});

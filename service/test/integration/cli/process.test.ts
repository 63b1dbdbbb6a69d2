import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli, startCli } from "../../support/program.ts";
import { openServerPlace, type ServerPlace } from "./harness.ts";

const program = fileURLToPath(new URL("../../../src/bin/cli.ts", import.meta.url));
let place: ServerPlace;

beforeAll(async () => {
  place = await openServerPlace();
  const tasks = Array.from({ length: 1500 }, (_, i) => ({
    id: i + 1,
    title: "x".repeat(100),
    status: "pending",
  }));
  await place.json(["import", "-"], { stdin: JSON.stringify({ many: { tasks } }) });
});
afterAll(async () => {
  await place.close();
});

async function bash(script: string): Promise<{ code: number; out: string; err: string }> {
  const child = spawn("bash", ["--norc", "-c", script], {
    env: { ...place.env, PATH: process.env.PATH, NODE: process.execPath, PROGRAM: program },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { code: Number(code), out, err };
}

describe("the process", () => {
  it("ends with the exit code of the class of error, and says why on standard error", async () => {
    const [listed, missing, wrong, nothing, suggested] = await Promise.all([
      runCli(["list"], place.env),
      runCli(["show", "99", "--json"], place.env),
      runCli(["list", "--lmit", "3"], place.env),
      runCli([], place.env),
      runCli(["lst"], place.env),
    ]);
    expect(listed).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining("4 tasks") });
    expect([missing.code, missing.stdout, JSON.parse(missing.stderr).code]).toEqual([3, "", "not_found"]);
    expect(wrong).toMatchObject({
      code: 2,
      stdout: "",
      stderr: "task-master-pro: unknown option '--lmit'\n(Did you mean --limit?) (--help tells more)\n",
    });
    expect(await runCli(["--version"], {})).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      stderr: "",
    });
    expect(nothing).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("Exit codes: 0 done"),
    });
    expect(suggested).toMatchObject({ code: 2, stderr: expect.stringContaining("Did you mean") });
  }, 60_000);

  it("teaches: every command has a description and examples or commands of its own", async () => {
    const { code, stdout } = await runCli(["--help"], {});
    expect(code).toBe(0);
    for (const word of [
      "Tasks:",
      "Working together:",
      "A server of your own:",
      "list|ls",
      "serve",
      "completion",
    ]) {
      expect(stdout).toContain(word);
    }
    const help = await runCli(["claim", "--help"], {});
    expect(help).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("$ task-master-pro claim 3 --ttl 1h"),
    });
  }, 60_000);

  it("ends quietly when nobody reads on", async () => {
    const script = 'set -o pipefail; "$NODE" "$PROGRAM" list --tag many | head -n 1';
    expect(await bash(script)).toEqual({ code: 0, out: `DEMO · many · ${place.url}\n`, err: "" });
  }, 60_000);

  it("is a sentence, and not a stack, where the system refuses", async () => {
    const folder = await mkdtemp(join(tmpdir(), "task-master-pro-process-"));
    await writeFile(join(folder, "file"), "");
    const ran = await runCli(["login", place.url, "--token-file", join(folder, "file", "x")], {
      XDG_CONFIG_HOME: folder,
    });
    expect(ran).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^task-master-pro: There is no file .*\n$/),
    });
    await rm(folder, { recursive: true });
  }, 60_000);
});

describe("watch", () => {
  it("shows what happens as it happens, goes on after the connection was cut, and ends with Ctrl-C", async () => {
    const watch = startCli(["watch", "--after", "0", "--json"], place.env);
    await watch.until(/"project.imported"/);
    await place.json(["add", "Seen by the watcher"]);
    await watch.until(/Seen by the watcher/);
    place.app.app.server.closeAllConnections();
    await place.json(["add", "Seen after the cut"]);
    await watch.until(/Seen after the cut/);
    watch.child.kill("SIGINT");
    const { code, stdout, stderr } = await watch.ended;
    expect([code, stderr]).toEqual([0, ""]);
    const sequences = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).sequence);
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
  }, 60_000);

  it("says it in words, with what changed, and refuses what is not there", async () => {
    const interrupt = new AbortController();
    let shown = "";
    const watching = place.run(["watch"], {
      interrupt: interrupt.signal,
      onOutput: (out) => {
        shown = out;
      },
    });
    await expect.poll(() => shown, { timeout: 10_000 }).toContain(`DEMO · ${place.url}`);
    await place.json(["set-status", "4", "review"]);
    await expect
      .poll(() => shown, { timeout: 10_000 })
      .toMatch(
        /\d\d:\d\d:\d\d {2}master 4 {2}task updated {2}by owner@example\.com {2}status pending → review\n/,
      );
    interrupt.abort();
    expect((await watching).code).toBe(0);
    expect(await place.run(["watch", "--project", "NONE"])).toMatchObject({ code: 3 });
    expect(await place.run(["watch", "--after", "-1"])).toMatchObject({ code: 2 });
  }, 60_000);
});

describe("completion", () => {
  it("works in a bash that has sourced it, and starts and evaluates nothing", async () => {
    const { code, out, err } = await bash(`
      source <("$NODE" "$PROGRAM" completion bash)
      PATH=
      try() { COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); _task_master_pro; echo "\${COMPREPLY[*]}"; }
      try task-master-pro set-s
      try task-master-pro set-status 3 d
      try task-master-pro set-status --status = re
      try task-master-pro list --tag x --prio
      try task-master-pro claim co
      try task-master-pro claim complete 3 --no
      try task-master-pro next --mode ''
      try task-master-pro add '$(exit 7)' --tit
      try task-master-pro migrate u
      try task-master-pro list --profile ''
    `);
    expect([code, err]).toEqual([0, ""]);
    expect(out.split("\n")).toEqual([
      "set-status",
      "done deferred",
      "review",
      "--priority",
      "complete",
      "--note --no-color",
      "compat smart",
      "--title",
      "up",
      "",
      "",
    ]);
  }, 60_000);

  it("has a script for zsh and fish, and refuses other shells", async () => {
    const [zsh, fish, other] = await Promise.all([
      runCli(["completion", "zsh"], {}),
      runCli(["completion", "fish"], {}),
      runCli(["completion", "tcsh"], {}),
    ]);
    expect(zsh.stdout).toMatch(/^#compdef task-master-pro\n[\s\S]+bashcompinit/);
    expect(fish.stdout).toContain(
      "complete -c task-master-pro -n '__fish_seen_subcommand_from next' -l mode -d",
    );
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining("bash, zsh, fish") });
  }, 60_000);
});

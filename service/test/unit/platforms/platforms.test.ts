import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { parse } from "smol-toml";
import { expect, test } from "vitest";
import { createHost } from "../../../src/bin/host.ts";
import { addServer } from "../../../src/bin/server-commands.ts";
import { describeConfig, loadConfig } from "../../../src/config.ts";

/** What fly.toml and railway.json say of the program, against the program itself. */
const read = async (file: string) => await readFile(new URL(`../../../../${file}`, import.meta.url), "utf8");
// biome-ignore lint/suspicious/noExplicitAny: whatever the files hold
const fly = parse(await read("fly.toml")) as any;
const railway = JSON.parse(await read("railway.json"));
const { version } = JSON.parse(await read("package.json"));
const image = `ghcr.io/task-master-pro/task-master-pro:${version}`;
const health = await read("service/src/rest/plugins/health.ts");

/** What no platform's file holds: it is secret, or the platform sets it. */
const given = {
  DATABASE_URL: "postgres://tasks:secret@db.example/tasks",
  TASKMASTER_SESSION_SECRET: "s".repeat(40),
};
const config = loadConfig({ ...given, ...fly.env });
/** The longest that a server takes from the signal to its end, as the chart counts it. */
const leaving = config.shutdownDrainSeconds + config.requestTimeoutSeconds + 15;

/** The command of the program that a line means, or undefined; an option that it does not know makes it fail. */
function commandOf(line: string): Command | undefined {
  const program = new Command();
  addServer(program, createHost());
  let command: Command = program;
  for (const word of line.split(" ")) {
    if (word.startsWith("-")) {
      const name = word.split("=")[0];
      if (!command.options.some(({ long }) => long === name)) return undefined;
      continue;
    }
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) return undefined;
    command = next;
  }
  return command;
}

test("a line that the program does not know is found", () => {
  expect(commandOf("migrate up --wait=1")?.name()).toBe("up");
  expect(commandOf("migrate down --weight=1")).toBeUndefined();
  expect(commandOf("migrate upwards")).toBeUndefined();
});

test("Fly.io: the program knows the commands, before the release and in it", () => {
  expect(commandOf(fly.deploy.release_command)?.name()).toBe("up");
  for (const line of Object.values(fly.processes)) expect(commandOf(line as string)?.name()).toBe("serve");
  for (const section of [fly.http_service, fly.metrics[0], fly.vm[0]])
    expect(section.processes).toEqual(Object.keys(fly.processes));
});

test("Fly.io: the program knows the settings, none of them is secret, and the ports are those that are asked", () => {
  const known = describeConfig(loadConfig({})).map(({ variable }) => variable);
  for (const name of Object.keys(fly.env)) {
    expect(known).toContain(name);
    expect(name).not.toMatch(/SECRET|KEY|TOKEN|DATABASE_URL|DSN/);
  }
  expect(config.port).toBe(fly.http_service.internal_port);
  expect(config.metricsPort).toBe(fly.metrics[0].port);
  expect(health).toContain(`"${fly.http_service.checks[0].path}"`);
});

test("Railway: the program knows the command and the path, and listens where it is told to", () => {
  const [program, ...words] = railway.deploy.preDeployCommand[0].split(" ");
  expect(program).toBe("task-master-pro");
  expect(commandOf(words.join(" "))?.name()).toBe("up");
  expect(health).toContain(`"${railway.deploy.healthcheckPath}"`);
  expect(loadConfig({ ...given, PORT: "8080" }).port).toBe(8080);
});

test("both run the image of this version, and wait until a server has left", async () => {
  expect(fly.build.image).toBe(image);
  expect(await read(railway.build.dockerfilePath)).toContain(`\nFROM ${image}\n`);
  expect(Number.parseInt(fly.kill_timeout, 10)).toBeGreaterThanOrEqual(leaving);
  expect(railway.deploy.drainingSeconds).toBeGreaterThanOrEqual(leaving);
  // A migration that waits for a lock must give up before it is killed for it.
  for (const line of [fly.deploy.release_command, railway.deploy.preDeployCommand[0]])
    expect(Number(/--wait=(\d+)/.exec(line)?.[1])).toBeLessThan(300);
});

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { openTestCore, type TestCore } from "../../support/core.ts";
import { openStream } from "../../support/streams.ts";
import { api } from "./harness.ts";

let test: TestCore;
let token: string;
const started: ChildProcess[] = [];

beforeAll(async () => {
  test = await openTestCore();
  ({ token } = await test.core.tokens.create(test.owner, { name: "load" }));
  await test.core.projects.create(test.owner, { key: "LOAD", name: "Load" });
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});
afterAll(() => test.close());

const program = fileURLToPath(new URL("../../../src/bin/cli.ts", import.meta.url));

/** The real program as a process of its own, on a free port. */
async function startProgram(
  drainSeconds: number,
): Promise<{ child: ChildProcess; port: number; output: () => string }> {
  const child = spawn(process.execPath, [program, "serve"], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: test.connectionString,
      TASKMASTER_SESSION_SECRET: "a secret for tests, of thirty-two bytes or more",
      TASKMASTER_SHUTDOWN_DRAIN_SECONDS: String(drainSeconds),
      TASKMASTER_RATE_LIMIT_MAX: "1000000",
      PORT: "0",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  let text = "";
  child.stdout?.on("data", (chunk) => {
    text += String(chunk);
  });
  child.stderr?.on("data", (chunk) => {
    text += String(chunk);
  });
  const until = Date.now() + 20_000;
  while (Date.now() < until && child.exitCode === null) {
    const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1];
    if (port !== undefined) return { child, port: Number(port), output: () => text };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the server did not start:\n${text}`);
}

function send(port: number, agent: Agent, method: string, path: string, body?: unknown): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        port,
        agent,
        method,
        path,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
      },
      (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
        response.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

it("loses no request of a load that goes elsewhere once readiness fails", async () => {
  const { child, port, output } = await startProgram(2);
  const agent = new Agent({ keepAlive: true, maxSockets: 30 });
  let ready = true;
  const made: number[] = [];
  const lost: unknown[] = [];
  const worker = async (name: number) => {
    for (let i = 0; ready; i++) {
      try {
        const status = await send(port, agent, "POST", `${api}/projects/LOAD/tags/master/tasks`, {
          title: `${name}.${i}`,
        });
        if (status === 201) made.push(status);
        else lost.push(status);
      } catch (error) {
        lost.push(error);
      }
    }
  };
  const watcher = async () => {
    const own = new Agent();
    while ((await send(port, own, "GET", "/readyz")) === 200)
      await new Promise((resolve) => setTimeout(resolve, 50));
    // Nobody hears of it at once.
    await new Promise((resolve) => setTimeout(resolve, 500));
    ready = false;
  };
  const all = Promise.all([watcher(), ...Array.from({ length: 20 }, (_, i) => worker(i))]);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const before = made.length;
  child.kill("SIGTERM");
  await all;
  const [code] = child.exitCode === null ? await once(child, "exit") : [child.exitCode];
  agent.destroy();
  expect(lost).toEqual([]);
  expect(before).toBeGreaterThan(0);
  expect(made.length).toBeGreaterThan(before);
  expect(code).toBe(0);
  expect(output()).toContain('"stopped"');
  const { tasks } = await test.core.graphs
    .graph(test.owner, "LOAD", "master")
    .then(({ nodes }) => ({ tasks: nodes }));
  expect(tasks).toHaveLength(made.length);
}, 60_000);

it("finishes the requests that are under way when the drain is over", async () => {
  const { child, port } = await startProgram(0);
  const agent = new Agent({ keepAlive: true });
  // Holds the requests up inside the server until it was told to stop.
  const blocker = new pg.Client({ connectionString: test.connectionString });
  await blocker.connect();
  await blocker.query("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE");
  const answers = Array.from({ length: 5 }, (_, i) =>
    send(port, agent, "POST", `${api}/projects/LOAD/tags/master/tasks`, { title: `held ${i}` }),
  );
  await new Promise((resolve) => setTimeout(resolve, 1000));
  child.kill("SIGTERM");
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(child.exitCode).toBeNull();
  const ended = once(child, "exit");
  const released = performance.now();
  await blocker.query("ROLLBACK");
  await blocker.end();
  expect(await Promise.all(answers)).toEqual([201, 201, 201, 201, 201]);
  expect((await ended)[0]).toBe(0);
  // Connections that clients would keep open must not hold the process.
  expect(performance.now() - released).toBeLessThan(5000);
}, 60_000);

it("ends streams when the drain is over, at once, also those whose readers take nothing", async () => {
  const { child, port } = await startProgram(1);
  const url = `http://127.0.0.1:${port}${api}/projects/LOAD/events/stream`;
  const streams = await Promise.all(Array.from({ length: 5 }, () => openStream(url, token)));
  const stuck = connect(port, "127.0.0.1");
  stuck.on("error", () => {});
  stuck.pause();
  stuck.write(
    `GET ${api}/projects/LOAD/events/stream?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  for (const stream of streams) await stream.until("start");
  child.kill("SIGTERM");
  // Whoever comes while the server still serves is served.
  await new Promise((resolve) => setTimeout(resolve, 300));
  await test.core.tasks.create(test.owner, "LOAD", "master", { title: "during the drain" });
  for (const stream of streams) await stream.until(1);
  for (const stream of streams) {
    expect((await stream.until("end")).data).toMatchObject({ code: "unavailable" });
    expect(await stream.closed).toBe("ended");
  }
  const told = performance.now();
  if (child.exitCode === null) await once(child, "exit");
  expect(child.exitCode).toBe(0);
  expect(performance.now() - told).toBeLessThan(5000);
  stuck.destroy();
}, 60_000);

it("has no drain when somebody at a terminal stops it, but finishes what is under way", async () => {
  const { child, port } = await startProgram(60);
  const agent = new Agent({ keepAlive: true });
  const blocker = new pg.Client({ connectionString: test.connectionString });
  await blocker.connect();
  await blocker.query("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE");
  const held = send(port, agent, "POST", `${api}/projects/LOAD/tags/master/tasks`, { title: "held" });
  await new Promise((resolve) => setTimeout(resolve, 500));
  child.kill("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(child.exitCode).toBeNull();
  const ended = once(child, "exit");
  const released = performance.now();
  await blocker.query("ROLLBACK");
  await blocker.end();
  expect(await held).toBe(201);
  expect((await ended)[0]).toBe(0);
  expect(performance.now() - released).toBeLessThan(5000);
}, 60_000);

it("stops at once at the second signal", async () => {
  const { child, port } = await startProgram(60);
  const agent = new Agent({ keepAlive: true });
  expect(await send(port, agent, "GET", "/readyz")).toBe(200);
  child.kill("SIGTERM");
  while ((await send(port, agent, "GET", "/readyz")) !== 503)
    await new Promise((resolve) => setTimeout(resolve, 20));
  const stopped = performance.now();
  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  expect(code).toBe(0);
  expect(performance.now() - stopped).toBeLessThan(5000);
}, 60_000);

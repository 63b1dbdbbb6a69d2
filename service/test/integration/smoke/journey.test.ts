import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { type JourneyReport, runJourney } from "../../../src/smoke/journey.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";
import { addMembers } from "../rest/harness.ts";

let test: TestCore;
let token: string;
let url: string;
const started: ChildProcess[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  test = await openTestCore();
  ({ token } = await test.core.tokens.create(test.owner, { name: "smoke" }));
  url = await startProgram(test.connectionString);
});
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});
afterAll(async () => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  await test.close();
});

const program = fileURLToPath(new URL("../../../src/bin/cli.ts", import.meta.url));

/** The real program as a process of its own, on a free port. */
async function startProgram(connectionString: string): Promise<string> {
  const child = spawn(process.execPath, [program, "serve"], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: connectionString,
      TASKMASTER_SESSION_SECRET: "a secret for tests, of thirty-two bytes or more",
      PORT: "0",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  let text = "";
  const listen = (chunk: unknown) => {
    text += String(chunk);
  };
  child.stdout?.on("data", listen);
  child.stderr?.on("data", listen);
  const until = Date.now() + 20_000;
  while (Date.now() < until && child.exitCode === null) {
    const address = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
    if (address !== undefined && text.includes('"ready"')) return address;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the server did not start:\n${text}`);
}

/** Something that passes all on to the real server but answers what it likes to some requests. */
async function startProxy(
  instead: (method: string, path: string) => { status: number; body: string } | null,
) {
  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of request) chunks.push(chunk as Uint8Array);
      const method = request.method ?? "GET";
      const own = instead(method, request.url ?? "/");
      if (own !== null) {
        response.writeHead(own.status).end(own.body);
        return;
      }
      const { host: _, connection: __, "content-length": ___, ...headers } = request.headers;
      const answer = await fetch(`${url}${request.url}`, {
        method,
        headers: headers as Record<string, string>,
        ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
      });
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" });
      response.end(Buffer.from(await answer.arrayBuffer()));
    })();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function projects(): Promise<string[]> {
  const { items } = await test.core.projects.list(test.owner, { limit: 100 });
  return items.map(({ key }) => key);
}

const failed = ({ steps }: JourneyReport) => steps.filter(({ ok }) => !ok);
const names = ({ steps }: JourneyReport) => steps.map(({ name }) => name);

it("goes the whole way in well under five seconds, and leaves no project behind", async () => {
  const report = await runJourney(url, token);
  expect(failed(report)).toEqual([]);
  expect(report.ok).toBe(true);
  expect(names(report)).toEqual([
    "look who the token is",
    "create a project",
    "create two tasks",
    "make the first wait for the second",
    "ask for the next task",
    "claim it",
    "complete the claim",
    "ask for the next task again",
    "read what happened",
    "export",
    "delete the project",
    "see that it is gone",
  ]);
  expect(report.ms).toBeLessThan(2_500);
  expect(await projects()).toEqual([]);
  // What happened stays on record.
  const { items } = await test.core.events.audit(test.owner, { type: "project.deleted" });
  expect(items.map(({ data }) => data.name)).toEqual(["Smoke test"]);
});

it("runs many at once, each in a project of its own", async () => {
  const reports = await Promise.all(Array.from({ length: 5 }, () => runJourney(`${url}/`, token)));
  expect(reports.flatMap(failed)).toEqual([]);
  expect(await projects()).toEqual([]);
});

it("says that nobody listens", async () => {
  const gone = await startProxy(() => null);
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
  const report = await runJourney(gone, token);
  expect(report.ok).toBe(false);
  expect(names(report)).toEqual(["look who the token is"]);
  expect(report.steps[0]?.detail).toMatch(
    /^GET http:\/\/127\.0\.0\.1:\d+\/api\/v1\/me got no answer: connect ECONNREFUSED/,
  );
});

it("says that the token is wrong, and never what it is", async () => {
  const wrong = "tmp_a-token-that-nobody-has";
  const report = await runJourney(url, wrong);
  expect(report.ok).toBe(false);
  expect(names(report)).toEqual(["look who the token is"]);
  expect(report.steps[0]?.detail).toMatch(/\/api\/v1\/me answered 401, not 200: .+ \(request id .+\)$/);
  expect(JSON.stringify(report)).not.toContain(wrong);
});

it("makes nothing with a token that could not take it away again", async () => {
  const people = await addMembers(test.core, test.owner, "smoke");
  for (const role of ["viewer", "member"] as const) {
    const report = await runJourney(url, people[role].token);
    expect(report.ok).toBe(false);
    expect(names(report)).toEqual(["look who the token is"]);
    expect(report.steps[0]?.detail).toContain(`the token's role is ${role}`);
  }
  const { token: narrow } = await test.core.tokens.create(test.owner, { name: "narrow", scopes: ["read"] });
  const report = await runJourney(url, narrow);
  expect(report.steps.map(({ detail }) => detail).join()).toContain("lacks the scopes write, claim, admin");
  expect(await projects()).toEqual([]);
});

it("says what a server answers whose database went away", async () => {
  const lost = await openTestCore();
  try {
    const { token: own } = await lost.core.tokens.create(lost.owner, { name: "smoke" });
    const orphan = await startProgram(lost.connectionString);
    expect((await runJourney(orphan, own)).ok).toBe(true);
    await refuseConnections(lost.connectionString);
    // Until then the token is known to be good without the database.
    await sleep(1_000);
    const report = await runJourney(orphan, own);
    expect(report.ok).toBe(false);
    expect(names(report)).toEqual(["look who the token is"]);
    expect(report.steps[0]?.detail).toMatch(
      /\/api\/v1\/me answered 50[03], not 200: .+|not answered within 5 s/,
    );
  } finally {
    await lost.close().catch(() => {});
  }
});

/** As when it fails over or is taken down: whoever is connected is cut off, and nobody comes in again. */
async function refuseConnections(connectionString: string): Promise<void> {
  const other = new URL(connectionString);
  const name = other.pathname.slice(1);
  other.pathname = "/postgres";
  const client = new pg.Client({ connectionString: other.href });
  await client.connect();
  await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
  await client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [name]);
  await client.end();
}

it.each([
  ["POST", /\/tasks$/, "create two tasks"],
  ["PUT", /\/dependencies\//, "make the first wait for the second"],
  ["GET", /\/next$/, "ask for the next task"],
  ["POST", /\/claims$/, "claim it"],
  ["POST", /\/complete$/, "complete the claim"],
  ["GET", /\/events/, "read what happened"],
  ["GET", /\/export$/, "export"],
])("names the step and deletes the project when %s %s fails", async (method, path, name) => {
  const broken = await startProxy((sent, to) =>
    sent === method && path.test(to) ? { status: 502, body: "<h1>Bad Gateway</h1>" } : null,
  );
  const report = await runJourney(broken, token);
  expect(report.ok).toBe(false);
  expect(failed(report).map((step) => step.name)).toEqual([name]);
  expect(failed(report)[0]?.detail).toContain(`${method} ${broken}/api/v1/`);
  expect(failed(report)[0]?.detail).toContain("answered 502");
  expect(failed(report)[0]?.detail).toContain("<h1>Bad Gateway</h1>");
  expect(report.steps.at(-1)).toMatchObject({ name: "remove what was left", ok: true });
  expect(await projects()).toEqual([]);
});

it("does not take a wrong answer for a right one", async () => {
  const answers: [RegExp, string, string, string][] = [
    [/\/next$/, '{"task":{"localId":"1"}}', "ask for the next task", 'names "1" where 2 is the only task'],
    [/\/events/, '{"items":[{"sequence":1,"type":"project.created"}]}', "read what happened", "task.created"],
    [/\/events/, '{"items":[{"sequence":2,"type":"project.created"}]}', "read what happened", "without gaps"],
    [/\/export$/, '{"master":{"tasks":[]}}', "export", "it holds no task"],
    [/\/complete$/, '{"outcome":"released"}', "complete the claim", 'the outcome is "released"'],
    [/\/me$/, "It works!", "look who the token is", "It works!"],
  ];
  for (const [path, body, name, said] of answers) {
    const lying = await startProxy((_, to) => (path.test(to) ? { status: 200, body } : null));
    const report = await runJourney(lying, token);
    expect(failed(report)).toMatchObject([{ name, detail: expect.stringContaining(said) }]);
  }
  expect(await projects()).toEqual([]);
});

it("says so when it cannot take its project away", async () => {
  const keeping = await startProxy((method) => (method === "DELETE" ? { status: 403, body: "" } : null));
  const report = await runJourney(keeping, token);
  expect(report.ok).toBe(false);
  expect(failed(report).map(({ name }) => name)).toEqual(["delete the project", "remove what was left"]);
  const left = await projects();
  expect(left).toHaveLength(1);
  expect(report.steps.at(-1)?.detail).toContain(`The project ${left[0]} may be left`);
  for (const key of left) await test.core.projects.delete(test.owner, key, 1);
});

it("ends when it is called off, and still takes its project away", async () => {
  const abort = new AbortController();
  const watched = await startProxy((_, path) => {
    if (path.endsWith("/next")) abort.abort();
    return null;
  });
  const report = await runJourney(watched, token, { signal: abort.signal });
  expect(report.ok).toBe(false);
  expect(failed(report)).toMatchObject([{ name: "ask for the next task" }]);
  expect(failed(report)[0]?.detail).toContain("was called off");
  expect(report.steps.at(-1)).toMatchObject({ name: "remove what was left", ok: true });
  expect(await projects()).toEqual([]);
});

it("waits five seconds for an answer and no longer", async () => {
  const silent = createServer(() => {});
  servers.push(silent);
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const port = (silent.address() as AddressInfo).port;
  const report = await runJourney(`http://127.0.0.1:${port}`, token);
  expect(report.ok).toBe(false);
  expect(report.steps[0]?.detail).toContain("was not answered within 5 s");
  expect(report.ms).toBeGreaterThan(4_900);
  expect(report.ms).toBeLessThan(7_000);
});

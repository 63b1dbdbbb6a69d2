import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openTestCore, type TestCore, testSecret } from "../../support/core.ts";
import { openCutter } from "../../support/cutter.ts";
import { startCli } from "../../support/program.ts";
import { startSentry, type TestSentry } from "../../support/sentry.ts";
import { connectTo } from "../mcp/harness.ts";

let world: TestCore;
let token: string;
const title = "Buy the neighbour's villa quietly";
const mail = "somebody.private@example.com";
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  world = await openTestCore();
  ({ token } = await world.core.tokens.create(world.owner, { name: "test" }));
  await world.core.projects.create(world.owner, { key: "DEMO", name: "Demo" });
  // A defect as they come: deep below, with a client's words in its message.
  await sql(`CREATE FUNCTION break_task() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'cannot keep % of %', NEW.title, '${mail}'; END $$`);
  await sql(`CREATE FUNCTION break_project() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'no'; END $$`);
  await sql(
    "CREATE TRIGGER break_project BEFORE INSERT ON projects FOR EACH ROW EXECUTE FUNCTION break_project()",
  );
  await sql("CREATE TRIGGER break_task BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION break_task()");
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(() => world.close());

async function sql(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: world.connectionString });
  await client.connect();
  await client.query(text).finally(() => client.end());
}

async function start(sentry: { dsn: string }, env: Record<string, string> = {}) {
  const program = startCli(["serve"], {
    DATABASE_URL: world.connectionString,
    TASKMASTER_SESSION_SECRET: testSecret,
    TASKMASTER_SHUTDOWN_DRAIN_SECONDS: "0",
    TASKMASTER_RATE_LIMIT_MAX: "1000000",
    PORT: "0",
    SENTRY_DSN: sentry.dsn,
    ...env,
  });
  cleanups.push(async () => {
    program.child.kill("SIGKILL");
    await program.ended;
  });
  const url = await program.until(/Server listening at (http:\/\/127\.0\.0\.1:\d+)/);
  await program.until(/"msg":"ready"/);
  const call = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...init.headers },
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return { ...program, url, call };
}

async function open(...args: Parameters<typeof startSentry>): Promise<TestSentry> {
  const sentry = await startSentry(...args);
  cleanups.push(() => sentry.close());
  return sentry;
}

const tasks = "/projects/DEMO/tags/master/tasks";
const addTask = { method: "POST", body: JSON.stringify({ title }) };
const ms = async (work: () => Promise<unknown>) => {
  const began = performance.now();
  await work();
  return performance.now() - began;
};

test("defects of every part are told, and nothing else is, and of clients nothing", async () => {
  const sentry = await open();
  const { url, call } = await start(sentry, { SENTRY_ENVIRONMENT: "staging" });
  // What clients do wrong, and a limit that is reached, are theirs.
  expect((await call("/projects/NONE")).status).toBe(404);
  expect((await call(tasks, { method: "POST", body: "{" })).status).toBe(400);
  expect((await call(tasks, { method: "POST", body: "{}" })).status).toBe(422);
  expect((await call("/me", { headers: { authorization: "Bearer tmp_nobodys" } })).status).toBe(401);

  const failed = await call(`${tasks}?fields=${mail}`, {
    ...addTask,
    headers: { "x-request-id": mail, cookie: "theme=dark-private", "user-agent": "private-agent" },
  });
  expect(failed.status).toBe(400);
  const broken = await call(tasks, { ...addTask, headers: { "user-agent": "private-agent" } });
  expect(broken).toMatchObject({ status: 500, body: { code: "internal_error" } });
  const rest = await sentry.until(({ tags }) => tags.part === "rest");
  expect(rest).toMatchObject({
    level: "error",
    release: expect.stringMatching(/^task-master-pro@\d+\.\d+\.\d+/),
    environment: "staging",
    transaction: "POST /api/v1/projects/:key/tags/:tag/tasks",
    tags: {
      method: "POST",
      what: "/api/v1/projects/:key/tags/:tag/tasks",
      request_id: broken.body.requestId,
    },
  });
  const frames = rest.exception.values.flatMap(({ stacktrace }) => stacktrace?.frames ?? []);
  expect(frames.map(({ filename }) => filename).join("\n")).toContain("/storage/postgres/");
  // There is no trace, so that none is named.
  expect(rest.contexts.trace).toBeUndefined();

  const client = await connectTo(url, token);
  cleanups.push(() => client.close());
  await expect(
    client.callTool({ name: "add_task", arguments: { project: "DEMO", title, description: mail } }),
  ).rejects.toThrow("The server failed");
  expect((await sentry.until(({ tags }) => tags.part === "mcp")).tags.what).toBe("add_task");

  await sql("ALTER TABLE claims RENAME TO claims_away; ALTER TABLE deliveries RENAME TO deliveries_away");
  cleanups.push(() =>
    sql("ALTER TABLE claims_away RENAME TO claims; ALTER TABLE deliveries_away RENAME TO deliveries"),
  );
  expect((await sentry.until(({ tags }) => tags.part === "upkeep")).tags.what).toBe(
    "expired claims put back",
  );
  expect((await sentry.until(({ tags }) => tags.part === "webhooks")).tags.what).toBe("deliveries taken");

  const parts = sentry.events().map(({ tags }) => tags.part);
  expect(parts.sort()).toEqual(["mcp", "rest", "upkeep", "webhooks"]);
  const sent = sentry.received
    .map(({ body, headers, path }) => JSON.stringify([body, headers, path]))
    .join("\n");
  const { password, hostname } = new URL(world.connectionString);
  const words = [
    title,
    "villa",
    mail,
    "somebody",
    token,
    testSecret,
    "private-agent",
    "dark-private",
    "Bearer",
  ];
  for (const word of [...words, password, "owner@example.com", "DEMO", "server_name", "breadcrumbs"]) {
    if (word !== "") expect(sent).not.toContain(word);
  }
  for (const body of sentry.received.map((one) => one.body)) expect(body).not.toContain(hostname);
});

test("an unreachable database is no defect", async () => {
  const sentry = await open();
  const line = await openCutter(world.connectionString);
  const program = await start(sentry, { DATABASE_URL: line.connectionString });
  expect((await program.call("/me")).status).toBe(200);
  await line.close();
  // A token that was found good just now is not asked for again for half a second.
  await expect.poll(async () => (await program.call("/me")).status).toBe(503);
  // Upkeep and the worker have met it, too.
  await program.until(/failed: expired claims put back/);
  await program.until(/failed: webhook deliveries taken/);
  expect(sentry.events()).toEqual([]);
});

test.each([
  ["refuses", (response: { writeHead(status: number): { end(): void } }) => response.writeHead(403).end()],
  ["does not answer", () => {}],
])("a Sentry that %s slows nothing, and holds the stop for two seconds at most", async (_how, answer) => {
  const sentry = await open(answer);
  const program = await start(sentry);
  const before = await ms(() => program.call("/me"));
  const storm = await ms(() => Promise.all(Array.from({ length: 100 }, () => program.call(tasks, addTask))));
  expect((await program.call("/me")).status).toBe(200);
  expect(await ms(() => program.call("/me"))).toBeLessThan(before + 500);
  expect(storm).toBeLessThan(10_000);
  await sentry.until(() => true);
  // A hundred of a kind are one.
  expect(sentry.events()).toHaveLength(1);
  // Another kind, so that one is under way when it is to stop.
  const other = { method: "POST", body: JSON.stringify({ key: "OTHER", name: "Other" }) };
  expect((await program.call("/projects", other)).status).toBe(500);
  program.child.kill("SIGTERM");
  const stop = await ms(() => program.ended);
  expect((await program.ended).code).toBe(0);
  expect(stop).toBeLessThan(4000);
});

test("a Sentry that is not there is said once, and the server serves", async () => {
  const gone = await startSentry();
  await gone.close();
  const program = await start(gone);
  expect((await program.call(tasks, addTask)).status).toBe(500);
  await program.until(/Sentry does not take what it is told/);
  expect((await program.call("/me")).status).toBe(200);
  program.child.kill("SIGTERM");
  expect((await program.ended).code).toBe(0);
});

/** Runs inside of the program, and crashes it when it is told to. */
const crasher = (crash: string) => ({
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(`process.on("SIGHUP", () => { ${crash} })`)}`,
});

test.each([
  ["uncaughtException", `throw new TypeError("${mail} is not a function")`],
  ["unhandledRejection", `Promise.reject(new TypeError("${mail} is not a function"))`],
])("a crash (%s) is told before the process ends as it would", async (origin, crash) => {
  const sentry = await open();
  const program = await start(sentry, crasher(crash));
  program.child.kill("SIGHUP");
  const { code, stdout } = await program.ended;
  expect(code).toBe(1);
  expect(sentry.events()).toMatchObject([
    {
      level: "fatal",
      tags: { part: "process", what: origin },
      exception: { values: [{ type: "TypeError", value: "is not a function" }] },
    },
  ]);
  expect(JSON.stringify(sentry.received)).not.toContain(mail);
  const line = stdout.split("\n").find((text) => text.includes('"crashed"')) ?? "{}";
  expect(JSON.parse(line)).toMatchObject({ level: "fatal", origin, err: { type: "TypeError" } });
});

test("a crash ends the process, too, when Sentry does not answer", async () => {
  const sentry = await open(() => {});
  const program = await start(sentry, crasher('throw new Error("tmp_hush12345678")'));
  program.child.kill("SIGHUP");
  expect(await ms(() => program.ended)).toBeLessThan(4000);
  const { code, stdout, stderr } = await program.ended;
  expect(code).toBe(1);
  expect(stdout + stderr).not.toContain("tmp_hush12345678");
});

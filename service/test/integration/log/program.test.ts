import { createHmac } from "node:crypto";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openTestCore, type TestCore } from "../../support/core.ts";
import { openModelServer } from "../../support/model-server.ts";
import { startCli } from "../../support/program.ts";
import { startReceiver } from "../../support/receiver.ts";
import { startSentry } from "../../support/sentry.ts";
import { connectTo } from "../mcp/harness.ts";

let world: TestCore;
let token: string;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  world = await openTestCore();
  ({ token } = await world.core.tokens.create(world.owner, { name: "test" }));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(() => world.close());

async function start(env: Record<string, string>) {
  const program = startCli(["serve"], {
    DATABASE_URL: world.connectionString,
    TASKMASTER_SESSION_SECRET: "a secret for tests, of thirty-two bytes or more",
    TASKMASTER_SHUTDOWN_DRAIN_SECONDS: "0",
    PORT: "0",
    ...env,
  });
  cleanups.push(async () => {
    program.child.kill("SIGKILL");
    await program.ended;
  });
  return program;
}

const freePort = async () => {
  const receiver = await startReceiver();
  await receiver.close();
  return Number(new URL(receiver.origin).port);
};

test("SIGUSR2 takes the level to debug while the server runs, and back", async () => {
  // A port that is known, since at this level the server does not say where it listens.
  const port = await freePort();
  const program = await start({ LOG_LEVEL: "error", PORT: String(port) });
  let text = "";
  program.child.stdout?.on("data", (chunk) => {
    text += String(chunk);
  });
  const url = `http://127.0.0.1:${port}`;
  await expect
    .poll(
      () =>
        fetch(`${url}/readyz`).then(
          ({ ok }) => ok,
          () => false,
        ),
      { timeout: 20_000 },
    )
    .toBe(true);
  const refuse = async (id: string) =>
    await fetch(`${url}/api/v1/projects`, { headers: { "x-request-id": id } });
  await refuse("first");
  program.child.kill("SIGUSR2");
  await program.until(/"level":"info",[^\n]*"logLevel":"debug","msg":"log level changed"/);
  await refuse("second");
  await program.until(/"requestId":"second".*"request refused"/);
  program.child.kill("SIGUSR2");
  await program.until(/log level changed[\s\S]*log level changed/);
  await refuse("third");
  program.child.kill("SIGTERM");
  expect((await program.ended).code).toBe(0);
  expect(text).toContain("second");
  expect(text).not.toContain("first");
  expect(text).not.toContain("third");
});

test("no secret is in the log after a full run at the level trace", async () => {
  const secrets: Record<string, string> = {
    session: "session+secret/of the full run, with = and ?",
    database: "database p@ss/word+1",
    sentry: "0123456789abcdef0123456789abcdef",
    redis: "redis-pass/word+2",
    model: "sk-model+key/0123456789",
    mcp: "tmp_mcp0123456789abcdefghij",
    client: "tmp_client0123456789abcdefgh",
    drill: "drill-p@ssword+3",
    access: token,
  };
  const sentry = await startSentry();
  cleanups.push(() => sentry.close());
  const model = await openModelServer();
  cleanups.push(() => model.close());
  // As real ones do: the refusal repeats the key.
  model.answer((response, { headers }) => {
    response.writeHead(401, { "content-type": "application/json" });
    response.end(
      JSON.stringify({ error: { message: `Incorrect API key provided: ${headers.authorization}` } }),
    );
  });
  const role = `full_run_${process.pid}`;
  await sql(`CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD '${secrets.database}'`);
  cleanups.push(() => sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`));
  const database = new URL(world.connectionString);
  database.username = role;
  database.password = encodeURIComponent(secrets.database ?? "");

  const program = await start({
    LOG_LEVEL: "trace",
    DATABASE_URL: database.href,
    TASKMASTER_SESSION_SECRET: secrets.session ?? "",
    SENTRY_DSN: sentry.dsn,
    REDIS_URL: `redis://:${encodeURIComponent(secrets.redis ?? "")}@127.0.0.1:1`,
    TASKMASTER_LLM_BASE_URL: model.url,
    TASKMASTER_LLM_MODEL: "planner",
    TASKMASTER_LLM_API_KEY: secrets.model ?? "",
    TASKMASTER_MCP_TOKEN: secrets.mcp ?? "",
    TASKMASTER_TOKEN: secrets.client ?? "",
    TASKMASTER_BACKUP_DRILL_DATABASE_URL: `postgres://u:${encodeURIComponent(secrets.drill ?? "")}@127.0.0.1:1/x`,
    TASKMASTER_WEBHOOK_ALLOWED_NETWORKS: "127.0.0.0/8",
    TASKMASTER_WEBHOOK_ALLOW_HTTP: "true",
    TASKMASTER_METRICS_PORT: "0",
  });
  const url = await program.until(/Server listening at (http:\/\/127\.0\.0\.1:\d+)/);
  await program.until(/"msg":"ready"/);
  const statuses = new Set<number>();
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    statuses.add(response.status);
    const text = await response.text();
    return (text === "" ? {} : JSON.parse(text)) as Record<string, string>;
  };

  // Everything that gives a secret out.
  secrets.token = (await call("POST", "/tokens", { name: "second" })).token ?? "";
  secrets.sessionToken = (await call("POST", "/sessions", {})).token ?? "";
  await call("GET", "/me", undefined, { authorization: `Bearer ${secrets.sessionToken}` });
  const receiver = await startReceiver((_, response) => response.writeHead(500).end());
  cleanups.push(() => receiver.close());
  const hook = await call("POST", "/webhooks", { url: `${receiver.origin}/hook` });
  secrets.webhook = hook.secret ?? "";
  secrets.rotated = (await call("POST", `/webhooks/${hook.id}/rotate-secret`)).secret ?? "";
  const github = await call("POST", "/receivers", { name: "GitHub" });
  secrets.github = github.secret ?? "";
  await call("POST", "/projects", { key: "RUN", name: "Run" });
  await call("POST", "/projects/RUN/tags/master/tasks", { title: "One" });
  await receiver.until(1);
  const signed = { zen: "x" };
  const signature = createHmac("sha256", secrets.github).update(JSON.stringify(signed)).digest("hex");
  const deliver = (value: string) => ({
    "x-hub-signature-256": `sha256=${value}`,
    "x-github-event": "ping",
    "x-github-delivery": "1",
  });
  await call("POST", `/receivers/github/${github.id}`, signed, deliver(signature));
  await call("POST", `/receivers/github/${github.id}`, signed, deliver(secrets.github));

  // Secrets where they do not belong, and a failure of each class.
  for (const secret of [token, secrets.token, secrets.webhook, secrets.sessionToken]) {
    const encoded = encodeURIComponent(secret);
    await call("GET", `/me?access_token=${encoded}`);
    await call("GET", `/projects/${encoded}`);
    await call("GET", `/tasks/%22${encoded}`);
    await call("GET", "/me", undefined, { authorization: `Bearer ${secret}x` });
    await call("GET", "/me", undefined, { authorization: `Basic ${btoa(`user:${secret}`)}` });
    await call("GET", "/projects", undefined, { "x-request-id": secret.slice(0, 128) });
    await call("POST", "/projects", `{"key": "${secret}`);
    await call("POST", "/projects", { key: secret, [secret]: secret });
    await call("POST", "/projects/RUN/tags/master/tasks", { title: "x", assignee: secret });
  }
  await call("PATCH", "/projects/RUN", { name: "x" }, { "if-match": `"${token}"` });
  await call("POST", "/projects", { key: "RUN", name: "Again" });
  await call("PUT", "/projects", {});
  await call("POST", "/projects", "<x/>", { "content-type": "text/xml" });
  await call("POST", "/projects/RUN/tags/master/draft-task", { prompt: "Make a task" });
  await sql(
    "CREATE FUNCTION leak() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no % here', NEW.title; END $$",
  );
  await sql("CREATE TRIGGER leak BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION leak()");
  await call("POST", "/projects/RUN/tags/master/tasks", { title: `a ${token} b ${secrets.model} c` });
  const client = await connectTo(url, token);
  await client.callTool({ name: "get_task", arguments: { project: "RUN", id: token } }).catch(() => {});
  await client.callTool({ name: "add_task", arguments: { project: "RUN", title: token } }).catch(() => {});
  await client.callTool({ name: token, arguments: {} }).catch(() => {});
  await client.close();
  await sentry.until(({ tags }) => tags.part === "mcp");
  program.child.kill("SIGTERM");
  const { stdout, stderr, code } = await program.ended;
  expect(code).toBe(0);

  for (const status of [200, 201, 400, 401, 404, 405, 409, 415, 422, 500, 502])
    expect(statuses).toContain(status);
  // It was a full run: the log tells of each kind of thing that could have leaked.
  for (const told of [
    "request refused",
    "request failed",
    "an MCP request failed",
    "webhook attempt",
    "Redis cannot be reached",
  ])
    expect(stdout).toContain(told);
  const output = stdout + stderr;
  for (const [name, secret] of Object.entries(secrets)) {
    expect(secret.length, name).toBeGreaterThan(8);
    for (const form of formsOf(secret)) expect(output.includes(form), `${name} as ${form}`).toBe(false);
  }
});

async function sql(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: world.connectionString });
  await client.connect();
  await client.query(text).finally(() => client.end());
}

/** As it is, in JSON, in an address, and in base64 at each of the three places where it may begin. */
function formsOf(secret: string): string[] {
  const base64 = ["", "a", "ab"].map((before) =>
    Buffer.from(before + secret)
      .toString("base64")
      .slice(before === "" ? 0 : 4, -4),
  );
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    encodeURI(secret),
    ...base64,
    ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
  ];
}

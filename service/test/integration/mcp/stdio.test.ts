import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openTestCore, type TestCore, testSecret } from "../../support/core.ts";
import { runCli } from "../../support/program.ts";
import { ask, refusedBy, seed } from "./harness.ts";

const program = fileURLToPath(new URL("../../../src/bin/cli.ts", import.meta.url));
let test: TestCore;
const env = (more: Record<string, string> = {}) => ({
  DATABASE_URL: test.connectionString,
  TASKMASTER_SESSION_SECRET: testSecret,
  ...more,
});

beforeAll(async () => {
  test = await openTestCore();
  await seed(test.core, test.owner, "DEMO");
});
afterAll(async () => {
  await test.close();
});

async function withClient(
  more: Record<string, string>,
  work: (client: Client, errors: () => string) => Promise<void>,
) {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [program, "mcp"],
    env: env(more),
    stderr: "pipe",
  });
  let errors = "";
  transport.stderr?.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const client = new Client({ name: "test", version: "0" });
  await client.connect(transport);
  try {
    await client.listTools();
    await work(client, () => errors);
  } finally {
    await client.close();
  }
}

it("acts as the first organization's owner, and writes nothing but the protocol to standard output", async () => {
  await withClient({ LOG_LEVEL: "trace" }, async (client, errors) => {
    expect(await ask(client, "get_tasks")).toMatchObject({ project: "DEMO", tag: "master" });
    await ask(client, "set_task_status", { id: "1", status: "in-progress" });
    expect(await refusedBy(client, "get_task", { id: "99" })).toBe("not_found");
    expect(errors()).not.toContain("jsonrpc");
  });
  const { items } = await test.core.events.list(test.owner, "DEMO", { limit: 200 });
  expect(items.at(-1)).toMatchObject({ type: "task.updated", actor: { name: "owner@example.com" } });
}, 60_000);

it("is one session: it keeps a tag, and tells of changes that another process makes", async () => {
  await test.core.tags.create(test.owner, "DEMO", { name: "beta" });
  await withClient({ TASKMASTER_MCP_MODE: "all" }, async (client) => {
    expect(await ask(client, "use_tag", { name: "beta" })).toMatchObject({ kept: true });
    expect(await ask(client, "get_tasks")).toMatchObject({ tag: "beta" });
    const updated = new Promise<string>((resolve) => {
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => resolve(params.uri));
    });
    const uri = "task://DEMO/master/2";
    await client.subscribeResource({ uri });
    const { version } = await test.core.tasks.get(test.owner, "DEMO:master:2");
    await test.core.tasks.update(test.owner, "DEMO:master:2", { title: "Two!" }, { version });
    expect(await updated).toBe(uri);
  });
}, 60_000);

it("acts as the token's principal, until the token is revoked", async () => {
  const { id, token } = await test.core.tokens.create(test.owner, { name: "reader", scopes: ["read"] });
  await withClient({ TASKMASTER_MCP_TOKEN: token, TASKMASTER_MCP_MODE: "core" }, async (client) => {
    expect((await client.listTools()).tools).toHaveLength(12);
    await ask(client, "get_tasks");
    expect(await refusedBy(client, "add_task", { title: "No" })).toBe("forbidden");
    await test.core.tokens.revoke(test.owner, id);
    // By another process, whose word this one has within a second.
    await expect
      .poll(() => refusedBy(client, "get_tasks").catch(() => "not refused"), { timeout: 1_000 })
      .toBe("unauthenticated");
  });
  const { code, stdout, stderr } = await runCli(["mcp"], env({ TASKMASTER_MCP_TOKEN: token }));
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("revoked");
}, 60_000);

import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createCore } from "../../../src/core/create.ts";
import type { Core, TaskPatch } from "../../../src/core/index.ts";
import type { Storage } from "../../../src/core/storage.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { testSecret } from "../../support/core.ts";
import { addOrganization } from "../rest/harness.ts";
import { ask, type McpTest, openMcp, seed } from "./harness.ts";

let test: McpTest;
/** Another process on the same database, as far as the server can tell. */
let elsewhere: Storage;
let there: Core;

beforeAll(async () => {
  test = await openMcp({ TASKMASTER_MCP_MODE: "all" });
  await seed(test.core, test.owner, "DEMO");
  elsewhere = await openPostgres({
    connectionString: test.connectionString,
    poolSize: 2,
    statementTimeoutMs: 10_000,
  });
  there = await createCore(elsewhere, testSecret);
});
afterAll(async () => {
  await test.close();
  await elsewhere.close();
});

interface Listener {
  client: Client;
  /** What has changed since the last time, as soon as something has. */
  next(): Promise<string[]>;
}

async function listen(token = test.token): Promise<Listener> {
  const client = await test.connect(token);
  let seen: string[] = [];
  let wake = () => {};
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
    seen.push(params.uri);
    wake();
  });
  return {
    client,
    async next() {
      while (seen.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const now = [...new Set(seen)];
      seen = [];
      return now;
    },
  };
}

const uri = (id: string) => `task://DEMO/master/${id}`;

async function change(id: string, patch: TaskPatch): Promise<void> {
  const reference = `DEMO:master:${id}`;
  const { version } = await there.tasks.get(test.owner, reference);
  await there.tasks.update(test.owner, reference, patch, { version });
}

it("tells of every change of the task, whoever makes it, and of nothing else", async () => {
  const { client, next } = await listen();
  await client.subscribeResource({ uri: uri("1") });
  await client.subscribeResource({ uri: uri("2") });
  // Neither is about what task 1 reads like; the change behind them shows that they were not told.
  await there.comments.create(test.owner, "DEMO:master:1", { body: "Hello" });
  await change("4", { title: "Four!" });
  await change("2", { title: "Two!" });
  expect(await next()).toEqual([uri("2")]);
  const claim = await ask(client, "claim_next", { id: "1" });
  expect(await next()).toEqual([uri("1")]);
  const { id, fence } = claim.claim as { id: string; fence: number };
  await ask(client, "release_claim", { claimId: id, fence });
  expect(await next()).toEqual([uri("1")]);
  await client.unsubscribeResource({ uri: uri("1") });
  await change("1", { details: "More" });
  await there.tasks.delete(test.owner, "DEMO:master:2", { version: 3 });
  expect(await next()).toEqual([uri("2")]);
  await expect(client.readResource({ uri: uri("2") })).rejects.toMatchObject({ code: -32002 });
});

it("tells of what changes a whole tag, and of the project's end", async () => {
  await seed(test.core, test.owner, "SHORT");
  const { client, next } = await listen();
  const own = "task://SHORT/master/3.1";
  await client.subscribeResource({ uri: own });
  const tag = await there.tags.get(test.owner, "SHORT", "master");
  await there.tags.update(test.owner, "SHORT", "master", { name: "main" }, tag.version);
  expect(await next()).toEqual([own]);
  const { version } = await there.projects.get(test.owner, "SHORT");
  await there.projects.delete(test.owner, "SHORT", version);
  expect(await next()).toEqual([own]);
});

it("is for readers only, and within bounds", async () => {
  const stranger = await addOrganization(test.storage, "others");
  const other = await listen((await test.core.tokens.create(stranger, { name: "x" })).token);
  await expect(other.client.subscribeResource({ uri: uri("1") })).rejects.toMatchObject({ code: -32002 });
  const { client } = await listen();
  await expect(client.subscribeResource({ uri: "tasks://DEMO/master/done" })).rejects.toMatchObject({
    code: -32602,
  });
  await test.core.projects.create(test.owner, { key: "MANY", name: "Many" });
  await test.core.tags.create(test.owner, "MANY", { name: "list" });
  const operations = Array.from({ length: 101 }, (_, i) => ({
    op: "create" as const,
    task: { title: `Task ${i}` },
  }));
  await test.core.tasks.batch(test.owner, "MANY", "list", { operations });
  const subscribe = (number: number) => client.subscribeResource({ uri: `task://MANY/list/${number}` });
  const asked = await Promise.allSettled(Array.from({ length: 101 }, (_, i) => subscribe(i + 1)));
  const refused = asked.filter(({ status }) => status === "rejected");
  expect(refused).toEqual([
    {
      status: "rejected",
      reason: expect.objectContaining({ message: expect.stringContaining("at most 100") }),
    },
  ]);
}, 60_000);

it("ends within a second of the token's end", async () => {
  const { id, token } = await test.core.tokens.create(test.owner, { name: "short" });
  const short = await listen(token);
  const control = await listen();
  await short.client.subscribeResource({ uri: uri("4") });
  await control.client.subscribeResource({ uri: uri("4") });
  await test.core.tokens.revoke(test.owner, id);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  await change("4", { title: "Five" });
  expect(await control.next()).toEqual([uri("4")]);
  expect(
    await Promise.race([short.next(), new Promise((resolve) => setTimeout(resolve, 500, "quiet"))]),
  ).toBe("quiet");
});

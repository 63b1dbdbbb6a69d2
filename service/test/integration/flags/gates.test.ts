import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCore } from "../../../src/core/create.ts";
import { testSecret } from "../../support/core.ts";
import { ask, type McpTest, openMcp, refusedBy, seed } from "../mcp/harness.ts";
import { addMembers, addOrganization, api } from "../rest/harness.ts";
import { definitions } from "./support.ts";

let folder: string;
let test: McpTest;
/** Of another organization, for which the flags' file says nothing. */
let elsewhere: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flags-"));
  const file = join(folder, "flags.json");
  const rule = { to: false, when: { "===": [{ var: "organization" }, "first"] } };
  await writeFile(file, definitions({ "smart-next": rule }));
  test = await openMcp({ TASKMASTER_FLAGS: "webhooks=off", TASKMASTER_FLAGS_FILE: file });
  await seed(test.core, test.owner, "DEMO");
  const stranger = await addOrganization(test.storage, "elsewhere");
  await seed(test.core, stranger, "DEMO");
  elsewhere = (await addMembers(test.core, stranger, "elsewhere")).agent.token;
});
afterAll(async () => {
  await test.close();
  await rm(folder, { recursive: true });
});

const tag = `${api}/projects/DEMO/tags/master`;

describe("smart mode, switched off for an organization", () => {
  it("is refused over REST, and the other mode is not", async () => {
    const refused = await test.call("GET", `${tag}/next?mode=smart`);
    expect(refused.status).toBe(403);
    expect(refused.body).toMatchObject({ code: "forbidden", flag: "smart-next", reason: "targeting" });
    expect((await test.call("GET", `${tag}/next`)).status).toBe(200);

    const before = await test.call("GET", `${tag}/claims`);
    expect((await test.call("POST", `${tag}/claims`, { body: { mode: "smart" } })).status).toBe(403);
    expect((await test.call("GET", `${tag}/claims`)).body).toEqual(before.body);
    expect((await test.call("POST", `${tag}/claims`, { body: { mode: "compat" } })).status).toBe(201);
  });

  it("is refused over MCP, and the other mode is not", async () => {
    const client = await test.connect(test.token);
    expect(await refusedBy(client, "next_task", { mode: "smart" })).toBe("forbidden");
    expect(await refusedBy(client, "claim_next", { mode: "smart" })).toBe("forbidden");
    const { structuredContent } = (await client.callTool({
      name: "next_task",
      arguments: { mode: "smart" },
    })) as CallToolResult;
    expect(structuredContent).toMatchObject({ details: { flag: "smart-next" } });
    await ask(client, "next_task", {});
  });

  it("stays on for another", async () => {
    expect((await test.call("GET", `${tag}/next?mode=smart`, { token: elsewhere })).status).toBe(200);
    await ask(await test.connect(elsewhere), "next_task", { mode: "smart" });
    const key = { "idempotency-key": "one" };
    const claimed = await test.call("POST", `${tag}/claims`, {
      token: elsewhere,
      body: { mode: "smart" },
      headers: key,
    });
    expect(claimed.status).toBe(201);
  });

  it("is still answered to the repeat of a claim that was made before", async () => {
    const member = (await addMembers(test.core, test.owner, "home")).agent;
    const headers = { "idempotency-key": "before" };
    const body = { mode: "smart" as const, ttlSeconds: 900 };
    // On the same database, with another source of flags.
    const on = await createCore(test.storage, testSecret);
    const context = { ...member.context, idempotencyKey: headers["idempotency-key"] };
    const made = await on.claims.claimNext(context, "DEMO", "master", body);
    const repeat = await test.call("POST", `${tag}/claims`, {
      token: member.token,
      body,
      headers,
    });
    expect(repeat.status).toBe(201);
    expect(repeat.body).toEqual(made);
  });
});

describe("webhooks, switched off on this server", () => {
  const send = { url: "https://example.com/hook" };

  it("are not made, changed or tried, but can be seen and deleted", async () => {
    const on = await createCore(test.storage, testSecret);
    const { id } = await on.webhooks.create(test.owner, send);
    const one = `${api}/webhooks/${id}`;
    const headers = { "if-match": '"1"' };
    for (const [method, url, options] of [
      ["POST", `${api}/webhooks`, { body: send }],
      ["PATCH", one, { body: { events: ["task.*"] }, headers }],
      ["POST", `${one}/rotate-secret`, {}],
      ["POST", `${one}/test`, {}],
      ["POST", `${one}/replay`, {}],
    ] as const) {
      const refused = await test.call(method, url, options);
      expect([url, refused.status]).toEqual([url, 403]);
      expect(refused.body).toMatchObject({ code: "forbidden", flag: "webhooks", reason: "setting" });
    }
    expect((await test.call("GET", one)).status).toBe(200);
    expect((await test.call("DELETE", one, { headers })).status).toBe(204);
  });

  it("keep what is to be sent until they are on again, and count no attempt", async () => {
    const on = await createCore(test.storage, testSecret);
    const { id } = await on.webhooks.create(test.owner, send);
    const message = await on.webhooks.test(test.owner, id);
    const claim = { limit: 10, underWay: [], leaseSeconds: 60 };
    expect(await test.core.webhooks.take(claim)).toEqual([]);
    const waiting = await on.webhooks.getDelivery(test.owner, message.id);
    expect(waiting).toMatchObject({ state: "pending", attempts: 0, error: null });
    expect(waiting.nextAttemptAt !== null && waiting.nextAttemptAt > message.createdAt).toBe(true);
    // Not due yet, or it would go round and round.
    expect(await on.webhooks.take(claim)).toEqual([]);
  });
});

it("says what is on for the caller, and why", async () => {
  const own = await test.call("GET", `${api}/flags`);
  expect(own.body).toEqual({
    items: [
      { flag: "smart-next", on: false, reason: "targeting" },
      { flag: "webhooks", on: false, reason: "setting" },
    ],
    nextCursor: null,
  });
  const other = await test.call("GET", `${api}/flags`, { token: elsewhere });
  expect(other.body).toMatchObject({ items: [{ flag: "smart-next", on: true, reason: "default" }, {}] });
});

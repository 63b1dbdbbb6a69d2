import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLog } from "../../../src/log.ts";
import type { ToolFeature } from "../../../src/mcp/features.ts";
import { Sessions } from "../../../src/mcp/sessions.ts";
import { addOrganization, openTestApp } from "../rest/harness.ts";
import { ask, type McpTest, openMcp, seed } from "./harness.ts";

let test: McpTest;

beforeAll(async () => {
  test = await openMcp({ TASKMASTER_MCP_MODE: "all", TASKMASTER_MCP_SESSIONS_PER_MEMBER: "3" });
  await seed(test.core, test.owner, "DEMO");
});
afterAll(async () => {
  await test.close();
});

interface Sent {
  token?: string;
  session?: string | undefined;
  headers?: Record<string, string>;
  url?: string;
}

/** Without the SDK's client, which hides what is asked for here. */
function send(method: string, body?: object, { token, session, headers = {}, url }: Sent = {}) {
  return fetch(`${url ?? test.url}/mcp`, {
    method,
    headers: {
      authorization: `Bearer ${token ?? test.token}`,
      accept: "application/json, text/event-stream",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(session === undefined ? {} : { "mcp-session-id": session }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

const list = { jsonrpc: "2.0", id: 7, method: "tools/list" };
const call = (name: string, input: object = {}) => ({
  jsonrpc: "2.0",
  id: 8,
  method: "tools/call",
  params: { name, arguments: input },
});

async function initialize(sent: Sent = {}): Promise<string | undefined> {
  const answer = await send(
    "POST",
    {
      jsonrpc: "2.0",
      id: 1,
      method: "initialize",
      params: {
        protocolVersion: "2025-11-25",
        capabilities: {},
        clientInfo: { name: "test", version: "0" },
      },
    },
    sent,
  );
  expect(answer.status).toBe(200);
  await answer.text();
  return answer.headers.get("mcp-session-id") ?? undefined;
}

/** The messages of a stream until `count` have come, or it ends. */
async function messages(answer: Response, count: number): Promise<{ id: string; data: unknown }[]> {
  const found: { id: string; data: unknown }[] = [];
  const reader = (answer.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (found.length < count) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = /^data: (.+)$/m.exec(block)?.[1];
      if (data !== undefined)
        found.push({ id: /^id: (.+)$/m.exec(block)?.[1] ?? "", data: JSON.parse(data) });
    }
  }
  await reader.cancel();
  return found;
}

/** Resolves when the stream has ended. */
async function ended(answer: Response): Promise<void> {
  const reader = (answer.body ?? new ReadableStream()).getReader();
  while (!(await reader.read().catch(() => ({ done: true }))).done);
}

describe("a session", () => {
  it("belongs to the credential that opened it", async () => {
    const session = await initialize();
    expect(session).toMatch(/^[0-9a-f-]{36}$/);
    expect((await send("POST", list, { session })).status).toBe(200);
    const { token } = await test.core.tokens.create(test.owner, { name: "second" });
    const stranger = await addOrganization(test.storage, "strangers");
    const foreign = (await test.core.tokens.create(stranger, { name: "x" })).token;
    for (const other of [token, foreign]) {
      for (const method of ["POST", "GET", "DELETE"]) {
        const answer = await send(method, method === "POST" ? list : undefined, { session, token: other });
        expect([method, answer.status]).toEqual([method, 404]);
      }
    }
    expect((await send("POST", list, { session })).status).toBe(200);
    expect((await send("DELETE", undefined, { session })).status).toBe(200);
  });

  it("that is over, or another replica's, is answered 404, and a new one can be had", async () => {
    const session = await initialize();
    const other = await (await test.another({})).listen({ host: "127.0.0.1", port: 0 });
    expect((await send("POST", call("get_tasks"), { session, url: other })).status).toBe(404);
    expect((await send("DELETE", undefined, { session })).status).toBe(200);
    const answer = await send("POST", list, { session });
    expect([answer.status, await answer.json()]).toMatchObject([404, { error: { code: -32001 } }]);
    expect(await initialize()).toBeDefined();
    // A call on its own is answered by any of them.
    for (const url of [test.url, other]) {
      expect((await send("POST", call("get_tasks"), { url })).status).toBe(200);
    }
  });

  it("keeps a tag for itself alone", async () => {
    await test.core.tags.create(test.owner, "DEMO", { name: "beta" });
    const [one, two] = [await test.connect(test.token), await test.connect(test.token)];
    expect(await ask(one, "use_tag", { name: "beta" })).toMatchObject({ tag: "beta", kept: true });
    expect((await ask(one, "get_tasks")).tag).toBe("beta");
    expect((await ask(one, "get_tasks", { tag: "master" })).tag).toBe("master");
    expect((await ask(two, "get_tasks")).tag).toBe("master");
    await ask(one, "rename_tag", { oldName: "beta", newName: "gamma" });
    expect((await ask(one, "get_tasks")).tag).toBe("gamma");
    await ask(one, "delete_tag", { name: "gamma" });
    expect((await ask(one, "get_tasks")).tag).toBe("master");
    await test.core.tags.create(test.owner, "DEMO", { name: "beta" });
    const alone = await send("POST", call("use_tag", { name: "beta" }));
    expect(await alone.json()).toMatchObject({
      result: { structuredContent: { kept: false, pass: { tag: "beta" } } },
    });
    const next = await send("POST", call("get_tasks"));
    expect(await next.json()).toMatchObject({ result: { structuredContent: { tag: "master" } } });
    await one.close();
    await two.close();
  });

  it("ends its streams with it, and the app its sessions", async () => {
    const app = await test.another({});
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    for (const end of [
      (session: string | undefined) => send("DELETE", undefined, { session, url }),
      () => app.close(),
    ]) {
      const session = await initialize({ url });
      const stream = await send("GET", undefined, { session, url });
      expect(stream.headers.get("content-type")).toBe("text/event-stream");
      const over = ended(stream);
      await end(session);
      await over;
    }
  });
});

it("a call that is under way when the server stops is answered", async () => {
  let begun = () => {};
  const running = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const slow: ToolFeature = {
    definition: { name: "slow", inputSchema: { type: "object" } },
    async call() {
      begun();
      await sleep(300);
      return { content: [{ type: "text", text: "Done." }] };
    },
  };
  const own = await openTestApp({}, { more: { tools: [slow] } });
  const sent = { url: await own.app.listen({ host: "127.0.0.1", port: 0 }), token: own.token };
  const session = await initialize(sent);
  const listening = await send("GET", undefined, { session, ...sent });
  const answer = send("POST", call("slow"), { session, ...sent });
  await running;
  const closed = own.close();
  await ended(listening);
  const [message] = await messages(await answer, 1);
  expect(message?.data).toMatchObject({ result: { content: [{ text: "Done." }] } });
  await closed;
});

describe("a stream", () => {
  it("goes on behind Last-Event-ID, as far as what came is kept", async () => {
    const session = await initialize();
    const [first] = await messages(await send("POST", call("get_tasks"), { session }), 1);
    const sequence = Number(first?.id.split("-", 1)[0]);
    const before = first?.id.replace(/^\d+/, String(sequence - 1)) ?? "";
    const resumed = await send("GET", undefined, { session, headers: { "last-event-id": before } });
    expect(await messages(resumed, 1)).toEqual([first]);
    for (const unknown of ["999-_GET_stream", "x", "0-_GET_stream"]) {
      const answer = await send("GET", undefined, { session, headers: { "last-event-id": unknown } });
      expect(answer.status).toBe(400);
    }
    // More than is kept goes by.
    for (let i = 0; i < 105; i++) await (await send("POST", list, { session })).text();
    const late = await send("GET", undefined, { session, headers: { "last-event-id": before } });
    expect([late.status, (await late.json()) as unknown]).toMatchObject([400, { error: { code: -32000 } }]);
    await send("DELETE", undefined, { session });
  });

  it("takes the place of the client's earlier one", async () => {
    const session = await initialize();
    const first = await send("GET", undefined, { session });
    const over = ended(first);
    const second = await send("GET", undefined, { session });
    expect(second.status).toBe(200);
    await over;
    await send("DELETE", undefined, { session });
    await ended(second);
  });

  it("is no part of a server without sessions", async () => {
    const url = await (await test.another({ TASKMASTER_MCP_SESSIONS_PER_MEMBER: "0" })).listen({
      host: "127.0.0.1",
      port: 0,
    });
    expect(await initialize({ url })).toBeUndefined();
    expect((await send("GET", undefined, { url })).status).toBe(405);
  });
});

describe("sessions in number", () => {
  it("are bounded a member: the longest idle one ends, and where none is idle there is no new one", async () => {
    const { token } = await test.core.tokens.create(test.owner, { name: "busy" });
    const app = await test.another({ TASKMASTER_MCP_SESSIONS_PER_MEMBER: "2" });
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    const [one, two] = [await initialize({ url, token }), await initialize({ url, token })];
    await (await send("POST", list, { session: one, url, token })).text();
    const three = await initialize({ url, token });
    const statuses = await Promise.all(
      [one, two, three].map(async (session) => (await send("POST", list, { session, url, token })).status),
    );
    expect(statuses).toEqual([200, 404, 200]);
    const streams = [];
    for (const session of [one, three]) streams.push(await send("GET", undefined, { session, url, token }));
    expect(await initialize({ url, token })).toBeUndefined();
    for (const stream of streams) await stream.body?.cancel();
  });

  it("end when they are idle, and when their token is revoked while they listen", async () => {
    const log = createLog({ logLevel: "silent" });
    const sessions = new Sessions({ core: test.core, log, perMember: 10, graceMs: 0 });
    const { id, token } = await test.core.tokens.create(test.owner, { name: "listener" });
    const caller = await test.core.access.fromAccessToken(token);
    const own = await test.core.access.fromAccessToken(test.token);
    const [idle, revoked, good] = [sessions.create(own), sessions.create(caller), sessions.create(own)];
    if (idle === undefined || revoked === undefined || good === undefined) throw new Error("no session");
    revoked.open = 1;
    good.open = 1;
    await sessions.sweep();
    expect(sessions.size).toBe(3);
    await test.core.tokens.revoke(test.owner, id);
    await sessions.sweep();
    expect([sessions.find(revoked.id, caller), sessions.size]).toEqual([undefined, 2]);
    await sessions.sweep(performance.now() + 31 * 60_000);
    expect([sessions.find(idle.id, own), sessions.find(good.id, own)]).toEqual([undefined, good]);
    await sessions.close();
    expect(sessions.size).toBe(0);
  });

  it("do not outlive their clients' end of the session", async () => {
    const client = new Client({ name: "test", version: "0" });
    const transport = test.transport(test.token);
    await client.connect(transport as Transport);
    const session = transport.sessionId;
    await transport.terminateSession();
    await sleep(0);
    expect((await send("POST", list, { session })).status).toBe(404);
    await client.close();
  });
});

describe("completion", () => {
  it("offers projects, tags, statuses and tasks that the caller can read", async () => {
    const client = await test.connect(test.token);
    const values = async (
      ref: { type: "ref/prompt"; name: string } | { type: "ref/resource"; uri: string },
      name: string,
      value: string,
      others: Record<string, string> = {},
    ) => {
      const { completion } = await client.complete({
        ref,
        argument: { name, value },
        context: { arguments: others },
      });
      return completion.values;
    };
    const prompt = { type: "ref/prompt", name: "next_task" } as const;
    const task = { type: "ref/resource", uri: "task://{project}/{tag}/{id}" } as const;
    const tasks = { type: "ref/resource", uri: "tasks://{project}/{tag}/{status}" } as const;
    expect(await values(prompt, "project", "de")).toEqual(["DEMO"]);
    expect(await values(prompt, "tag", "ma", { project: "DEMO" })).toEqual(["master"]);
    expect(await values(prompt, "tag", "", { project: "NOWHERE" })).toEqual([]);
    expect(await values(task, "id", "3", { project: "DEMO", tag: "master" })).toEqual(["3", "3.1", "3.2"]);
    expect(await values(tasks, "status", "d")).toEqual(["done", "deferred"]);
    await expect(values({ type: "ref/prompt", name: "x" }, "a", "")).rejects.toMatchObject({ code: -32602 });
    await expect(values({ type: "ref/resource", uri: "x" }, "a", "")).rejects.toMatchObject({ code: -32602 });
    const stranger = await addOrganization(test.storage, "elsewhere");
    const other = await test.connect((await test.core.tokens.create(stranger, { name: "x" })).token);
    const { completion } = await other.complete({ ref: prompt, argument: { name: "project", value: "" } });
    expect(completion.values).toEqual([]);
  });

  it("and a list of tasks is a resource", async () => {
    const client = await test.connect(test.token);
    const { contents } = await client.readResource({ uri: "tasks://DEMO/master/pending" });
    const { items, more } = JSON.parse(String((contents[0] as { text: string }).text)) as {
      items: object[];
      more: boolean;
    };
    expect([items.length, more]).toEqual([6, false]);
    for (const uri of ["tasks://DEMO/master/finished", "tasks://DEMO/nowhere/done", "other://x"]) {
      await expect(client.readResource({ uri })).rejects.toMatchObject({ code: -32002 });
    }
  });
});

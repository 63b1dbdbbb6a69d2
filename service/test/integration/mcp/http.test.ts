import { request } from "node:http";
import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addMembers, addOrganization, type Member } from "../rest/harness.ts";
import { ask, connectTo, type McpTest, openMcp, refusedBy, seed } from "./harness.ts";

const allowed = "https://tasks.example.com";
let test: McpTest;
let client: Client;

beforeAll(async () => {
  test = await openMcp({ TASKMASTER_CORS_ORIGINS: allowed });
  await seed(test.core, test.owner, "DEMO");
  client = await test.connect(test.token);
});
afterAll(async () => {
  await test.close();
});

const list = { jsonrpc: "2.0", id: 1, method: "tools/list" };

/** Without the SDK's client, which sends nothing that is wrong. */
function send(
  method: string,
  { body, headers = {}, token }: { body?: string; headers?: Record<string, string>; token?: string } = {},
): Promise<Response> {
  return fetch(`${test.url}/mcp`, {
    method,
    headers: {
      authorization: `Bearer ${token ?? test.token}`,
      accept: "application/json, text/event-stream",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
  });
}

describe("the transport", () => {
  it("answers POST as JSON and has no GET or DELETE", async () => {
    const answer = await send("POST", { body: JSON.stringify(list) });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([
      200,
      expect.stringContaining("application/json"),
    ]);
    for (const method of ["GET", "DELETE"]) {
      const refused = await send(method);
      expect([refused.status, refused.headers.get("allow")]).toEqual([405, "POST"]);
    }
    const note = JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" });
    const accepted = await send("POST", { body: note });
    expect([accepted.status, await accepted.text()]).toEqual([202, ""]);
  });

  it.each([
    ["no JSON", "{", 400],
    ["no message", '{"a":1}', 400],
    ["several messages at once", JSON.stringify([list, list]), 400],
    ["text that cannot be stored", JSON.stringify({ ...list, id: "a\0" }), 422],
    ["a huge body", JSON.stringify({ ...list, padding: "x".repeat(1_100_000) }), 413],
  ])("refuses %s", async (_what, body, status) => {
    expect((await send("POST", { body })).status).toBe(status);
  });

  it("refuses an Accept, a type and a protocol version that it cannot serve", async () => {
    const body = JSON.stringify(list);
    expect((await send("POST", { body, headers: { accept: "text/html" } })).status).toBe(406);
    expect((await send("POST", { body, headers: { "content-type": "text/plain" } })).status).toBe(415);
    expect((await send("POST", { body, headers: { "mcp-protocol-version": "1999" } })).status).toBe(400);
  });

  it("takes pages of the allowed origins only", async () => {
    const statusFor = (origin: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        // fetch does not let a page, or a test, choose the Origin.
        const sent = request(`${test.url}/mcp`, {
          method: "POST",
          headers: {
            origin,
            authorization: `Bearer ${test.token}`,
            accept: "application/json, text/event-stream",
            "content-type": "application/json",
          },
        });
        sent.on("response", (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        });
        sent.on("error", reject);
        sent.end(JSON.stringify(list));
      });
    expect(await statusFor(allowed)).toBe(200);
    expect(await statusFor("https://evil.example.com")).toBe(403);
    expect(await statusFor("null")).toBe(403);
  });
});

describe("credentials", () => {
  it("are asked for with the address of the metadata", async () => {
    for (const token of ["tmp_nothing", "x"]) {
      const answer = await send("POST", { body: JSON.stringify(list), token });
      expect(answer.status).toBe(401);
      expect(answer.headers.get("www-authenticate")).toContain(
        `resource_metadata="${test.url}/.well-known/oauth-protected-resource/mcp"`,
      );
    }
    for (const path of ["", "/mcp"]) {
      const answer = await fetch(`${test.url}/.well-known/oauth-protected-resource${path}`);
      expect(await answer.json()).toEqual({
        resource: `${test.url}/mcp`,
        resource_name: "Task Master Pro",
        bearer_methods_supported: ["header"],
      });
    }
  });

  it("name the issuer where one is configured", async () => {
    const app = await test.another({
      TASKMASTER_OIDC_ISSUER: "https://id.example.com",
      TASKMASTER_OIDC_AUDIENCE: "tasks",
      TASKMASTER_OIDC_JWKS_URL: "https://id.example.com/keys",
      TASKMASTER_PUBLIC_URL: "https://tasks.example.com",
    });
    const answer = await app.inject("/.well-known/oauth-protected-resource/mcp");
    expect(answer.json()).toMatchObject({
      resource: "https://tasks.example.com/mcp",
      authorization_servers: ["https://id.example.com"],
    });
  });

  it("end with their revocation", async () => {
    const { id, token } = await test.core.tokens.create(test.owner, { name: "short" });
    const short = await test.connect(token);
    await ask(short, "get_tasks");
    await test.core.tokens.revoke(test.owner, id);
    await expect(short.callTool({ name: "get_tasks", arguments: {} })).rejects.toThrow("revoked");
  });

  it("are counted by the same limit as REST's", async () => {
    const app = await test.another({ TASKMASTER_RATE_LIMIT_MAX: "3" });
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    const { token } = await test.core.tokens.create(test.owner, { name: "limited" });
    await expect(
      (async () => {
        const limited = await connectTo(url, token);
        for (let i = 0; i < 4; i++) await limited.callTool({ name: "get_tasks", arguments: {} });
      })(),
    ).rejects.toThrow("429");
  });
});

describe("who may do what", () => {
  let members: Record<string, Member>;
  beforeAll(async () => {
    members = await addMembers(test.core, test.owner, "mcp");
  });
  const clientOf = (role: string) => test.connect(members[role]?.token ?? "");

  it("is the role's and the token's", async () => {
    const viewer = await clientOf("viewer");
    await ask(viewer, "get_tasks");
    expect(await refusedBy(viewer, "add_task", { title: "No" })).toBe("forbidden");
    expect(await refusedBy(viewer, "claim_next")).toBe("forbidden");
    const agent = await clientOf("agent");
    expect((await ask(agent, "add_task", { title: "Yes" })).task).toMatchObject({ title: "Yes" });
    const { token } = await test.core.tokens.create(test.owner, { name: "reader", scopes: ["read"] });
    const reader = await test.connect(token);
    await ask(reader, "next_task");
    expect(await refusedBy(reader, "set_task_status", { id: "1", status: "done" })).toBe("forbidden");
  });

  it("ends at the organization", async () => {
    const stranger = await addOrganization(test.storage, "other");
    const other = await test.connect((await test.core.tokens.create(stranger, { name: "x" })).token);
    const task = await test.core.tasks.get(test.owner, "DEMO:master:1");
    for (const [name, input] of [
      ["get_tasks", {}],
      ["get_tasks", { project: "DEMO" }],
      ["get_task", { project: "DEMO", id: task.id }],
      ["get_task", { project: "DEMO", id: "DEMO:master:1" }],
      ["set_task_status", { project: "DEMO", id: "1", status: "done" }],
      ["remove_task", { project: "DEMO", id: "1" }],
      ["claim_next", { project: "DEMO" }],
      ["get_events", { project: "DEMO" }],
      ["list_tags", { project: "DEMO" }],
    ] as const) {
      expect([name, await refusedBy(other, name, input)]).toEqual([name, "not_found"]);
    }
    await expect(other.readResource({ uri: "task://DEMO/master/1" })).rejects.toMatchObject({ code: -32002 });
    expect(await test.core.tasks.get(test.owner, "DEMO:master:1")).toEqual(task);
    expect((await ask(client, "get_tasks")).project).toBe("DEMO");
  });
});

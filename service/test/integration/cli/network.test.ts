import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Page, Task } from "../../../src/core/index.ts";
import { openServerPlace, run, type ServerPlace } from "./harness.ts";

let place: ServerPlace;
const servers: Server[] = [];

beforeAll(async () => {
  place = await openServerPlace();
});
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});
afterAll(async () => {
  await place.close();
});

async function serve(listener: RequestListener): Promise<Record<string, string>> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { TASKMASTER_SERVER: `http://127.0.0.1:${port}`, TASKMASTER_TOKEN: place.app.token };
}

type Meddling = "cut after" | "busy" | "pass";

/** Passes everything on to the real server, but for what `meddle` takes on itself. */
async function proxy(meddle: (request: IncomingMessage, count: number) => Meddling | Promise<Meddling>) {
  const seen: { method: string; key: string | undefined }[] = [];
  const env = await serve(async (request, response) => {
    const key = request.headers["idempotency-key"];
    seen.push({ method: request.method ?? "", key: typeof key === "string" ? key : undefined });
    const what = await meddle(request, seen.length);
    if (what === "busy") {
      response.writeHead(503, { "content-type": "application/problem+json", "retry-after": "0" });
      response.end(JSON.stringify({ code: "unavailable", detail: "Not now.", type: "x", title: "x" }));
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const {
      host: _h,
      connection: _c,
      "content-length": _l,
      "transfer-encoding": _t,
      ...headers
    } = request.headers;
    const answer = await fetch(`${place.url}${request.url}`, {
      method: request.method ?? "GET",
      headers: headers as Record<string, string>,
      ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
    });
    const body = Buffer.from(await answer.arrayBuffer());
    if (what === "cut after") {
      request.socket.destroy();
      return;
    }
    const type = answer.headers.get("content-type");
    response.writeHead(answer.status, type === null ? {} : { "content-type": type });
    response.end(body);
  });
  return { env, seen };
}

const titles = async () => (await place.json<Page<Task>>(["list"])).items.map(({ title }) => title);

describe("a repeat", () => {
  it("makes a change once, under the same key, when the answer was cut off", async () => {
    const { env, seen } = await proxy(({ method }, count) =>
      method === "POST" && count === 1 ? "cut after" : "pass",
    );
    const before = await titles();
    const ran = await run(["add", "Once", "--project", "DEMO"], { env });
    expect(ran).toMatchObject({ code: 0 });
    expect(await titles()).toEqual([...before, "Once"]);
    expect(seen.map(({ method }) => method)).toEqual(["POST", "POST"]);
    expect(seen[0]?.key).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen[1]?.key).toBe(seen[0]?.key);
  });

  it("follows a server that asks to wait", async () => {
    const { env, seen } = await proxy((_request, count) => (count === 1 ? "busy" : "pass"));
    expect((await run(["list", "--project", "DEMO"], { env })).code).toBe(0);
    expect(seen).toHaveLength(2);
  });

  it("happens once only", async () => {
    const { env, seen } = await proxy(() => "busy");
    expect(await run(["list", "--project", "DEMO"], { env })).toMatchObject({
      code: 6,
      err: "task-master-pro: Not now.\n",
    });
    expect(seen).toHaveLength(2);
  });

  it("of a status looks first whether it is there already", async () => {
    const { env, seen } = await proxy(({ method }, count) =>
      method === "PATCH" && count < 4 ? "cut after" : "pass",
    );
    expect(await run(["set-status", "4", "review", "--project", "DEMO"], { env })).toMatchObject({ code: 0 });
    expect(seen.map(({ method }) => method)).toEqual(["GET", "PATCH", "GET"]);
    await place.json(["set-status", "4", "pending"]);
  });

  it("is not made of other changes, which are said to be in doubt", async () => {
    const { env, seen } = await proxy(({ method }) => (method === "PATCH" ? "cut after" : "pass"));
    expect(await run(["update", "4", "--title", "Changed", "--project", "DEMO"], { env })).toMatchObject({
      code: 6,
      err: expect.stringContaining("The change may have been made: look before you repeat it."),
    });
    expect(seen.filter(({ method }) => method === "PATCH")).toHaveLength(1);
  });
});

describe("another's change in between", () => {
  it("is said, and nothing is overwritten; a status is set on top of it", async () => {
    const meddled = async (id: string) => {
      const { env } = await proxy(async ({ method }, count) => {
        if (method === "PATCH" && count === 2) await place.json(["update", id, "--assignee", "bob"]);
        return "pass" as const;
      });
      return env;
    };
    expect(
      await run(["update", "2", "--title", "Mine", "--project", "DEMO"], { env: await meddled("2") }),
    ).toMatchObject({
      code: 4,
      err: expect.stringContaining("version"),
    });
    expect(await place.json(["show", "2"])).toMatchObject({ title: "Two", assignee: "bob" });
    const { code } = await run(["set-status", "1", "review", "--project", "DEMO"], {
      env: await meddled("1"),
    });
    expect(code).toBe(0);
    expect(await place.json(["show", "1"])).toMatchObject({ status: "review", assignee: "bob" });
  });
});

describe("what is no answer of the API", () => {
  const project = ["--project", "DEMO"];
  const page = (status: number, headers: Record<string, string>, body: string) =>
    serve((_request, response) => {
      response.writeHead(status, headers);
      response.end(body);
    });

  it("is said of a page, of broken JSON, of JSON that is no problem, and of a way elsewhere", async () => {
    const html = await page(200, { "content-type": "text/html" }, "<p>Welcome</p>");
    expect(await run(["list", ...project], { env: html })).toMatchObject({
      code: 6,
      err: expect.stringContaining("answers 200 with text/html, which no Task Master Pro server does"),
    });
    const broken = await page(200, { "content-type": "application/json" }, '{"items":[');
    expect((await run(["list", ...project], { env: broken })).code).toBe(6);
    const strange = await page(400, { "content-type": "application/json" }, '{"error":"no"}');
    expect((await run(["list", ...project], { env: strange })).code).toBe(6);
    const away = await page(302, { location: "https://login.example.com/" }, "");
    expect(await run(["list", ...project], { env: away })).toMatchObject({
      code: 6,
      err: expect.stringContaining("sends on to https://login.example.com/"),
    });
    const gateway = await page(502, { "content-type": "text/html" }, "Bad gateway");
    expect(await run(["list", ...project], { env: gateway })).toMatchObject({
      code: 6,
      err: expect.stringContaining("Try again later"),
    });
  });

  it("is said of nobody there, no such host, and a token that is not good", async () => {
    const at = (server: string) => ({ env: { TASKMASTER_SERVER: server, TASKMASTER_TOKEN: "x" } });
    const { TASKMASTER_SERVER: left = "" } = await serve(() => {});
    await new Promise((resolve) => servers.pop()?.close(resolve));
    expect(await run(["list", ...project], at(left))).toMatchObject({
      code: 6,
      err: `task-master-pro: ${left} cannot be reached: nothing listens there.\n`,
    });
    const nowhere = await run(["list", ...project, "--json"], at("http://nowhere.invalid"));
    expect([nowhere.code, JSON.parse(nowhere.err).code]).toEqual([6, "unreachable"]);
    expect(await run(["list", ...project], at(place.url))).toMatchObject({ code: 5 });
    expect(await run(["list", ...project], at("not an address"))).toMatchObject({ code: 2 });
  });

  it("is a defect of the server where it says so, with the request's id", async () => {
    const broken = await page(
      500,
      { "content-type": "application/problem+json" },
      JSON.stringify({
        code: "internal_error",
        detail: "The server failed.",
        requestId: "abc",
        type: "x",
        title: "x",
      }),
    );
    expect(await run(["list", ...project], { env: broken })).toEqual({
      code: 1,
      out: "",
      err: "task-master-pro: The server failed.\n  request id: abc\n",
    });
  });
});

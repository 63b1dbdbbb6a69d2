import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { buildWorld, type World } from "./cases.ts";
import { type Answer, api, type Call, fingerprint, openTestApp, type TestApp } from "./harness.ts";

let test: TestApp;
let world: World;
let tag: string;
let before: string;

beforeAll(async () => {
  test = await openTestApp();
  world = await buildWorld(test.core, test.owner);
  tag = `${api}/projects/${world.project}/tags/${encodeURIComponent(world.tag)}`;
});
afterAll(() => test.close());
beforeEach(async () => {
  before = await fingerprint(test.connectionString);
});
afterEach(async () => {
  expect(await fingerprint(test.connectionString)).toBe(before);
});

interface Expected {
  status: number;
  code?: string;
  pointer?: string;
  says?: string;
}

function expectProblem(answer: Answer, { status, code = "invalid_input", pointer, says }: Expected): void {
  expect([answer.status, answer.body.code]).toEqual([status, code]);
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  expect(answer.body).toMatchObject({
    type: `urn:task-master-pro:problem:${code}`,
    status,
    title: expect.any(String),
    detail: expect.any(String),
    requestId: answer.headers["x-request-id"],
  });
  if (pointer !== undefined) expect(answer.body.errors).toContainEqual(expect.objectContaining({ pointer }));
  if (says !== undefined) expect(answer.text).toContain(says);
}

const deep = `{"title":"x","metadata":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}}`;
const deepInside = `{"title":"${"\\\\".repeat(10)}","metadata":{"a":${"[".repeat(100_000)}`;

/** Bodies for a new task, and what must be said of each. */
const bodies: [string, Call, Expected][] = [
  [
    "an unknown member",
    { body: { title: "x", prio: "high" } },
    { status: 422, pointer: "/prio", says: "priority" },
  ],
  ["a wrong type", { body: { title: 5 } }, { status: 422, pointer: "/title", says: "a string" }],
  ["a number as text", { body: { title: "x", effort: "5" } }, { status: 422, pointer: "/effort" }],
  [
    "an unknown status",
    { body: { title: "x", status: "doing" } },
    { status: 422, pointer: "/status", says: "in-progress" },
  ],
  [
    "a member deep inside",
    { body: { title: "x", complexity: { score: 11 } } },
    { status: 422, pointer: "/complexity/score" },
  ],
  ["a missing member", { body: {} }, { status: 422, pointer: "/title" }],
  ["a blank title", { body: { title: "  " } }, { status: 422, pointer: "/title" }],
  ["a long title", { body: { title: "x".repeat(1001) } }, { status: 422, pointer: "/title" }],
  ["the same label twice", { body: { title: "x", labels: ["a", "a"] } }, { status: 422, pointer: "/labels" }],
  ["an array", { body: [] }, { status: 422, pointer: "" }],
  ["null", { raw: "null" }, { status: 422, pointer: "" }],
  ["no body", {}, { status: 422 }],
  ["an empty body", { raw: "", headers: { "content-type": "application/json" } }, { status: 422 }],
  ["a dependency that is no task", { body: { title: "x", dependencies: ["99"] } }, { status: 422 }],
  ["objects 100,000 levels deep", { raw: deep }, { status: 422, says: "100 levels" }],
  ["arrays 100,000 levels deep, unfinished", { raw: deepInside }, { status: 422, says: "100 levels" }],
  ["NUL in text", { raw: '{"title":"a\\u0000b"}' }, { status: 422, pointer: "/title", says: "NUL" }],
  ["NUL in a name", { raw: '{"title":"x","metadata":{"a\\u0000":1}}' }, { status: 422, says: "NUL" }],
  [
    "half a surrogate pair",
    { raw: '{"title":"\\ud83d"}' },
    { status: 422, pointer: "/title", says: "surrogate" },
  ],
  [
    "half a pair deep inside",
    { raw: '{"title":"x","metadata":{"a":["\\udc00"]}}' },
    { status: 422, pointer: "/metadata/a/0" },
  ],
  [
    "__proto__",
    { raw: '{"title":"x","__proto__":{"status":"done"}}' },
    { status: 422, pointer: "/__proto__" },
  ],
  [
    "constructor.prototype",
    { raw: '{"title":"x","metadata":{"constructor":{"prototype":{}}}}' },
    { status: 422, pointer: "/metadata/constructor" },
  ],
  [
    "malformed JSON",
    { raw: '{\n  "title": }' },
    { status: 400, code: "malformed_request", says: "line 2, column 12" },
  ],
  [
    "JSON that ends early",
    { raw: '{"title":"x"' },
    { status: 400, code: "malformed_request", says: "line 1" },
  ],
  ["two values", { raw: '{"title":"x"}{"title":"y"}' }, { status: 400, code: "malformed_request" }],
  [
    "no UTF-8",
    { raw: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) },
    { status: 400, code: "malformed_request", says: "UTF-8" },
  ],
  [
    "plain text",
    { raw: '{"title":"x"}', headers: { "content-type": "text/plain" } },
    { status: 415, code: "unsupported_media_type" },
  ],
  [
    "a form",
    { raw: "title=x", headers: { "content-type": "application/x-www-form-urlencoded" } },
    { status: 415, code: "unsupported_media_type" },
  ],
  [
    "another charset",
    { raw: "{}", headers: { "content-type": "application/json; charset=utf-16" } },
    { status: 415, code: "unsupported_media_type" },
  ],
  [
    "a compressed body",
    { raw: "{}", headers: { "content-encoding": "gzip" } },
    { status: 415, code: "unsupported_media_type" },
  ],
  [
    "too much",
    { body: { title: "x", details: "x".repeat(1_100_000) } },
    { status: 413, code: "too_large", says: "1048576 bytes" },
  ],
];

describe("a new task's body", () => {
  it.each(bodies)("of %s is refused", async (_name, call, expected) => {
    expectProblem(await test.call("POST", `${tag}/tasks`, call), expected);
  });

  it("of nothing that is nothing's name says every fault at once", async () => {
    const answer = await test.call("POST", `${tag}/tasks`, {
      body: { titel: "x", effort: -1, labels: [1, "a"] },
    });
    const pointers = (answer.body.errors as { pointer: string }[]).map(({ pointer }) => pointer).sort();
    expect(pointers).toEqual(["/effort", "/labels/0", "/titel", "/title"]);
  });

  it("of a batch names the step and the member", async () => {
    const answer = await test.call("POST", `${tag}/tasks:batch`, {
      body: {
        operations: [{ op: "create", task: { title: "x" } }, { op: "create", task: {} }, { op: "zap" }],
      },
    });
    expectProblem(answer, { status: 422, pointer: "/operations/1/task/title" });
    expectProblem(answer, { status: 422, pointer: "/operations/2", says: 'op \\"delete\\"' });
  });

  it("where none belongs is refused", async () => {
    expectProblem(await test.call("POST", `${tag}/fix`, { body: { all: true } }), {
      status: 422,
      pointer: "/all",
    });
    expectProblem(
      await test.call("DELETE", `${api}/tokens/${world.accessToken}`, { body: { force: true } }),
      { status: 422, says: "no body" },
    );
  });
});

const uuid = "01980d7e-8f00-7000-8000-00000000ffff";
const addresses: [string, string, Expected][] = [
  ["a limit of nothing", `${api}/projects?limit=0`, { status: 400, pointer: "/query/limit" }],
  ["a negative limit", `${api}/projects?limit=-5`, { status: 400, pointer: "/query/limit" }],
  [
    "a huge limit",
    `${api}/projects?limit=99999999999999999999`,
    { status: 400, pointer: "/query/limit", says: "200" },
  ],
  ["a limit in words", `${api}/projects?limit=ten`, { status: 400, pointer: "/query/limit" }],
  ["two limits", `${api}/projects?limit=1&limit=2`, { status: 400, pointer: "/query/limit" }],
  [
    "an unknown parameter",
    `${api}/projects?sort=name`,
    { status: 400, pointer: "/query/sort", says: "cursor" },
  ],
  ["__proto__ as a parameter", `${api}/projects?__proto__=1`, { status: 400, pointer: "/query/__proto__" }],
  ["a cursor of nobody's", `${api}/projects?cursor=abc`, { status: 400, pointer: "/query/cursor" }],
  ["an unknown status", `PROJECT/tags/TAG/tasks?status=doing`, { status: 400, pointer: "/query/status/0" }],
  ["an instant that is none", `${api}/tasks/${uuid}?asOf=yesterday`, { status: 400, pointer: "/query/asOf" }],
  ["a negative sequence", `PROJECT/events?after=-1`, { status: 400, pointer: "/query/after" }],
  ["a huge sequence", `PROJECT/events?after=1e300`, { status: 400, pointer: "/query/after" }],
  ["no search", `PROJECT/search`, { status: 400, pointer: "/query/q" }],
  ["NUL in a parameter", `PROJECT/search?q=a%00b`, { status: 400, pointer: "/query/q", says: "NUL" }],
  ["no UTF-8 in a parameter", `PROJECT/search?q=%ff`, { status: 400, code: "malformed_request" }],
  ["a broken encoding in a parameter", `PROJECT/search?q=%zz`, { status: 400, code: "malformed_request" }],
  ["NUL in a name", `PROJECT/tags/a%00b`, { status: 400, pointer: "/params/tag" }],
  ["no UTF-8 in a name", `PROJECT/tags/%ff`, { status: 400, code: "malformed_request" }],
  ["half a surrogate in a name", `PROJECT/tags/%ed%a0%80`, { status: 400, code: "malformed_request" }],
  ["a name that is too long", `PROJECT/tags/${"x".repeat(201)}`, { status: 400, pointer: "/params/tag" }],
  ["a name far too long", `PROJECT/tags/${"x".repeat(5000)}`, { status: 414, code: "uri_too_long" }],
  ["an id that is none", `${api}/agents/42`, { status: 400, pointer: "/params/id" }],
  ["an id of nothing", `${api}/agents/${uuid}`, { status: 404, code: "not_found" }],
  ["a task of nothing", `${api}/tasks/${uuid}`, { status: 404, code: "not_found" }],
  ["a task by a name of nothing", `${api}/tasks/NOPE:master:1`, { status: 404, code: "not_found" }],
  ["a task without sense", `${api}/tasks/%F0%9F%98%80`, { status: 404, code: "not_found" }],
  ["a project in lower case", `${api}/projects/nope`, { status: 404, code: "not_found" }],
  ["an address of nothing", `${api}/nothing`, { status: 404, code: "not_found", says: "/docs" }],
  ["a space between fields", `PROJECT?fields=id,%20name`, { status: 400, pointer: "/query/fields" }],
];

describe("an address", () => {
  it.each(addresses)("with %s is refused", async (_name, url, expected) => {
    const full = url
      .replace("PROJECT", `${api}/projects/${world.project}`)
      .replace("TAG", encodeURIComponent(world.tag));
    expectProblem(await test.call("GET", full), expected);
  });

  it("with a cursor of another list is refused", async () => {
    await expect(test.core.memberships.list(test.owner, { limit: 1 })).resolves.toMatchObject({
      nextCursor: expect.any(String),
    });
    const { nextCursor } = await test.core.memberships.list(test.owner, { limit: 1 });
    expectProblem(await test.call("GET", `${api}/projects?cursor=${nextCursor}`), {
      status: 400,
      pointer: "/query/cursor",
    });
    const forged = Buffer.from(JSON.stringify(["memberships", "not an id"])).toString("base64url");
    expectProblem(await test.call("GET", `${api}/memberships?cursor=${forged}`), {
      status: 400,
      pointer: "/query/cursor",
    });
  });

  it("under another method says which there are", async () => {
    const answer = await test.call("PUT", `${api}/projects/${world.project}`, { body: {} });
    expectProblem(answer, { status: 405, code: "method_not_allowed" });
    expect(answer.headers.allow).toBe("DELETE, GET, HEAD, PATCH");
    for (const method of ["QUERY", "TRACE", "PROPFIND"]) {
      const odd = await test.call(method, `${api}/projects`);
      expectProblem(odd, { status: 405, code: "method_not_allowed" });
      expect(odd.headers.allow).toBe("GET, HEAD, POST");
    }
    const batch = await test.call("GET", `${tag}/tasks:batch`);
    expect([batch.status, batch.headers.allow]).toEqual([405, "POST"]);
  });
});

describe("an import", () => {
  const url = () => `${api}/projects/${world.project}/import`;

  it("of 50 MB is refused, with the limit that would be kept to", async () => {
    const answer = await test.call("POST", url(), { raw: Buffer.alloc(50_000_000, 0x20) });
    expectProblem(answer, { status: 413, code: "too_large", says: "16777216 bytes" });
  });

  it("of 50 MB in pieces is refused over a real connection, before all of it came", async () => {
    const app = await test.another({});
    const address = new URL(await app.listen({ port: 0, host: "127.0.0.1" }));
    const piece = Buffer.alloc(65_536, 0x20);
    const status = await new Promise<number>((resolve, reject) => {
      const request = httpRequest(
        {
          port: address.port,
          method: "POST",
          path: url(),
          headers: { authorization: `Bearer ${test.token}`, "content-type": "application/json" },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      let sent = 0;
      const write = () => {
        while (sent < 50_000_000 && request.write(piece)) sent += piece.length;
      };
      request.on("drain", write);
      request.on("error", reject);
      write();
    });
    expect(status).toBe(413);
  });

  it.each([
    ["no JSON", "{"],
    ["nothing", ""],
    ["text that cannot be stored", '{"t":{"tasks":[{"id":1,"title":"\\u0000","status":"pending"}]}}'],
    ["JSON 100,000 levels deep", `{"t":{"tasks":[${"[".repeat(100_000)}${"]".repeat(100_000)}]}}`],
  ])("of %s is refused", async (_name, raw) => {
    expectProblem(await test.call("POST", url(), { raw, headers: { "content-type": "application/json" } }), {
      status: 422,
      code: "import_refused",
    });
  });

  it("of no body at all is refused", async () => {
    expectProblem(await test.call("POST", `${url()}?mode=quarantine`), {
      status: 422,
      code: "invalid_input",
    });
  });

  it("of no UTF-8 or another type is refused", async () => {
    expectProblem(await test.call("POST", url(), { raw: Buffer.from([0xff, 0xfe]) }), {
      status: 400,
      code: "malformed_request",
    });
    expectProblem(await test.call("POST", url(), { raw: "{}", headers: { "content-type": "text/plain" } }), {
      status: 415,
      code: "unsupported_media_type",
    });
  });
});

it("answers what is no HTTP with a problem, too", async () => {
  const app = await test.another({});
  const address = new URL(await app.listen({ port: 0, host: "127.0.0.1" }));
  const answerTo = (text: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(Number(address.port), "127.0.0.1", () => socket.write(text));
      let answer = "";
      socket.on("data", (chunk) => {
        answer += chunk.toString();
      });
      socket.on("error", reject);
      socket.on("close", () => resolve(answer));
    });
  const garbage = await answerTo("GARBAGE\r\n\r\n");
  expect(garbage).toMatch(
    /^HTTP\/1\.1 400 [\s\S]*application\/problem\+json[\s\S]*"code":"malformed_request"/,
  );
  const headers = await answerTo(`GET / HTTP/1.1\r\nHost: x\r\nA: ${"x".repeat(100_000)}\r\n\r\n`);
  expect(headers).toMatch(/^HTTP\/1\.1 431 [\s\S]*"code":"headers_too_large"/);
});

it("shows nothing of its insides when it fails, and logs the cause", async () => {
  const before = test.lines.length;
  const broken = {
    ...test.core,
    projects: { ...test.core.projects, list: () => Promise.reject(new Error("secret insides")) },
  };
  const { buildApp } = await import("../../../src/rest/app.ts");
  const { createLog } = await import("../../../src/log.ts");
  const log = createLog({ logLevel: "info" }, { write: (line) => void test.lines.push(line) });
  const app = await buildApp({
    core: broken,
    config: test.config,
    log,
    sessionKey: { algorithm: "HS256", secret: "x".repeat(32) },
    lifecycle: { draining: false, obstacle: null },
    version: "0",
  });
  const answer = await app.inject({
    url: `${api}/projects`,
    headers: { authorization: `Bearer ${test.token}` },
  });
  await app.close();
  expect(answer.statusCode).toBe(500);
  expect(answer.json()).toMatchObject({ code: "internal_error", requestId: answer.headers["x-request-id"] });
  expect(answer.payload).not.toContain("insides");
  const logged = test.lines.slice(before).join("");
  expect(logged).toContain("secret insides");
  expect(logged).toContain(String(answer.headers["x-request-id"]));
  expect(logged).not.toContain(test.token);
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCore } from "../../../src/core/create.ts";
import { createLog } from "../../../src/log.ts";
import { buildApp } from "../../../src/rest/app.ts";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { createTestDatabase } from "../../support/database.ts";
import { cases } from "./cases.ts";
import { api, callApp, openTestApp, type TestApp, testKey } from "./harness.ts";

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

describe("the rate limit", () => {
  it("counts down for each token, then answers 429 with the time to wait", async () => {
    const app = await test.another({
      TASKMASTER_RATE_LIMIT_MAX: "3",
      TASKMASTER_RATE_LIMIT_WINDOW_SECONDS: "30",
    });
    const { token: other } = await test.core.tokens.create(test.owner, { name: "other" });
    const ask = (token: string) => callApp(app, "GET", `${api}/me`, { token });
    for (const remaining of [2, 1, 0]) {
      const answer = await ask(test.token);
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({
        "ratelimit-limit": "3",
        "ratelimit-remaining": String(remaining),
      });
      expect(Number(answer.headers["ratelimit-reset"])).toBeGreaterThan(0);
    }
    const limited = await ask(test.token);
    expect([limited.status, limited.body.code]).toEqual([429, "rate_limited"]);
    expect(limited.headers["content-type"]).toBe("application/problem+json");
    expect(Number(limited.headers["retry-after"])).toBeGreaterThan(0);
    expect(limited.headers).toMatchObject({ "ratelimit-limit": "3", "ratelimit-remaining": "0" });
    expect((await ask(other)).status).toBe(200);
    for (let i = 0; i < 5; i++) expect((await callApp(app, "GET", "/readyz")).status).toBe(200);
  });

  it("holds up nobody when Redis is away", async () => {
    const app = await test.another({ REDIS_URL: "redis://127.0.0.1:1", TASKMASTER_RATE_LIMIT_MAX: "2" });
    const started = performance.now();
    for (let i = 0; i < 5; i++) {
      const answer = await callApp(app, "GET", `${api}/me`, { token: test.token });
      expect(answer.status).toBe(200);
    }
    expect(performance.now() - started).toBeLessThan(2000);
    expect(test.lines.join("")).toContain("Redis cannot be reached");
  });

  it("holds up an address with bad credentials before the database is asked, but not good ones", async () => {
    let looked = 0;
    const core = {
      ...test.core,
      access: {
        ...test.core.access,
        fromAccessToken: (token: string) => {
          looked++;
          return test.core.access.fromAccessToken(token);
        },
      },
    };
    const log = createLog({ logLevel: "silent" });
    const lifecycle = { draining: false, obstacle: null };
    const app = await buildApp({
      core,
      config: test.config,
      log,
      sessionKey: testKey,
      lifecycle,
      version: "0",
    });
    const ask = (token?: string) => callApp(app, "GET", `${api}/me`, { token });
    expect((await ask(test.token)).status).toBe(200);
    const statuses: number[] = [];
    // No credential is no guess.
    for (let i = 0; i < 200; i++) expect((await ask()).status).toBe(401);
    for (let i = 0; i < 200; i++) statuses.push((await ask(`tmp_${i}`)).status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(120);
    expect(statuses.filter((status) => status === 429)).toHaveLength(80);
    expect(looked).toBe(121);
    expect((await ask(test.token)).status).toBe(200);
    expect((await ask()).status).toBe(401);
    await app.close();
  });
});

describe("browsers", () => {
  const origin = "https://tasks.example.com";

  it("of configured origins may call and read the headers", async () => {
    const app = await test.another({ TASKMASTER_CORS_ORIGINS: `${origin}, https://other.example.com` });
    const preflight = await callApp(app, "OPTIONS", `${api}/projects`, {
      headers: {
        origin,
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "if-match",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers["access-control-allow-origin"]).toBe(origin);
    expect(preflight.headers["access-control-allow-methods"]).toContain("PATCH");
    expect(preflight.headers["access-control-allow-headers"]).toContain("If-Match");
    const answer = await callApp(app, "GET", `${api}/me`, { token: test.token, headers: { origin } });
    expect(answer.headers["access-control-allow-origin"]).toBe(origin);
    for (const name of ["ETag", "Link", "Location", "RateLimit-Remaining", "X-Request-Id"]) {
      expect(answer.headers["access-control-expose-headers"]).toContain(name);
    }
    expect(answer.headers["access-control-allow-credentials"]).toBeUndefined();
    const evil = await callApp(app, "GET", `${api}/me`, {
      token: test.token,
      headers: { origin: "https://evil.example" },
    });
    expect(evil.headers["access-control-allow-origin"]).toBeUndefined();
  });

  it("of any origin may not, by default", async () => {
    const answer = await test.call("GET", `${api}/me`, { headers: { origin } });
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
    expect((await test.call("OPTIONS", `${api}/projects`, { headers: { origin } })).status).toBe(405);
  });

  it("are told to load and frame nothing", async () => {
    for (const url of [`${api}/me`, `${api}/nothing`, "/livez"]) {
      const { headers } = await test.call("GET", url);
      expect(headers["content-security-policy"]).toBe("default-src 'none';frame-ancestors 'none'");
      expect(headers).toMatchObject({ "x-content-type-options": "nosniff", "x-frame-options": "DENY" });
    }
  });
});

describe("a request's id", () => {
  it("is the client's own where that is safe, and a new one otherwise", async () => {
    const given = await test.call("GET", "/livez", { headers: { "x-request-id": "abc-123" } });
    expect(given.headers["x-request-id"]).toBe("abc-123");
    for (const bad of ["a b", "x".repeat(129), "é", '"', "<script>"]) {
      const answer = await test.call("GET", `${api}/nothing`, { headers: { "x-request-id": bad } });
      expect(answer.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
      expect(answer.body.requestId).toBe(answer.headers["x-request-id"]);
    }
  });

  it("stands in the events of what the request changed", async () => {
    await test.call("POST", `${api}/projects`, {
      body: { key: "RID", name: "r" },
      headers: { "x-request-id": "mine-1" },
    });
    const events = await test.core.events.list(test.owner, "RID", {});
    expect(events.items[0]?.requestId).toBe("mine-1");
  });
});

describe("health", () => {
  it("is good while all is good, and needs no credential", async () => {
    for (const url of ["/livez", "/readyz", "/startupz"]) {
      const answer = await callApp(test.app, "GET", url);
      expect([url, answer.status, answer.body.status]).toEqual([url, 200, "ok"]);
    }
  });

  it("fails readiness, but not life, while the server is stopping", async () => {
    test.lifecycle.draining = true;
    const ready = await test.call("GET", "/readyz");
    const live = await test.call("GET", "/livez");
    const served = await test.call("GET", `${api}/me`);
    test.lifecycle.draining = false;
    expect(ready.status).toBe(503);
    expect(ready.body.checks).toMatchObject({ lifecycle: { ok: false }, database: { ok: true } });
    expect(live.status).toBe(200);
    expect([served.status, served.headers.connection]).toEqual([200, "close"]);
  });

  it("fails readiness when the database is gone, answers 503 to requests, and says no secret", async () => {
    const database = await createTestDatabase();
    const storage = await openPostgres({
      connectionString: database.connectionString,
      poolSize: 2,
      statementTimeoutMs: 2000,
    });
    const log = createLog({ logLevel: "info" }, { write: () => {} });
    const core = await createCore(storage, "a secret for tests, of thirty-two bytes or more");
    const app = await buildApp({
      core,
      config: test.config,
      log,
      sessionKey: testKey,
      lifecycle: { draining: false, obstacle: null },
      version: "0",
    });
    expect((await callApp(app, "GET", "/readyz")).status).toBe(200);
    await database.drop();
    const ready = await callApp(app, "GET", "/readyz");
    expect(ready.status).toBe(503);
    expect(ready.body.checks).toMatchObject({ database: { ok: false, detail: expect.any(String) } });
    expect(ready.text).not.toMatch(/postgres(ql)?:\/\//);
    expect((await callApp(app, "GET", "/livez")).status).toBe(200);
    const asked = await callApp(app, "GET", `${api}/me`, { token: "tmp_0123456789" });
    expect([asked.status, asked.body.code]).toEqual([503, "unavailable"]);
    expect(asked.headers["retry-after"]).toBe("5");
    await app.close();
    await storage.close();
  });
});

describe("the description", () => {
  it("has every route, with its answers, problems and credentials", async () => {
    const { status, body } = await callApp<Description>(test.app, "GET", "/openapi.json");
    expect(status).toBe(200);
    expect(body.openapi).toBe("3.1.0");
    const described = Object.entries(body.paths)
      .filter(([url]) => url.startsWith(api))
      .flatMap(([url, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${url.slice(api.length)}`),
      );
    const routes = Object.keys(cases).map((name) =>
      name
        .replace("::", ":")
        .replace(/:(\w+)(?=\/|$)/g, "{$1}")
        .replace("{batch}", ":batch"),
    );
    expect(described.sort()).toEqual(routes.sort());
    const ids = new Set<string>();
    for (const [url, methods] of Object.entries(body.paths)) {
      for (const operation of Object.values(methods)) {
        expect(operation).toMatchObject({
          operationId: expect.any(String),
          summary: expect.any(String),
          tags: [expect.any(String)],
        });
        expect(ids.has(operation.operationId)).toBe(false);
        ids.add(operation.operationId);
        if (!url.startsWith(api)) continue;
        for (const code of ["400", "401", "403", "429", "500", "503"]) {
          expect(operation.responses[code]?.content).toEqual({
            "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } },
          });
        }
      }
    }
    const change = body.paths[`${api}/tasks/{id}`]?.patch;
    expect(Object.keys(change?.responses ?? {})).toEqual(
      expect.arrayContaining(["200", "409", "412", "415", "422", "428"]),
    );
    expect(change?.parameters).toContainEqual(
      expect.objectContaining({ name: "If-Match", in: "header", required: true }),
    );
    const read = body.paths[`${api}/tasks/{id}`]?.get;
    expect(read?.responses["304"]?.headers).toHaveProperty("ETag");
    expect(read?.parameters).toContainEqual(expect.objectContaining({ name: "If-None-Match", in: "header" }));
    const fields = read?.parameters.find(({ name }) => name === "fields");
    expect("id,title").toMatch(new RegExp(fields?.schema?.pattern ?? "^$"));
    expect("id,titel").not.toMatch(new RegExp(fields?.schema?.pattern ?? "."));
    const made = body.paths[`${api}/tasks/{id}/subtasks`]?.post?.responses["201"];
    expect(made?.headers).toMatchObject({ ETag: { required: true }, Location: { required: true } });
    expect(Object.keys(made?.links ?? {})).toEqual(
      expect.arrayContaining(["getTask", "updateTask", "claimTask", "createComment"]),
    );
    expect(body.components.links.updateTask).toEqual({
      operationId: "updateTask",
      parameters: { id: "$response.body#/id", "If-Match": "$response.header.ETag" },
    });
    expect(body.components.links.failClaim).toEqual({
      operationId: "failClaim",
      parameters: { id: "$response.body#/id" },
      requestBody: { fence: "$response.body#/fence" },
    });
    expect(body.paths[`${api}/sessions`]?.post?.requestBody?.required).toBe(false);
    expect(body.paths[`${api}/projects`]?.post?.requestBody?.required).toBe(true);
    expect(Object.keys(body.components.schemas)).toEqual(
      expect.arrayContaining(["Problem", "Task", "NewTask", "Claim"]),
    );
    expect(body.components.securitySchemes.bearer).toMatchObject({ type: "http", scheme: "bearer" });
    const references = JSON.stringify(body).match(/#\/components\/(schemas|links)\/\w+/g) ?? [];
    for (const reference of references) {
      const [, , kind, name = ""] = reference.split("/");
      expect(kind === "links" ? body.components.links : body.components.schemas).toHaveProperty(name);
    }
    for (const { operationId } of Object.values(body.components.links)) expect(ids).toContain(operationId);
  });

  it("has a page that loads nothing from elsewhere and runs no script but its own", async () => {
    const redirect = await callApp(test.app, "GET", "/docs");
    expect([redirect.status, redirect.headers.location]).toEqual([301, "/docs/"]);
    const page = await callApp(test.app, "GET", "/docs/");
    expect(page.status).toBe(200);
    const sources = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source);
    expect(sources).toEqual(["js/scalar.js"]);
    expect(page.text).not.toMatch(/https?:\/\//);
    const policy = String(page.headers["content-security-policy"]);
    expect(policy).toMatch(/script-src 'self' 'sha256-[^']+'/);
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toMatch(/script-src[^;]*unsafe/);
    const script = await callApp(test.app, "GET", "/docs/js/scalar.js");
    expect(script.headers["content-type"]).toMatch(/^application\/javascript/);
    expect(script.headers["cache-control"]).toBe("public, max-age=86400");
    expect(script.text.length).toBeGreaterThan(1_000_000);
    const description = await callApp(test.app, "GET", "/docs/openapi.json");
    expect(JSON.parse(description.text).paths).toHaveProperty([`${api}/projects`]);
    expect(description.headers["content-disposition"]).toMatch(/^filename=.+\.json$/);
    expect((await callApp(test.app, "GET", "/docs/nothing")).status).toBe(404);
    const bad = await callApp(test.app, "GET", "/docs/", { headers: { host: "[" } });
    expect(bad.status).toBe(400);
  });
});

interface Description {
  openapi: string;
  paths: Record<
    string,
    Record<
      string,
      {
        operationId: string;
        parameters: { name: string; schema?: { pattern?: string } }[];
        requestBody?: { required: boolean };
        responses: Record<string, { content?: unknown; headers?: object; links?: object }>;
      }
    >
  >;
  components: {
    schemas: Record<string, unknown>;
    securitySchemes: Record<string, unknown>;
    links: Record<string, { operationId: string }>;
  };
}

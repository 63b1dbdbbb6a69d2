import { createHmac, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../../../src/config.ts";
import type { App } from "../../../src/rest/http.ts";
import { api, callApp, openTestApp, type TestApp, testKey } from "./harness.ts";

const secret = testKey.algorithm === "HS256" ? testKey.secret : "";
const audience = "tasks";
const email = "person@example.com";

let test: TestApp;
let app: App;
let issuer: string;
let jwks: Server;
let jwksUp = true;
let rsa: Awaited<ReturnType<typeof generateKeyPair>>;
let otherRsa: Awaited<ReturnType<typeof generateKeyPair>>;

beforeAll(async () => {
  rsa = await generateKeyPair("RS256", { extractable: true });
  otherRsa = await generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await exportJWK(rsa.publicKey)), kid: "one", use: "sig" };
  jwks = createServer((_request, response) => {
    response.writeHead(jwksUp ? 200 : 500, { "content-type": "application/json" });
    response.end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => jwks.listen(0, "127.0.0.1", resolve));
  issuer = `http://127.0.0.1:${(jwks.address() as AddressInfo).port}`;
  test = await openTestApp();
  app = await test.another({
    TASKMASTER_OIDC_ISSUER: issuer,
    TASKMASTER_OIDC_AUDIENCE: audience,
    TASKMASTER_OIDC_JWKS_URL: `${issuer}/jwks`,
    TASKMASTER_OIDC_ALGORITHMS: "RS256",
  });
  await test.core.memberships.create(test.owner, { email, name: "Person", role: "member" });
});
afterAll(async () => {
  await test.close();
  jwks.close();
});

const now = () => Math.floor(Date.now() / 1000);
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const me = (token: string | undefined, headers: Record<string, string> = {}) =>
  callApp(app, "GET", `${api}/me`, { token, headers });

async function session(): Promise<string> {
  const answer = await callApp<{ token: string }>(app, "POST", `${api}/sessions`, { token: test.token });
  expect(answer.status).toBe(201);
  return answer.body.token;
}

/** A session token with some members changed, signed with the right secret or another. */
function forge(
  good: string,
  payload: Record<string, unknown>,
  header: Record<string, unknown> = {},
  key = secret,
): string {
  const [head = "", body = ""] = good.split(".");
  const read = (text: string) =>
    JSON.parse(Buffer.from(text, "base64url").toString()) as Record<string, unknown>;
  const input = `${part({ ...read(head), ...header })}.${part({ ...read(body), ...payload })}`;
  return `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`;
}

async function oidc(
  claims: JWTPayload = {},
  key = rsa.privateKey,
  header: Record<string, unknown> = {},
): Promise<string> {
  return await new SignJWT({ email, email_verified: true, ...claims })
    .setProtectedHeader({ alg: "RS256", kid: "one", ...header })
    .setIssuer(String(claims.iss ?? issuer))
    .setAudience((claims.aud as string | undefined) ?? audience)
    .setSubject(claims.sub ?? "subject-1")
    .setIssuedAt(claims.iat ?? now())
    .setExpirationTime(claims.exp ?? now() + 60)
    .sign(key);
}

function expectUnauthenticated(answer: Awaited<ReturnType<typeof me>>, name = ""): void {
  expect([name, answer.status, answer.body.code]).toEqual([name, 401, "unauthenticated"]);
  expect(answer.headers["www-authenticate"]).toMatch(/^Bearer realm="task-master-pro"/);
}

describe("an access token", () => {
  it("is good as it was given out, in any case of the scheme", async () => {
    expect((await me(test.token)).body.actor).toMatchObject({ kind: "user" });
    expect((await me(undefined, { authorization: `bearer ${test.token}` })).status).toBe(200);
  });

  it("is refused when it is missing, unknown, changed, revoked, or no token at all", async () => {
    const revoked = await test.core.tokens.create(test.owner, { name: "gone" });
    await test.core.tokens.revoke(test.owner, revoked.id);
    expectUnauthenticated(await me(undefined));
    for (const token of [
      "tmp_",
      "tmp_0",
      `${test.token}0`,
      test.token.slice(0, -1),
      revoked.token,
      "x",
      "a.b.c",
      ".",
    ]) {
      expectUnauthenticated(await me(token), token.slice(0, 5));
    }
    for (const header of [
      "",
      "Bearer",
      "Bearer ",
      "Basic YTpi",
      `Bearer ${test.token} x`,
      `Bearer a\tb`,
      test.token,
    ]) {
      expectUnauthenticated(await me(undefined, { authorization: header }), header.slice(0, 8));
    }
  });

  it("of a disabled agent is refused", async () => {
    const agent = await test.core.agents.create(test.owner, { name: "off" });
    const { token } = await test.core.tokens.create(test.owner, { name: "a", agent: agent.id });
    expect((await me(token)).status).toBe(200);
    await test.core.agents.update(test.owner, agent.id, { disabled: true }, 1);
    expectUnauthenticated(await me(token));
  });
});

describe("a session", () => {
  it("acts for its owner, with no more scopes than its token", async () => {
    const { token } = await test.core.tokens.create(test.owner, { name: "r", scopes: ["read"] });
    const opened = await callApp<{ token: string; expiresAt: string }>(app, "POST", `${api}/sessions`, {
      token,
    });
    expect(Date.parse(opened.body.expiresAt)).toBeGreaterThan(Date.now());
    const answer = await me(opened.body.token);
    expect(answer.body).toMatchObject({ scopes: ["read"], organizationId: test.owner.organizationId });
    const elsewhere = await callApp(app, "POST", `${api}/sessions`, {
      token,
      body: { organization: "elsewhere" },
    });
    expect([elsewhere.status, elsewhere.body.code]).toEqual([404, "not_found"]);
  });

  it("is refused when anything about it is not as it was signed", async () => {
    const good = await session();
    expect((await me(good)).status).toBe(200);
    expect((await me(forge(good, {}))).status).toBe(200);
    const [head = "", body = "", signature = ""] = good.split(".");
    const unsigned = `${part({ alg: "none", typ: "task-master-pro-session+jwt" })}.${body}`;
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const input = `${part({ alg: "RS256", typ: "task-master-pro-session+jwt" })}.${body}`;
    const attacks: Record<string, string> = {
      "alg none": `${unsigned}.`,
      "alg none with a signature": `${unsigned}.${signature}`,
      "alg NONE": `${part({ alg: "NONE", typ: "task-master-pro-session+jwt" })}.${body}.`,
      "no signature": `${head}.${body}.`,
      "another secret": forge(good, {}, {}, "another secret of thirty-two bytes or more"),
      "an empty secret": forge(good, {}, {}, ""),
      "another algorithm of the family": forge(good, {}, { alg: "HS512" }),
      "an asymmetric algorithm": `${input}.${signBytes("sha256", Buffer.from(input), privateKey).toString("base64url")}`,
      "another body": `${head}.${part({ sub: "x" })}.${signature}`,
      expired: forge(good, { iat: now() - 100, exp: now() - 10 }),
      "without an end": forge(good, { exp: undefined }),
      "without a beginning": forge(good, { iat: undefined }),
      "without an id": forge(good, { jti: undefined }),
      "without a subject": forge(good, { sub: undefined }),
      "an end in words": forge(good, { exp: "tomorrow" }),
      "another audience": forge(good, { aud: "elsewhere" }),
      "no audience": forge(good, { aud: undefined }),
      "several audiences": forge(good, { aud: ["task-master-pro-api", "elsewhere"] }),
      "not good yet": forge(good, { nbf: now() + 1000 }),
      "another type": forge(good, {}, { typ: "JWT" }),
      "no type": forge(good, {}, { typ: undefined }),
      "more scopes than there are": forge(good, { scopes: ["root"] }),
      "a subject that is no id": forge(good, { sub: "' OR 1=1" }),
      "an organization that is not there": forge(good, { org: "01980d7e-8f00-7000-8000-000000000001" }),
      "an unknown critical header": forge(good, {}, { crit: ["x"], x: 1 }),
    };
    for (const [name, token] of Object.entries(attacks)) expectUnauthenticated(await me(token), name);
  });

  it("ignores what its header says of keys", async () => {
    const good = await session();
    const evil = forge(
      good,
      {},
      { kid: "../../dev/null", jku: `${issuer}/jwks`, jwk: { kty: "oct", k: "AA" } },
      "AA",
    );
    expectUnauthenticated(await me(evil));
  });

  it("can be signed with EdDSA, and then is not checked with anything else", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const config = loadConfig({ TASKMASTER_SESSION_PRIVATE_KEY: pem.replaceAll("\n", "\\n") });
    if (config.session.key === null) throw new Error("the key was not read");
    const edwards = await test.another({}, config.session.key);
    const opened = await callApp<{ token: string }>(edwards, "POST", `${api}/sessions`, {
      token: test.token,
    });
    const ask = (token: string) => callApp(edwards, "GET", `${api}/me`, { token });
    expect((await ask(opened.body.token)).status).toBe(200);
    expectUnauthenticated(await ask(await session()), "HS256");
    const spki = publicKey.export({ type: "spki", format: "pem" }).toString();
    expectUnauthenticated(await ask(forge(opened.body.token, {}, { alg: "HS256" }, spki)), "confusion");
  });
});

describe("a token of the configured issuer", () => {
  it("signs an invited person in, and binds the identity", async () => {
    const first = await me(await oidc());
    expect([first.status, first.body.role]).toEqual([200, "member"]);
    const again = await me(await oidc({ email: "changed@example.com" }));
    expect(again.body.actor).toEqual(first.body.actor);
    expectUnauthenticated(await me(await oidc({ sub: "somebody else" })), "a bound email");
  });

  it("is refused when anything about it is wrong", async () => {
    const spki = await exportSPKI(rsa.publicKey);
    const good = await oidc();
    const [, body = ""] = good.split(".");
    const confusion = `${part({ alg: "HS256", kid: "one" })}.${body}`;
    const attacks: Record<string, string> = {
      "alg none": `${part({ alg: "none" })}.${body}.`,
      "its public key as a secret": `${confusion}.${createHmac("sha256", spki).update(confusion).digest("base64url")}`,
      "another key under the same kid": await oidc({}, otherRsa.privateKey),
      "another key it brings along": await oidc({}, otherRsa.privateKey, {
        jwk: await exportJWK(otherRsa.publicKey),
      }),
      "an unknown kid": await oidc({}, rsa.privateKey, { kid: "../one" }),
      "another audience": await oidc({ aud: "elsewhere" }),
      "another issuer": await oidc({ iss: "https://evil.example" }),
      "the issuer with a slash": await oidc({ iss: `${issuer}/` }),
      "our own issuer": await oidc({ iss: "task-master-pro" }),
      expired: await oidc({ exp: now() - 60 }),
      "not good yet": await oidc({ nbf: now() + 1000 }),
      "an email that is not verified": await oidc({
        sub: "u",
        email: "owner@example.com",
        email_verified: false,
      }),
      "an email verified in words": await oidc({
        sub: "u",
        email: "owner@example.com",
        email_verified: "true" as never,
      }),
      "an email of nobody": await oidc({ sub: "n", email: "nobody@example.com" }),
      "no email": await oidc({ sub: "n", email: undefined }),
    };
    for (const [name, token] of Object.entries(attacks)) expectUnauthenticated(await me(token), name);
    const endless = await new SignJWT({ email, email_verified: true })
      .setProtectedHeader({ alg: "RS256", kid: "one" })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject("subject-1")
      .sign(rsa.privateKey);
    expectUnauthenticated(await me(endless), "without an end");
    const otherAlgorithm = await new SignJWT({})
      .setProtectedHeader({ alg: "PS256", kid: "one" })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject("subject-1")
      .setExpirationTime("1m")
      .sign(
        await import("jose").then(async ({ importPKCS8, exportPKCS8 }) =>
          importPKCS8(await exportPKCS8(rsa.privateKey), "PS256"),
        ),
      );
    expectUnauthenticated(await me(otherAlgorithm), "PS256");
    expectUnauthenticated(await me(good, { "taskmaster-organization": "elsewhere" }), "organization");
    expect((await me(good, { "taskmaster-organization": "first" })).status).toBe(200);
  });

  it("is answered 503 while the issuer's keys cannot be had, and nothing else suffers", async () => {
    jwksUp = false;
    const other = await test.another({
      TASKMASTER_OIDC_ISSUER: issuer,
      TASKMASTER_OIDC_AUDIENCE: audience,
      TASKMASTER_OIDC_JWKS_URL: `${issuer}/jwks`,
    });
    const answer = await callApp(other, "GET", `${api}/me`, { token: await oidc() });
    expect([answer.status, answer.body.code, answer.headers["retry-after"]]).toEqual([
      503,
      "unavailable",
      "5",
    ]);
    expect((await callApp(other, "GET", `${api}/me`, { token: test.token })).status).toBe(200);
    jwksUp = true;
  });

  it("is of no kind where no issuer is configured", async () => {
    expectUnauthenticated(await test.call("GET", `${api}/me`, { token: await oidc() }));
  });
});

it("logs who asked, and no credential", async () => {
  const token = await session();
  await me(token);
  const text = test.lines.join("");
  const line = test.lines
    .map((one) => JSON.parse(one))
    .findLast((one) => one.route === `${api}/me` && one.status === 200);
  expect(line).toMatchObject({
    msg: "request",
    method: "GET",
    requestId: expect.any(String),
    durationMs: expect.any(Number),
    actorId: test.owner.actor.id,
    actorKind: "user",
    organizationId: test.owner.organizationId,
  });
  for (const hidden of [token, test.token, secret, token.split(".")[2] ?? ""])
    expect(text).not.toContain(hidden);
});

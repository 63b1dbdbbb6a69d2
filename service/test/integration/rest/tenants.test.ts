import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Context, type Role, roles, scopes } from "../../../src/core/index.ts";
import { allows, type Permission, permissions } from "../../../src/core/policy.ts";
import { buildWorld, cases, type World } from "./cases.ts";
import {
  addMembers,
  addOrganization,
  api,
  fingerprint,
  type Member,
  openTestApp,
  type TestApp,
} from "./harness.ts";

let test: TestApp;
let members: Record<Role, Member>;
let strangers: Record<Role, Member>;
let stranger: Context;
let world: World;

beforeAll(async () => {
  test = await openTestApp();
  members = await addMembers(test.core, test.owner, "home");
  stranger = await addOrganization(test.storage, "elsewhere");
  strangers = await addMembers(test.core, stranger, "elsewhere");
  world = await buildWorld(test.core, test.owner);
});
afterAll(() => test.close());

async function ask(name: string, w: World, token: string | undefined) {
  const route = cases[name];
  if (route === undefined) throw new Error(`no case for ${name}`);
  const [method = ""] = name.split(" ");
  return test.call(method, route.url(w), {
    token,
    body: route.body?.(w),
    headers: route.headers?.(w) ?? {},
    endless: route.endless ?? false,
  });
}

function routesOfApp(): string[] {
  return test.app.routeTable
    .filter(({ method, url }) => method !== "HEAD" && url.startsWith(api))
    .map(({ method, url }) => `${method} ${url.slice(api.length)}`)
    .sort();
}

describe("every route", () => {
  it("has a case here, and every case a route", () => {
    expect(Object.keys(cases).sort()).toEqual(routesOfApp());
  });

  it("wants a credential", async () => {
    for (const [name, { open }] of Object.entries(cases)) {
      if (open) continue;
      const answer = await ask(name, world, undefined);
      expect([name, answer.status]).toEqual([name, 401]);
      expect(answer.headers["www-authenticate"]).toMatch(/^Bearer/);
    }
  });
});

/** Written out a second time, so that a wider policy is a decision and no slip. */
const withheld: Record<Role, Permission[]> = {
  owner: [],
  admin: [],
  member: [
    "organization:update",
    "member:write",
    "agent:write",
    "token:any",
    "project:delete",
    "comment:any",
    "claim:any",
    "receiver:write",
    "audit:read",
    "webhook:read",
    "webhook:write",
  ],
  agent: [
    "organization:create",
    "organization:update",
    "member:write",
    "agent:write",
    "token:own",
    "token:any",
    "project:create",
    "project:update",
    "project:delete",
    "tag:write",
    "comment:any",
    "claim:any",
    "import",
    "receiver:write",
    "audit:read",
    "webhook:read",
    "webhook:write",
  ],
  viewer: [
    "organization:update",
    "member:write",
    "agent:write",
    "token:any",
    "project:create",
    "project:update",
    "project:delete",
    "tag:write",
    "task:write",
    "comment:write",
    "comment:any",
    "claim",
    "claim:any",
    "import",
    "receiver:write",
    "audit:read",
    "webhook:read",
    "webhook:write",
  ],
};

it.each([...roles])("the policy withholds from %s what it should", (role) => {
  const all = Object.keys(permissions) as Permission[];
  expect(all.filter((permission) => !allows({ role, scopes }, permission))).toEqual(withheld[role]);
});

describe.each([...roles])("as %s", (role) => {
  it("gets from every route what the policy grants, and 403 for the rest", async () => {
    const { context, token } = members[role];
    const found: Record<string, number> = {};
    const wanted: Record<string, number> = {};
    for (const [name, route] of Object.entries(cases)) {
      const own = await buildWorld(test.core, test.owner, context);
      const granted = route.permission === undefined || allows(context, route.permission);
      wanted[name] = granted ? route.ok : 403;
      found[name] = (await ask(name, own, token)).status;
    }
    expect(found).toEqual(wanted);
  }, 120_000);

  it("of another organization sees nothing of this one, and changes nothing", async () => {
    const before = await fingerprint(test.connectionString, test.owner.organizationId);
    for (const [name, route] of Object.entries(cases)) {
      const answer = await ask(name, world, strangers[role].token);
      if (route.own === undefined)
        expect([name, answer.status]).toEqual([name, expectedForStranger(name, role)]);
      // An id that the stranger itself sent may come back in the sentence that there is no such thing.
      const sent = `${route.url(world)} ${JSON.stringify(route.body?.(world))}`;
      const marks = [
        test.owner.organizationId,
        world.task.id,
        world.comment,
        world.link,
        world.receiver.id,
        world.claim,
        world.accessToken,
        world.webhook,
        world.delivery,
      ];
      for (const mark of marks.filter((one) => !sent.includes(one))) {
        expect(`${name} ${answer.text}`).not.toContain(mark);
      }
    }
    expect(await fingerprint(test.connectionString, test.owner.organizationId)).toBe(before);
  }, 120_000);
});

/** What a role may not do at all is refused before anything is looked for; all else is not there. */
function expectedForStranger(name: string, role: Role): number {
  const permission = cases[name]?.permission;
  return permission === undefined || allows(strangers[role].context, permission) ? 404 : 403;
}

it("refuses another organization's ids inside bodies and beside own ids", async () => {
  const own = await buildWorld(test.core, stranger);
  const { token } = strangers.owner;
  const tag = `${api}/projects/${own.project}/tags/${encodeURIComponent(own.tag)}`;
  const ifMatch = { "if-match": `"${own.task.version}"` };
  const before = await fingerprint(test.connectionString, test.owner.organizationId);
  const foreign = world.task.id;
  const answers = await Promise.all([
    test.call("PUT", `${api}/tasks/${own.task.id}/dependencies/${foreign}`, { token }),
    test.call("DELETE", `${api}/tasks/${own.task.id}/dependencies/${foreign}`, { token }),
    test.call("POST", `${api}/tasks/${own.task.id}/move`, {
      token,
      headers: ifMatch,
      body: { parent: foreign },
    }),
    test.call("POST", `${api}/tasks/${own.task.id}/move`, {
      token,
      headers: ifMatch,
      body: { after: foreign },
    }),
    test.call("POST", `${tag}/tasks`, { token, body: { title: "x", dependencies: [foreign] } }),
    test.call("POST", `${tag}/tasks:batch`, {
      token,
      body: { operations: [{ op: "delete", task: foreign, version: world.task.version }] },
    }),
    test.call("POST", `${tag}/tasks:batch`, {
      token,
      body: { operations: [{ op: "create", parent: foreign, task: { title: "x" } }] },
    }),
    test.call("POST", `${api}/tokens`, { token, body: { name: "x", agent: world.agent } }),
    test.call("POST", `${api}/sessions`, { token, body: { organization: world.slug } }),
  ]);
  for (const answer of answers) expect(answer.status).toBeOneOf([401, 404, 409, 422]);
  for (const answer of answers) expect(answer.text).not.toContain(test.owner.organizationId);
  expect(await fingerprint(test.connectionString, test.owner.organizationId)).toBe(before);
  const audit = await test.call("GET", `${api}/audit?task=${foreign}`, { token });
  expect(audit.body).toEqual({ items: [], nextCursor: null });
});

it("takes away at once what a lower role, a smaller scope or a revocation takes away", async () => {
  const { token: reader } = await test.core.tokens.create(test.owner, { name: "reader", scopes: ["read"] });
  expect((await test.call("GET", `${api}/projects`, { token: reader })).status).toBe(200);
  const refused = await test.call("POST", `${api}/projects`, {
    token: reader,
    body: { key: "NOPE", name: "n" },
  });
  expect(refused.status).toBe(403);
  expect(refused.body.detail).toContain("scope write");

  const issued = await test.core.tokens.create(test.owner, { name: "short" });
  const session = await test.call<{ token: string }>("POST", `${api}/sessions`, { token: issued.token });
  expect((await test.call("GET", `${api}/me`, { token: session.body.token })).status).toBe(200);
  await test.core.tokens.revoke(test.owner, issued.id);
  expect((await test.call("GET", `${api}/me`, { token: issued.token })).status).toBe(401);
  expect((await test.call("GET", `${api}/me`, { token: session.body.token })).status).toBe(401);
});

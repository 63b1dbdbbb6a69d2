import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFirstOwner } from "../../../src/core/access/bootstrap.ts";
import type { Context } from "../../../src/core/context.ts";
import { createCore } from "../../../src/core/create.ts";
import { openTestCore, outcomes, type TestCore, testSecret } from "../../support/core.ts";
import { openTestStorage } from "../../support/storage.ts";

let test: TestCore;
beforeAll(async () => {
  test = await openTestCore();
});
afterAll(() => test.close());

const withToken = async (token: string): Promise<Context> => ({
  ...(await test.core.access.fromAccessToken(token)),
  requestId: "test",
});

describe("tokens", () => {
  it("a repeat under a lesser token is not given the greater one's", async () => {
    const { token } = await test.core.tokens.create(test.owner, { name: "lesser", scopes: ["admin"] });
    const lesser = await withToken(token);
    const input = { name: "same" };
    await test.core.tokens.create({ ...test.owner, idempotencyKey: "same key" }, input);
    await expect(
      test.core.tokens.create({ ...lesser, idempotencyKey: "same key" }, input),
    ).rejects.toMatchObject({ code: "idempotency_mismatch" });
  });

  it("an answer kept under a key is its caller's alone", async () => {
    const agent = await test.addAgent("same key");
    await test.core.projects.create(test.owner, { key: "KEYS", name: "Keys" });
    const create = (ctx: Context) =>
      test.core.tasks.create({ ...ctx, idempotencyKey: "one" }, "KEYS", "master", { title: "Task" });
    const [mine, theirs] = [await create(test.owner), await create(agent)];
    expect(theirs.id).not.toBe(mine.id);
    await expect(
      test.core.tasks.createSubtask({ ...test.owner, idempotencyKey: "one" }, mine.id, { title: "Task" }),
    ).rejects.toMatchObject({ code: "idempotency_mismatch" });
  });
});

describe("a sign-in", () => {
  const identity = (name: string) => ({
    issuer: "https://issuer.example.com",
    subject: name,
    email: `${name}@Example.com`,
    emailVerified: true,
  });

  it("binds an invited user once, also when the first requests come together", async () => {
    await test.core.memberships.create(test.owner, {
      email: "together@example.com",
      name: "Together",
      role: "member",
    });
    // Connections for all of them first, or the first would be through before the second has one.
    await Promise.all(Array.from({ length: 8 }, () => test.core.memberships.list(test.owner, {})));
    const requests = Array.from({ length: 8 }, () =>
      test.core.access.fromOidc(identity("together"), undefined),
    );
    expect(await outcomes(requests)).toEqual({ ok: 8 });
    await expect(
      test.core.access.fromOidc({ ...identity("together"), subject: "another" }, undefined),
    ).rejects.toMatchObject({ code: "unauthenticated" });
  });

  it("knows the first owner whatever the case of the address that was given", async () => {
    const opened = await openTestStorage();
    try {
      await createFirstOwner(opened.storage, { organization: "home", email: "First.Owner@Example.com" });
      const core = await createCore(opened.storage, testSecret);
      expect(await core.access.fromOidc(identity("first.owner"), undefined)).toMatchObject({ role: "owner" });
    } finally {
      await opened.close();
    }
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { changesOf } from "../../../src/core/change.ts";
import { type Context, roles, scopes } from "../../../src/core/context.ts";
import { isSame } from "../../../src/core/json.ts";
import { parseReference } from "../../../src/core/locate.ts";
import { closePage, openPage } from "../../../src/core/page.ts";
import { allows, authorize, authorizeRole, type Permission, permissions } from "../../../src/core/policy.ts";
import { createSealer, newToken, sha256 } from "../../../src/core/secrets.ts";
import { takeBack } from "../../../src/core/tasks/as-of.ts";
import { mergePatch } from "../../../src/core/tasks/merge.ts";
import type { Task } from "../../../src/core/tasks/schema.ts";
import { parentStatus } from "../../../src/core/tasks/status.ts";
import { findUnstorable } from "../../../src/core/text.ts";

describe("a parent's status", () => {
  it.each([
    [["done", "done"], "done"],
    [["done", "pending"], "in-progress"],
    [["pending", "in-progress"], "in-progress"],
    [["pending", "pending"], "pending"],
    [["cancelled", "pending"], undefined],
    [["blocked"], undefined],
    [[], undefined],
  ] as const)("of %j becomes %s", (subtasks, status) => {
    expect(parentStatus(subtasks)).toBe(status);
  });
});

describe("references", () => {
  it("reads a UUID in any case, KEY:tag:localId with colons in the tag, and a bare local id where one is meant", () => {
    const uuid = "01980D7E-8F00-7000-8000-000000000001";
    expect(parseReference(uuid)).toEqual({ id: uuid.toLowerCase() });
    expect(parseReference("DEMO:feat:x:2.1")).toEqual({ project: "DEMO", tag: "feat:x", localId: "2.1" });
    expect(parseReference("2.1", { project: "DEMO", tag: "master" })).toEqual({
      project: "DEMO",
      tag: "master",
      localId: "2.1",
    });
  });
  it.each(["2.1", "", ":", "::", "A::1", "A:b:", ":b:1", "A:b:\0"])("finds nothing in %j", (text) => {
    expect(parseReference(text)).toBeUndefined();
  });
});

describe("RFC 7396", () => {
  it.each([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("merges %j with %j", (target, patch, result) => {
    expect(mergePatch(target, patch)).toEqual(result);
  });
  it("keeps a member called __proto__ a member", () => {
    const patch = JSON.parse('{"__proto__":{"x":1}}');
    const merged = mergePatch({}, patch);
    expect(Object.keys(merged)).toEqual(["__proto__"]);
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});

describe("storable text", () => {
  it("names NUL and broken surrogates by JSON pointer, in values and in names", () => {
    const found = findUnstorable({ a: ["ok", "x\0"], "b/c": { "d~": "\ud800" }, "e\0": 1 });
    expect(found.map((error) => error.pointer).sort()).toEqual(["/a/1", "/b~1c/d~0", "/e\0"].sort());
  });
  it("takes whole characters of every script", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        (text) => text.includes("\0") || findUnstorable({ text }).length === 0,
      ),
    );
  });
  it("does not overflow on 100,000 levels", () => {
    let deep: unknown = "\0";
    for (let i = 0; i < 100_000; i += 1) deep = [deep];
    expect(findUnstorable(deep)).toHaveLength(1);
  });
});

describe("pages", () => {
  const rows = [{ n: 1 }, { n: 2 }, { n: 3 }];
  const cut = closePage("list a", { limit: 2, after: undefined }, rows, (row) => [row.n]);

  it("gives a cursor while there is more, and goes on behind it", () => {
    expect(cut.items).toEqual([{ n: 1 }, { n: 2 }]);
    expect(openPage("list a", { cursor: cut.nextCursor ?? "" }, ["integer"])).toEqual({
      limit: 50,
      after: [2],
    });
    expect(closePage("list a", { limit: 3, after: undefined }, rows, (row) => [row.n]).nextCursor).toBeNull();
  });
  it("refuses a cursor of another list, of another shape, and any garbage", () => {
    expect(() => openPage("list b", { cursor: cut.nextCursor ?? "" }, ["integer"])).toThrow(
      /not made by this list/,
    );
    expect(() => openPage("list a", { cursor: cut.nextCursor ?? "" }, ["uuid"])).toThrow(
      /not made by this list/,
    );
    fc.assert(
      fc.property(fc.string(), (cursor) => {
        expect(() => openPage("list a", { cursor }, ["integer"])).toThrow(/not made by this list/);
      }),
    );
  });
});

describe("policy", () => {
  const ctx = (role: Context["role"], own: Context["scopes"] = scopes): Context => ({
    organizationId: "o",
    membershipId: "m",
    actor: { kind: "user", id: "u", name: "U" },
    role,
    scopes: own,
    requestId: "r",
  });
  const all = Object.keys(permissions) as Permission[];

  it("lets a viewer change no task, an agent administer nothing, an owner everything", () => {
    expect(all.filter((permission) => allows(ctx("owner"), permission))).toEqual(all);
    expect(allows(ctx("viewer"), "task:write")).toBe(false);
    expect(allows(ctx("viewer"), "claim")).toBe(false);
    expect(allows(ctx("agent"), "claim")).toBe(true);
    const admin = all.filter((permission) => permissions[permission] === "admin");
    expect(admin.filter((permission) => allows(ctx("agent"), permission))).toEqual([]);
  });
  it("never lets a token do more than its scopes, whatever the role", () => {
    for (const permission of all) {
      const without = scopes.filter((scope) => scope !== permissions[permission]);
      expect(() => authorize(ctx("owner", without), permission)).toThrow(/lacks the scope/);
    }
  });
  it("keeps everybody from giving a role above their own", () => {
    for (const role of roles) expect(() => authorizeRole(ctx("owner"), role)).not.toThrow();
    expect(() => authorizeRole(ctx("admin"), "owner")).toThrow(/above your own/);
  });
});

describe("changes", () => {
  it("are only what differs, objects compared by their members", () => {
    const before = { title: "a", labels: ["x"], metadata: { a: 1, b: { c: 2 } } };
    expect(changesOf(before, { title: "a", labels: ["x"], metadata: { b: { c: 2 }, a: 1 } })).toEqual({});
    expect(changesOf(before, { title: "b", labels: ["x", "y"] })).toEqual({
      title: ["a", "b"],
      labels: [["x"], ["x", "y"]],
    });
    expect(isSame([], {})).toBe(false);
    expect(isSame(null, {})).toBe(false);
  });
});

describe("asOf", () => {
  const task = { title: "c", version: 3, createdAt: "2026-01-01T00:00:00.000Z" } as Task;
  const change = (title: [string, string], version: [number, number]) => ({
    type: "task.updated" as const,
    data: { changes: { title, version } },
  });
  const later = new Date("2026-06-01");

  it("takes later changes back, newest first", () => {
    const events = [change(["b", "c"], [2, 3]), change(["a", "b"], [1, 2])];
    expect(takeBack(task, events, later)).toMatchObject({ title: "a", version: 1 });
    expect(takeBack(task, events.slice(0, 1), later)).toMatchObject({ title: "b", version: 2 });
  });
  it("knows no task before it was made or imported, and brings a deleted one back", () => {
    const made = [change(["b", "c"], [2, 3]), { type: "task.created" as const, data: {} }];
    expect(takeBack(task, made, new Date("2025-12-31"))).toBeUndefined();
    expect(takeBack(task, [], new Date("2025-12-31"))).toBeUndefined();
    expect(takeBack(undefined, [], later)).toBeUndefined();
    expect(takeBack(undefined, [{ type: "task.deleted", data: { task } }], later)).toMatchObject({
      title: "c",
    });
  });
});

describe("secrets", () => {
  it("seals so that only the same secret opens, and a changed text does not open", async () => {
    const sealer = await createSealer("a".repeat(32));
    const sealed = await sealer.seal("tmp_x");
    expect(sealed).not.toContain("tmp_x");
    expect(await sealer.open(sealed)).toBe("tmp_x");
    expect(await sealer.seal("tmp_x")).not.toBe(sealed);
    await expect((await createSealer("b".repeat(32))).open(sealed)).rejects.toThrow();
    const flipped = sealed.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    await expect(sealer.open(flipped)).rejects.toThrow();
  });
  it("makes tokens of 256 bits and hashes them as SHA-256", async () => {
    expect(newToken()).toMatch(/^tmp_[0-9a-f]{64}$/);
    expect(newToken()).not.toBe(newToken());
    expect(sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });
});

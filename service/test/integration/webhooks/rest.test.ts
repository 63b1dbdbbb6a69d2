import { afterAll, beforeAll, expect, it } from "vitest";
import type { Delivery, IssuedWebhook, Page, Webhook } from "../../../src/core/index.ts";
import type { Repositories, Storage, Transaction } from "../../../src/core/storage.ts";
import { withoutWebhooks } from "../../../src/core/webhooks/unsupported.ts";
import { openTestCore } from "../../support/core.ts";
import { query } from "../../support/migrations.ts";
import { api, openTestApp, type TestApp } from "../rest/harness.ts";

let test: TestApp;

beforeAll(async () => {
  test = await openTestApp();
  await test.core.projects.create(test.owner, { key: "REST", name: "Rest" });
});
afterAll(() => test.close());

const url = "https://example.com/hooks?key=of-the-url";
const create = (body: unknown = { url }, headers: Record<string, string> = {}) =>
  test.call<IssuedWebhook>("POST", `${api}/webhooks`, { body, headers });

it("are made, read, changed by version and deleted; the secret is shown once", async () => {
  const made = await create({ url, project: "REST", description: "d", events: ["task.*", "claim.expired"] });
  expect(made.status).toBe(201);
  const { secret, ...webhook } = made.body;
  expect(secret).toMatch(/^whsec_/);
  expect(made.headers).toMatchObject({
    location: `${api}/webhooks/${webhook.id}`,
    etag: '"1"',
    "cache-control": "no-store",
  });
  expect(webhook).toMatchObject({ url, project: "REST", disabled: false, disabledReason: null, version: 1 });

  const address = `${api}/webhooks/${webhook.id}`;
  const read = await test.call<Webhook>("GET", address);
  expect([read.status, read.body]).toEqual([200, webhook]);
  const list = await test.call("GET", `${api}/webhooks`);
  expect(list.text).toContain(webhook.id);
  const again = await test.call("GET", address, { headers: { "if-none-match": '"1"' } });
  expect(again.status).toBe(304);

  const patch = { description: "other", events: ["*"] };
  expect((await test.call("PATCH", address, { body: patch })).status).toBe(428);
  const changed = await test.call<Webhook>("PATCH", address, { body: patch, headers: { "if-match": '"1"' } });
  expect(changed.body).toMatchObject({ ...patch, version: 2 });
  const stale = await test.call("PATCH", address, { body: patch, headers: { "if-match": '"1"' } });
  expect(stale.status).toBe(412);

  const rotated = await test.call<IssuedWebhook>("POST", `${address}/rotate-secret`);
  expect(rotated.status).toBe(200);
  expect(rotated.headers).toMatchObject({ etag: '"3"', "cache-control": "no-store" });
  expect(rotated.body.secret).not.toBe(secret);

  expect((await test.call("DELETE", address, { headers: { "if-match": '"2"' } })).status).toBe(412);
  expect((await test.call("DELETE", address, { headers: { "if-match": '"3"' } })).status).toBe(204);
  expect((await test.call("GET", address)).status).toBe(404);

  // Neither the log of changes nor the server's own knows a secret, or the part of the URL that may be one.
  const audit = await test.call("GET", `${api}/audit?limit=200`);
  expect(audit.text).toContain("webhook.rotated");
  for (const text of [audit.text, list.text, test.lines.join("")]) {
    for (const hidden of [secret, rotated.body.secret]) expect(text).not.toContain(hidden);
  }
  expect(audit.text).not.toContain("of-the-url");
});

it("are made once under an Idempotency-Key, whose repeat shows the same secret, which no table holds in the clear", async () => {
  const headers = { "idempotency-key": "make-it-once" };
  const [first, second] = [await create({ url }, headers), await create({ url }, headers)];
  expect([first.status, second.status]).toEqual([201, 201]);
  expect(second.body).toEqual(first.body);
  const address = `${api}/webhooks/${first.body.id}/rotate-secret`;
  const rotations = [
    await test.call<IssuedWebhook>("POST", address, { headers: { "idempotency-key": "rotate-it-once" } }),
    await test.call<IssuedWebhook>("POST", address, { headers: { "idempotency-key": "rotate-it-once" } }),
  ];
  expect(rotations[1]?.body).toEqual(rotations[0]?.body);
  for (const table of ["webhooks", "idempotency_records", "events", "deliveries"]) {
    const rows = `SELECT t::text AS row FROM ${table} t`;
    for (const { row } of await query<{ row: string }>(test.connectionString, rows)) {
      expect(row).not.toContain(first.body.secret.slice(6));
      expect(row).not.toContain(rotations[0]?.body.secret.slice(6));
    }
  }
});

it.each([
  [{ url: "http://example.com/" }, "/url"],
  [{ url: "https://127.0.0.1/" }, "/url"],
  [{ url: "https://[::ffff:10.0.0.1]/" }, "/url"],
  [{ url: "https://a:b@example.com/" }, "/url"],
  [{ url: "ftp://example.com/" }, "/url"],
  [{ url: `https://example.com/${"a".repeat(2000)}` }, "/url"],
  [{ url: 7 }, "/url"],
  [{ url, events: ["task.made"] }, "/events/0"],
  [{ url, events: [] }, "/events"],
  [{ url, events: ["task.*", "task.*"] }, "/events"],
  [{ url, project: "NOPE" }, "/project"],
  [{ url, secret: "whsec_mine" }, "/secret"],
  [{ url, disabled: true }, "/disabled"],
  [{}, "/url"],
])("refuses %j, with a pointer to what is wrong", async (body, pointer) => {
  const answer = await create(body);
  expect(answer.status).toBe(422);
  expect(answer.body).toMatchObject({ code: "invalid_input", errors: [{ pointer }] });
});

it("shows the log of deliveries by pages and states, and refuses a replay of what waits", async () => {
  const { body: webhook } = await create({ url, project: "REST", events: ["task.created"] });
  const address = `${api}/webhooks/${webhook.id}`;
  for (let i = 0; i < 5; i++) await test.core.tasks.create(test.owner, "REST", "master", { title: `t${i}` });
  const pinged = await test.call<Delivery>("POST", `${address}/test`);
  expect(pinged.status).toBe(202);
  expect(pinged.headers.location).toBe(`${api}/deliveries/${pinged.body.id}`);
  expect(pinged.body).toMatchObject({ state: "pending", type: "webhook.test", attempts: 0, event: null });
  const read = await test.call<Delivery>("GET", `${api}/deliveries/${pinged.body.id}`);
  expect(read.body).toEqual(pinged.body);

  const seen: string[] = [];
  let next: string | undefined = `${address}/deliveries?limit=2&state=pending`;
  while (next !== undefined) {
    const page: { body: Page<Delivery>; headers: Record<string, unknown> } = await test.call<Page<Delivery>>(
      "GET",
      next,
    );
    seen.push(...page.body.items.map(({ id }) => id));
    next = /<([^>]+)>; rel="next"/.exec(String(page.headers.link ?? ""))?.[1];
  }
  expect(seen).toHaveLength(6);
  expect(seen).toEqual([...seen].sort().reverse());
  expect(seen[0]).toBe(pinged.body.id);
  const dead = await test.call<Page<Delivery>>("GET", `${address}/deliveries?state=dead`);
  expect(dead.body.items).toEqual([]);
  expect((await test.call("GET", `${address}/deliveries?state=lost`)).status).toBe(400);

  const waiting = await test.call("POST", `${api}/deliveries/${pinged.body.id}/replay`);
  expect([waiting.status, waiting.body.code]).toEqual([409, "conflict"]);
  await test.call("PATCH", address, { body: { disabled: true }, headers: { "if-match": '"1"' } });
  const disabled = await test.call("POST", `${address}/replay`);
  expect([disabled.status, disabled.body.code]).toEqual([409, "conflict"]);
  await test.call("PATCH", address, { body: { disabled: false }, headers: { "if-match": '"2"' } });
  const replayed = await test.call("POST", `${address}/replay`);
  expect([replayed.status, replayed.body]).toEqual([202, { replayed: 6 }]);
});

it("an organization has a hundred at most", async () => {
  const { items } = await test.core.webhooks.list(test.owner, { limit: 200 });
  for (let i = items.length; i < 100; i++) expect((await create()).status).toBe(201);
  const answer = await create();
  expect([answer.status, answer.body]).toMatchObject([409, { code: "conflict" }]);
});

it("are refused by a storage that has none, and everything else works", async () => {
  const without = <T extends Repositories | Transaction>(tx: T): T => ({ ...tx, ...withoutWebhooks });
  const wrap = (real: Storage): Storage => ({
    ...real,
    reader: (organizationId) => without(real.reader(organizationId)),
    transaction: (organizationId, work) => real.transaction(organizationId, (tx) => work(without(tx))),
  });
  const { core, owner, close } = await openTestCore({ wrap });
  try {
    const refused = { code: "not_supported", message: expect.stringMatching(/need PostgreSQL/) };
    const id = "01980d7e-8f00-7000-8000-000000000001";
    await expect(core.webhooks.list(owner, {})).rejects.toMatchObject(refused);
    await expect(core.webhooks.create(owner, { url })).rejects.toMatchObject(refused);
    await expect(core.webhooks.update(owner, id, {}, 1)).rejects.toMatchObject(refused);
    await expect(core.webhooks.getDelivery(owner, id)).rejects.toMatchObject(refused);
    await core.projects.create(owner, { key: "FINE", name: "Fine" });
    await core.tasks.create(owner, "FINE", "master", { title: "fine" });
  } finally {
    await close();
  }
});

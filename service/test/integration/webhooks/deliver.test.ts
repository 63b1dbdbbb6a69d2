import { createHmac } from "node:crypto";
import { Webhook as Verifier } from "standardwebhooks";
import { Value } from "typebox/value";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WebhookMessage } from "../../../src/core/index.ts";
import { type Received, type Receiver, startReceiver } from "../../support/receiver.ts";
import { openWebhookTest, type WebhookTest } from "../../support/webhooks.ts";

let test: WebhookTest;
const receivers: Receiver[] = [];

async function receiver(...args: Parameters<typeof startReceiver>): Promise<Receiver> {
  const one = await startReceiver(...args);
  receivers.push(one);
  return one;
}

beforeAll(async () => {
  test = await openWebhookTest();
  test.work();
  await test.core.projects.create(test.owner, { key: "HOOK", name: "Hooks" });
  await test.core.projects.create(test.owner, { key: "OTHER", name: "Other" });
});
afterAll(async () => {
  await test.close();
  for (const one of receivers) await one.close();
});

const header = (request: Received | undefined, name: string) => String(request?.headers[name]);

/** Polls the delivery log until a delivery has come to that. */
async function settled(id: string, state: string) {
  const end = Date.now() + 20_000;
  for (;;) {
    const { items } = await test.core.webhooks.listDeliveries(test.owner, id, {});
    if (items.length > 0 && items.every((item) => item.state === state)) return items;
    if (Date.now() > end) throw new Error(`not all ${state}: ${JSON.stringify(items)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

it("sends an event with the task as it is then, signed so that two other implementations agree", async () => {
  const target = await receiver();
  const webhook = await test.core.webhooks.create(test.owner, {
    url: `${target.origin}/in?key=1`,
    project: "HOOK",
    events: ["task.*"],
  });
  expect(webhook.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  const task = await test.core.tasks.create(test.owner, "HOOK", "master", {
    title: "first",
    priority: "high",
  });
  const [request] = await target.until(1);
  expect(request?.path).toBe("/in?key=1");
  expect(header(request, "content-type")).toBe("application/json");
  const message: WebhookMessage = JSON.parse(request?.body ?? "");
  expect([...Value.Errors(WebhookMessage, message)]).toEqual([]);
  expect(message).toMatchObject({
    type: "task.created",
    data: {
      organization: test.owner.organizationId,
      project: "HOOK",
      task: { id: task.id, tag: "master", localId: "1", title: "first", status: "pending", priority: "high" },
      actor: test.owner.actor,
    },
  });
  const { items } = await test.core.events.audit(test.owner, { task: task.id });
  expect(items[0]).toMatchObject({
    id: message.data.id,
    createdAt: message.timestamp,
    data: message.data.data,
  });

  const headers = Object.fromEntries(Object.entries(request?.headers ?? {}).map(([k, v]) => [k, String(v)]));
  expect(new Verifier(webhook.secret).verify(request?.body ?? "", headers)).toEqual(message);
  expect(() => new Verifier(webhook.secret).verify(`${request?.body} `, headers)).toThrow();
  // By hand, as a receiver without a library would.
  const key = Buffer.from(webhook.secret.slice("whsec_".length), "base64");
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${request?.body}`;
  expect(headers["webhook-signature"]).toBe(
    `v1,${createHmac("sha256", key).update(signed).digest("base64")}`,
  );

  const [delivery] = await settled(webhook.id, "delivered");
  expect(delivery).toMatchObject({
    id: headers["webhook-id"],
    event: message.data.id,
    type: "task.created",
    attempts: 1,
    responseStatus: 204,
    error: null,
    nextAttemptAt: null,
  });
});

it("sends what is asked for and nothing else: types, patterns, projects, and never of itself", async () => {
  const target = await receiver();
  const make = (path: string, events: string[], project?: string) =>
    test.core.webhooks.create(test.owner, {
      url: `${target.origin}/${path}`,
      events,
      ...(project === undefined ? {} : { project }),
    });
  await make("all", ["*"]);
  const exact = await make("exact", ["task.updated"]);
  await make("tags", ["tag.*"], "OTHER");
  const task = await test.core.tasks.create(test.owner, "HOOK", "master", { title: "a" });
  await test.core.tasks.update(test.owner, task.id, { title: "b" }, { version: task.version });
  await test.core.tags.create(test.owner, "HOOK", { name: "here" });
  await test.core.tags.create(test.owner, "OTHER", { name: "there" });
  await test.core.webhooks.delete(test.owner, exact.id, exact.version).catch(() => {});
  const found = new Map<string, string[]>();
  const until = Date.now() + 20_000;
  while (Date.now() < until && (found.get("/all")?.length ?? 0) < 7) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    found.clear();
    for (const { path, body } of target.received) {
      const { type, data } = JSON.parse(body) as WebhookMessage;
      found.set(path, [...(found.get(path) ?? []), `${data.project} ${type}`].sort());
    }
  }
  expect(found.get("/all")).toEqual([
    "HOOK tag.created",
    "HOOK task.created",
    "HOOK task.updated",
    "OTHER tag.created",
    "null webhook.created",
    "null webhook.created",
    "null webhook.deleted",
  ]);
  // Deleted at the end, perhaps before it was sent; but nothing else may have come.
  expect(found.get("/exact") ?? ["HOOK task.updated"]).toEqual(["HOOK task.updated"]);
  expect(found.get("/tags")).toEqual(["OTHER tag.created"]);
});

it("sends of a deleted task its id, and of what is large only what changed", async () => {
  const target = await receiver();
  const webhook = await test.core.webhooks.create(test.owner, {
    url: target.origin,
    project: "HOOK",
    events: ["task.updated", "task.deleted"],
  });
  const task = await test.core.tasks.create(test.owner, "HOOK", "master", { title: "a", details: "b" });
  const large = { details: "ü".repeat(20_000), description: "c" };
  const after = await test.core.tasks.update(test.owner, task.id, large, { version: task.version });
  await target.until(1);
  await test.core.tasks.delete(test.owner, task.id, { version: after.version });
  const messages = (await target.until(2)).map(({ body }) => JSON.parse(body) as WebhookMessage);
  expect(messages[0]?.data.data).toEqual({
    truncated: true,
    fields: expect.arrayContaining(["details", "description"]),
  });
  expect(messages[1]).toMatchObject({ type: "task.deleted", data: { task: { id: task.id } } });
  expect(messages[1]?.data.data).toEqual({ truncated: true });
  for (const { body } of target.received) expect(body.length).toBeLessThan(20_000);
  await settled(webhook.id, "delivered");
});

it("tries again under the same id and with a new timestamp's signature, until it is given up; a replay begins anew", async () => {
  let status = 500;
  const target = await receiver((_, response) => response.writeHead(status).end("no"));
  const webhook = await test.core.webhooks.create(test.owner, {
    url: target.origin,
    project: "HOOK",
    events: ["task.created"],
  });
  await test.core.tasks.create(test.owner, "HOOK", "master", { title: "a" });
  await test.core.tasks.create(test.owner, "HOOK", "master", { title: "b" });
  const dead = await settled(webhook.id, "dead");
  expect(dead).toHaveLength(2);
  for (const one of dead) {
    expect(one).toMatchObject({ attempts: 3, responseStatus: 500, error: "The receiver answered 500." });
  }
  const perId = Map.groupBy(target.received, ({ headers }) => headers["webhook-id"]);
  expect([...perId.values()].map((all) => all.length)).toEqual([3, 3]);
  for (const all of perId.values()) expect(new Set(all.map(({ body }) => body)).size).toBe(1);
  for (const { body, headers } of target.received) {
    new Verifier(webhook.secret).verify(body, headers as Record<string, string>);
  }
  const filtered = await test.core.webhooks.listDeliveries(test.owner, webhook.id, {
    state: "dead",
    limit: 1,
  });
  expect(filtered.items).toEqual([dead[0]]);
  const { nextCursor } = filtered;
  const next = { state: "dead" as const, limit: 1, cursor: nextCursor ?? "" };
  expect((await test.core.webhooks.listDeliveries(test.owner, webhook.id, next)).items).toEqual([dead[1]]);

  status = 200;
  const again = await test.core.webhooks.replay(test.owner, dead[0]?.id ?? "");
  expect(again).toMatchObject({ state: "pending", attempts: 0, id: dead[0]?.id });
  await target.until(7);
  expect(await test.core.webhooks.replayDead(test.owner, webhook.id)).toEqual({ replayed: 1 });
  await target.until(8);
  await settled(webhook.id, "delivered");
  // Also what has arrived can be sent once more.
  await test.core.webhooks.replay(test.owner, dead[0]?.id ?? "");
  await target.until(9);
  await settled(webhook.id, "delivered");
  expect(new Set(target.received.map(({ headers }) => headers["webhook-id"])).size).toBe(2);
});

it("signs with both secrets after a rotation, and with the new one only when the overlap is over", async () => {
  const target = await receiver();
  const first = await test.core.webhooks.create(test.owner, {
    url: target.origin,
    events: ["agent.created"],
  });
  const second = await test.core.webhooks.rotateSecret(test.owner, first.id);
  expect(second.secret).not.toBe(first.secret);
  expect(Date.parse(second.previousSecretExpiresAt ?? "") - Date.now()).toBeGreaterThan(23 * 3_600_000);
  await test.core.webhooks.test(test.owner, first.id);
  const [both] = await target.until(1);
  expect(header(both, "webhook-signature").split(" ")).toHaveLength(2);
  const accepts = ({ secret }: { secret: string }, request: Received | undefined) => {
    try {
      return Boolean(
        new Verifier(secret).verify(request?.body ?? "", request?.headers as Record<string, string>),
      );
    } catch {
      return false;
    }
  };
  expect([accepts(first, both), accepts(second, both)]).toEqual([true, true]);

  const third = await test.core.webhooks.rotateSecret(test.owner, first.id);
  await test.core.webhooks.test(test.owner, first.id);
  const two = (await target.until(2))[1];
  expect([first, second, third].map((one) => accepts(one, two))).toEqual([false, true, true]);

  await test.sql("UPDATE webhooks SET previous_secret_expires_at = now() WHERE id = $1", [first.id]);
  await test.core.webhooks.test(test.owner, first.id);
  const three = (await target.until(3))[2];
  expect([first, second, third].map((one) => accepts(one, three))).toEqual([false, false, true]);
  expect(JSON.parse(three?.body ?? "")).toMatchObject({
    type: "webhook.test",
    data: { task: null, id: null },
  });
});

it("disables a webhook whose receiver is gone (410), with an event, and makes dead letters of the rest", async () => {
  const target = await receiver((_, response) => response.writeHead(410).end());
  const listener = await receiver();
  await test.core.webhooks.create(test.owner, { url: listener.origin, events: ["webhook.disabled"] });
  const webhook = await test.core.webhooks.create(test.owner, {
    url: target.origin,
    project: "HOOK",
    events: ["task.created"],
  });
  await test.core.tasks.create(test.owner, "HOOK", "master", { title: "a" });
  const [told] = await listener.until(1);
  expect(JSON.parse(told?.body ?? "")).toMatchObject({
    type: "webhook.disabled",
    data: { actor: { kind: "system" }, data: { webhook: webhook.id, reason: "gone" } },
  });
  const disabled = await test.core.webhooks.get(test.owner, webhook.id);
  expect(disabled).toMatchObject({ disabled: true, disabledReason: "gone", version: 2 });
  expect(await settled(webhook.id, "dead")).toMatchObject([{ attempts: 1, responseStatus: 410 }]);

  // Nothing is kept for it meanwhile, and it is not tried.
  await test.core.tasks.create(test.owner, "HOOK", "master", { title: "b" });
  await expect(test.core.webhooks.test(test.owner, webhook.id)).rejects.toMatchObject({ code: "conflict" });
  await expect(test.core.webhooks.replayDead(test.owner, webhook.id)).rejects.toMatchObject({
    code: "conflict",
  });
  expect((await settled(webhook.id, "dead")).length).toBe(1);
  const enabled = await test.core.webhooks.update(test.owner, webhook.id, { disabled: false }, 2);
  expect(enabled).toMatchObject({ disabled: false, disabledReason: null });
  await test.core.webhooks.replayDead(test.owner, webhook.id);
  await target.until(2);
});

it("disables a webhook that has taken nothing for days when another message is given up, and not before", async () => {
  const target = await receiver((_, response) => response.writeHead(503).end());
  const webhook = await test.core.webhooks.create(test.owner, {
    url: target.origin,
    events: ["agent.created"],
  });
  await test.core.webhooks.test(test.owner, webhook.id);
  await settled(webhook.id, "dead");
  expect((await test.core.webhooks.get(test.owner, webhook.id)).disabled).toBe(false);
  await test.sql("UPDATE webhooks SET failing_since = now() - interval '2 hours' WHERE id = $1", [
    webhook.id,
  ]);
  await test.core.webhooks.test(test.owner, webhook.id);
  await target.until(4);
  expect((await test.core.webhooks.get(test.owner, webhook.id)).disabled).toBe(false);
  await settled(webhook.id, "dead");
  expect(await test.core.webhooks.get(test.owner, webhook.id)).toMatchObject({
    disabled: true,
    disabledReason: "failing",
  });
});

it("makes dead letters of what waits when somebody disables it", async () => {
  const webhook = await test.core.webhooks.create(test.owner, {
    url: "http://127.0.0.1:1024/nobody",
    events: ["agent.created"],
  });
  const ping = await test.core.webhooks.test(test.owner, webhook.id);
  await expect(test.core.webhooks.replay(test.owner, ping.id)).rejects.toMatchObject({ code: "conflict" });
  await test.core.webhooks.update(test.owner, webhook.id, { disabled: true }, 1);
  const [dead] = await settled(webhook.id, "dead");
  expect(dead?.nextAttemptAt).toBeNull();
  expect(await test.core.webhooks.get(test.owner, webhook.id)).toMatchObject({ disabledReason: "requested" });
});

it("waits as long as Retry-After says, of either form, within bounds", async () => {
  const wait = async (retryAfter: string) => {
    const target = await receiver((_, response) =>
      target.received.length === 1
        ? response.writeHead(429, { "retry-after": retryAfter }).end()
        : response.writeHead(200).end(),
    );
    const { id } = await test.core.webhooks.create(test.owner, {
      url: target.origin,
      events: ["agent.created"],
    });
    const ping = await test.core.webhooks.test(test.owner, id);
    for (;;) {
      const now = await test.core.webhooks.getDelivery(test.owner, ping.id);
      if (now.responseStatus === 429) {
        const ms = Date.parse(now.nextAttemptAt ?? "") - Date.parse(now.lastAttemptAt ?? "");
        expect(target.received).toHaveLength(1);
        await settled(id, "delivered");
        return ms;
      }
      expect(now.state).toBe("pending");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  expect(await wait("1")).toBeGreaterThanOrEqual(1000);
  // So far away that it is not believed: the bound of this policy is two seconds.
  const far = await wait(new Date(Date.now() + 3_600_000).toUTCString());
  expect(far).toBeGreaterThanOrEqual(2000);
  expect(far).toBeLessThan(10_000);
});

it("cannot read a secret that another server's secret sealed, says so, and can again after a rotation", async () => {
  const target = await receiver();
  const webhook = await test.core.webhooks.create(test.owner, {
    url: target.origin,
    events: ["agent.created"],
  });
  await test.sql("UPDATE webhooks SET secret = '00.00' WHERE id = $1", [webhook.id]);
  const { id } = await test.core.webhooks.test(test.owner, webhook.id);
  const [dead] = await settled(webhook.id, "dead");
  expect(dead?.error).toMatch(/rotate/);
  expect(target.connections()).toBe(0);
  await test.core.webhooks.rotateSecret(test.owner, webhook.id);
  await test.core.webhooks.replay(test.owner, id);
  const [request] = await target.until(1);
  expect(header(request, "webhook-signature").split(" ")).toHaveLength(1);
});

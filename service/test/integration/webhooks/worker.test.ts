import { createServer, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Delivery, WebhookMessage } from "../../../src/core/index.ts";
import { testSecret } from "../../support/core.ts";
import { startCli } from "../../support/program.ts";
import { type Receiver, startReceiver } from "../../support/receiver.ts";
import { openWebhookTest, type WebhookTest } from "../../support/webhooks.ts";

let test: WebhookTest;
const receivers: Receiver[] = [];
let stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  test = await openWebhookTest();
  await test.core.projects.create(test.owner, { key: "HOOK", name: "Hooks" });
});
afterEach(async () => {
  await Promise.all(stops.map((stop) => stop()));
  stops = [];
  await test.sql("DELETE FROM webhooks");
});
afterAll(async () => {
  await test.close();
  for (const one of receivers) await one.close();
});

async function receiver(...args: Parameters<typeof startReceiver>): Promise<Receiver> {
  const one = await startReceiver(...args);
  receivers.push(one);
  return one;
}

function work(options: Parameters<WebhookTest["work"]>[0] = {}) {
  const stop = test.work(options);
  stops.push(stop);
  return stop;
}

const hook = (url: string, events = ["task.created"]) =>
  test.core.webhooks.create(test.owner, { url, events });
async function addTasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await test.core.tasks.create(test.owner, "HOOK", "master", { title: `Task ${i}` });
  }
}

async function until(id: string, condition: (all: Delivery[]) => boolean): Promise<Delivery[]> {
  const end = Date.now() + 25_000;
  for (;;) {
    const { items } = await test.core.webhooks.listDeliveries(test.owner, id, { limit: 200 });
    if (condition(items)) return items;
    if (Date.now() > end) throw new Error(`it did not come to that: ${JSON.stringify(items.slice(0, 5))}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
const all = (state: string) => (items: Delivery[]) =>
  items.length > 0 && items.every((item) => item.state === state);

/** A TCP server that does with each connection what it is told. */
async function rawReceiver(talk: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    // Or it would never hear that the other side has hung up.
    socket.resume();
    talk(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/`,
    sockets,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

it("gives each message to one of several processes, once", async () => {
  const target = await receiver();
  const webhook = await hook(target.origin);
  await addTasks(40);
  for (let i = 0; i < 4; i++) work();
  const items = await until(webhook.id, all("delivered"));
  expect(items).toHaveLength(40);
  expect(items.every(({ attempts }) => attempts === 1)).toBe(true);
  expect(target.received).toHaveLength(40);
  expect(new Set(target.received.map(({ headers }) => headers["webhook-id"])).size).toBe(40);
});

it("keeps no more than a few requests open to one receiver, so that one that hangs holds up no other", async () => {
  const hanging = await rawReceiver(() => {});
  const good = await receiver();
  const bad = await hook(hanging.url);
  const fine = await hook(good.origin);
  await addTasks(30);
  // All of the hanging one's messages are older in the queue, and there are more of them than there is room.
  await test.sql("UPDATE deliveries SET next_attempt_at = now() - interval '1 hour' WHERE webhook_id = $1", [
    bad.id,
  ]);
  work({ concurrency: 6, timeoutMs: 4000 });
  await until(fine.id, all("delivered"));
  expect(hanging.sockets.size).toBeLessThanOrEqual(4);
  const [failed] = await until(bad.id, (items) => items.some(({ error }) => error !== null)).then((items) =>
    items.filter(({ error }) => error !== null),
  );
  expect(failed).toMatchObject({ error: "The receiver did not answer within 4 s.", responseStatus: null });
  // While it fails, one at a time.
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect([...hanging.sockets].filter((socket) => !socket.destroyed).length).toBeLessThanOrEqual(2);
  await hanging.close();
});

it.each<[string, (socket: Socket) => void, string]>([
  [
    "sends its status a byte at a time for ever",
    (socket) => {
      const timer = setInterval(() => socket.write("X"), 30);
      socket.on("close", () => clearInterval(timer));
      socket.write("HTTP/1.1 200 OK\r\nX-Slow: ");
    },
    "The receiver did not answer within 0.5 s.",
  ],
  ["says nothing", () => {}, "The receiver did not answer within 0.5 s."],
  [
    "closes without an answer",
    (socket) => socket.destroy(),
    "The receiver closed the connection without an answer.",
  ],
  ["speaks no HTTP", (socket) => socket.end("220 mail ready\r\n"), "The receiver's answer is not HTTP."],
  [
    "has headers without end",
    (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const timer = setInterval(() => socket.write(`X-A: ${"a".repeat(8000)}\r\n`), 5);
      socket.on("close", () => clearInterval(timer));
    },
    "The receiver's answer is not HTTP.",
  ],
])("gives up on a receiver that %s", async (_, talk, error) => {
  const target = await rawReceiver(talk);
  const webhook = await hook(target.url);
  await test.core.webhooks.test(test.owner, webhook.id);
  work({ timeoutMs: 500 });
  expect(await until(webhook.id, all("dead"))).toMatchObject([{ attempts: 3, responseStatus: null, error }]);
  await target.close();
});

it("is content with a good status, however long or slow the rest is, and reads little of it", async () => {
  let sent = 0;
  const flood = await rawReceiver((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const chunk = Buffer.alloc(65_536, "x");
    const pump = () => {
      while (!socket.destroyed && sent < 200_000_000) {
        sent += chunk.length;
        if (!socket.write(chunk)) break;
      }
    };
    socket.on("drain", pump);
    pump();
  });
  const drip = await rawReceiver((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const timer = setInterval(() => socket.write("1\r\nx\r\n"), 30);
    socket.on("close", () => clearInterval(timer));
  });
  const webhooks = await Promise.all([hook(flood.url), hook(drip.url)]);
  for (const { id } of webhooks) await test.core.webhooks.test(test.owner, id);
  work();
  for (const { id } of webhooks) {
    expect(await until(id, all("delivered"))).toMatchObject([{ responseStatus: 200, attempts: 1 }]);
  }
  expect(sent).toBeLessThan(20_000_000);
  expect(await test.sql("SELECT FROM deliveries d WHERE d::text LIKE '%xxxx%'")).toEqual([]);
  for (const one of [flood, drip]) await one.close();
});

it("finishes what is under way when it is stopped, and gives back at once what takes too long", async () => {
  let release = () => {};
  const slow = await receiver((_, response) => {
    release = () => void response.writeHead(200).end();
  });
  const webhook = await hook(slow.origin);
  await test.core.webhooks.test(test.owner, webhook.id);
  const first = test.work();
  await slow.until(1);
  const stopping = first();
  release();
  await stopping;
  await until(webhook.id, all("delivered"));

  await test.core.webhooks.test(test.owner, webhook.id);
  const second = test.work();
  await slow.until(2);
  await second();
  const [given] = await until(webhook.id, () => true);
  expect(given).toMatchObject({ state: "pending", attempts: 0, error: null });
  expect(Date.parse(given?.nextAttemptAt ?? "")).toBeLessThanOrEqual(Date.now());
  work();
  await slow.until(3);
  release();
  await until(webhook.id, all("delivered"));
  expect(new Set(slow.received.slice(1).map(({ headers }) => headers["webhook-id"])).size).toBe(1);
});

it("sends again what a process had taken that came back no more, and minds no result that comes too late", async () => {
  const target = await receiver();
  const webhook = await hook(target.origin);
  await test.core.webhooks.test(test.owner, webhook.id);
  const claim = { limit: 5, underWay: [], leaseSeconds: 1 };
  const [lost] = await test.core.webhooks.take(claim);
  expect(await test.core.webhooks.take(claim)).toEqual([]);
  work();
  await target.until(1);
  const [delivered] = await until(webhook.id, all("delivered"));
  expect(delivered).toMatchObject({ id: lost?.id, attempts: 2 });
  if (lost === undefined) throw new Error("nothing was taken");
  await test.core.webhooks.settle(lost, { kind: "failed", error: "late", durationMs: 1 });
  await test.core.webhooks.settle(lost, { kind: "interrupted" });
  expect(await test.core.webhooks.getDelivery(test.owner, lost.id)).toEqual(delivered);
});

it("delivers every event of a server that is killed in the middle of it, under ids that stay", async () => {
  // A receiver that is slow, and whose work is undone when the connection breaks before it has answered: some are
  // always under way, and what was only sent has not arrived.
  const arrived: WebhookMessage[] = [];
  const ids = new Set<string>();
  const target = await receiver((request, response, { socket }) => {
    setTimeout(() => {
      if (socket.destroyed) return;
      arrived.push(JSON.parse(request.body));
      ids.add(String(request.headers["webhook-id"]));
      response.writeHead(200).end();
    }, 40);
  });
  const webhook = await hook(`${target.origin}/`);
  const env = {
    DATABASE_URL: test.connectionString,
    TASKMASTER_SESSION_SECRET: testSecret,
    TASKMASTER_WEBHOOK_ALLOW_HTTP: "true",
    TASKMASTER_WEBHOOK_ALLOWED_NETWORKS: "127.0.0.0/8",
    PORT: "0",
  };
  const first = startCli(["serve"], env);
  await first.until(/"ready"/);
  await addTasks(80);
  await target.until(20);
  first.child.kill("SIGKILL");
  await first.ended;
  const before = target.received.length;
  // What it had taken comes free when the lease of a minute is over; nobody waits for that here.
  await test.sql("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'");
  const taken = await test.sql(
    "SELECT count(*)::int AS n FROM deliveries WHERE state = 'pending' AND attempts = 1",
  );
  expect(taken[0]?.n).toBeGreaterThan(0);
  const second = startCli(["serve"], env);
  const items = await until(webhook.id, all("delivered"));
  second.child.kill("SIGTERM");
  expect((await second.ended).code).toBe(0);
  expect(items).toHaveLength(80);
  expect(target.received.length).toBeGreaterThan(before);
  expect([...ids].sort()).toEqual(items.map(({ id }) => id).sort());
  expect(new Set(arrived.map(({ data }) => data.task?.id)).size).toBe(80);
}, 120_000);

it("says an outage of the database once, and goes on when it is over", async () => {
  const target = await receiver();
  const webhook = await hook(target.origin);
  test.lines.length = 0;
  work();
  await test.sql("ALTER TABLE deliveries RENAME TO elsewhere");
  await new Promise((resolve) => setTimeout(resolve, 300));
  await test.sql("ALTER TABLE elsewhere RENAME TO deliveries");
  const told = test.lines.filter((line) => line.includes("failed: webhook deliveries taken"));
  expect(told).toHaveLength(1);
  await test.core.webhooks.test(test.owner, webhook.id);
  await until(webhook.id, all("delivered"));
});

import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream } from "../../support/streams.ts";
import { api, startWatchedServer, type WatchedServer } from "../../support/watched-server.ts";

let database: TestDatabase;
let server: WatchedServer;
const path = `${api}/projects/DEMO/events/stream`;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startWatchedServer(database);
  await server.call("POST", "/projects", { key: "DEMO", name: "Demo" });
  await server.call("POST", "/projects/DEMO/tags", { name: "work" });
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

const open = async (kind: string) => (await server.scrape()).find("taskmaster_event_streams", { kind });
const addTask = async (title: string) =>
  (await server.call("POST", "/projects/DEMO/tags/work/tasks", { title })).body;
/** All that were counted, and those of them within so many seconds. */
async function deliveries(within: string): Promise<[all: number, within: number]> {
  const { find } = await server.scrape();
  return [
    find("taskmaster_event_delivery_seconds_count") ?? Number.NaN,
    find("taskmaster_event_delivery_seconds_bucket", { le: within }) ?? Number.NaN,
  ];
}

test("events are counted once a stream that is open when they are made, with how long they took; replays are not", async () => {
  expect(await open("events")).toBe(0);
  expect(await deliveries("5")).toEqual([0, 0]);
  const replayed = await openStream(`${server.url}${path}?after=0`, server.token);
  await replayed.until(2);
  const live = await openStream(`${server.url}${path}`, server.token);
  await live.until("start");
  expect(await open("events")).toBe(2);
  expect(await deliveries("5")).toEqual([0, 0]);

  await addTask("while two listen");
  await replayed.until(3);
  await live.until(1);
  expect(await deliveries("5")).toEqual([2, 2]);
  await replayed.leave();
  await live.leave();
  await expect.poll(() => open("events")).toBe(0);
});

test("an event that waited for its reader is not counted as late", async () => {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  await once(socket, "connect");
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.token}\r\n\r\n`);
  await expect.poll(() => open("events")).toBe(1);
  const [before] = await deliveries("1");
  // More than the kernel takes for a reader, which is some megabytes.
  const total = 120;
  const { id } = await addTask("large");
  for (let i = 0; i < total; i += 1) {
    const change = { details: `${i} ${"x".repeat(100_000)}` };
    const { status } = await server.call("PATCH", `/tasks/${id}`, change, { "if-match": `"${i + 1}"` });
    expect(status).toBe(200);
  }
  await addTask("the last one");
  await sleep(2_600);
  let text = "";
  const read = new Promise<void>((resolve) => {
    socket.on("data", (chunk) => {
      // The end of what came before, so that the words are found wherever a chunk ends.
      text = text.slice(-100) + chunk.toString();
      if (text.includes("the last one")) resolve();
    });
  });
  socket.resume();
  await read;
  const [all, soon] = await deliveries("2.5");
  expect(all - before).toBeGreaterThan(0);
  expect(all - before).toBeLessThan(total / 2);
  expect(soon).toBe(all);
  socket.destroy();
  await expect.poll(() => open("events")).toBe(0);
}, 60_000);

test("the streams of MCP sessions are counted while they are open", async () => {
  const headers = {
    authorization: `Bearer ${server.token}`,
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
  };
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "a", version: "1" } };
  const begun = await fetch(`${server.url}/mcp`, {
    method: "POST",
    headers,
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params }),
  });
  await begun.text();
  const stop = new AbortController();
  const session = { "mcp-session-id": begun.headers.get("mcp-session-id") ?? "" };
  const stream = await fetch(`${server.url}/mcp`, {
    headers: { ...headers, ...session },
    signal: stop.signal,
  });
  expect(stream.status).toBe(200);
  expect([await open("mcp"), await open("events")]).toEqual([1, 0]);
  stop.abort();
  await expect.poll(() => open("mcp")).toBe(0);
});

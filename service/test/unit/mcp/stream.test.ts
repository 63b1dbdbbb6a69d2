import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { RecentEvents } from "../../../src/mcp/event-store.ts";
import { pump } from "../../../src/mcp/stream.ts";

const server = createServer();
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

it("gives up on a reader that does not read, and ends the source", async () => {
  let sent = 0;
  let cancelled = false;
  const over = new Promise<void>((resolve) => {
    server.once("request", async (_request, response) => {
      const source = new ReadableStream<Uint8Array>({
        start(controller) {
          // As notifications come: whoever sends them does not wait for who reads.
          const push = () => {
            if (cancelled) return;
            controller.enqueue(new Uint8Array(100_000));
            sent += 100_000;
            setImmediate(push);
          };
          push();
        },
        cancel() {
          cancelled = true;
        },
      });
      await pump(source, response);
      resolve();
    });
  });
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.pause();
  await over;
  expect(cancelled).toBe(true);
  // What the system itself takes in beside what may wait is its own, and some megabytes at most.
  expect(sent).toBeLessThan(64_000_000);
  socket.destroy();
});

it("keeps the last events of a session, and knows when it has not kept enough", async () => {
  const events = new RecentEvents();
  const message = (text: string) => ({ jsonrpc: "2.0" as const, method: "x", params: { text } });
  const first = await events.storeEvent("a", message("one"));
  await events.storeEvent("b", message("other"));
  await events.storeEvent("a", {} as never);
  await events.storeEvent("a", message("two"));
  const seen: unknown[] = [];
  const replay = (id: string) =>
    events.replayEventsAfter(id, { send: async (_id, one) => void seen.push(one) });
  expect(await replay(first)).toBe("a");
  expect(seen).toEqual([message("two")]);
  expect(events.holds(first)).toBe(true);
  for (const id of ["", "5-a", "0-a", "1-a b", "x"]) expect([id, events.holds(id)]).toEqual([id, false]);
  for (let i = 0; i < 3; i++) await events.storeEvent("b", message("x".repeat(60_000)));
  expect(events.holds(first)).toBe(false);
});

import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Receiver {
  /** http://127.0.0.1:PORT */
  origin: string;
  received: Received[];
  /** Connections that were ever made to it. */
  connections(): number;
  /** Resolves when so many requests have come, whole; rejects after twenty seconds. */
  until(count: number): Promise<Received[]>;
  close(): Promise<void>;
}

type Answer = (request: Received, response: ServerResponse, message: IncomingMessage) => void;

/** A real HTTP server on loopback, which answers 204 unless it is told how else. */
export async function startReceiver(answer: Answer = (_, response) => response.writeHead(204).end()) {
  const received: Received[] = [];
  let connections = 0;
  const server = createServer((message, response) => {
    const chunks: Buffer[] = [];
    message.on("error", () => {});
    message.on("data", (chunk: Buffer) => chunks.push(chunk));
    message.on("end", () => {
      const request = {
        path: message.url ?? "",
        headers: message.headers,
        body: Buffer.concat(chunks).toString(),
      };
      received.push(request);
      answer(request, response, message);
    });
  });
  server.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    origin: `http://127.0.0.1:${port}`,
    received,
    connections: () => connections,
    async until(count) {
      const end = Date.now() + 20_000;
      while (received.length < count) {
        if (Date.now() > end) throw new Error(`${received.length} requests came, and not ${count}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return received;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}

import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { buildServer, type ServerOptions } from "./server.ts";

/** Speaks the protocol on standard input and output until the client ends it. */
export async function serveStdio(options: ServerOptions): Promise<void> {
  const server = buildServer(options);
  const closed = new Promise<void>((resolve) => {
    server.onclose = () => resolve();
  });
  const end = () => void server.close();
  process.stdin.once("end", end);
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
  await server.connect(new StdioServerTransport());
  await closed;
}

import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { buildServer, type ServerOptions } from "./server.ts";
import { State } from "./state.ts";

/** Speaks the protocol on standard input and output until the client ends it: one session, the process's own. */
export async function serveStdio(options: Omit<ServerOptions, "state">): Promise<void> {
  const state = new State();
  const server = buildServer({ ...options, state });
  const closed = new Promise<void>((resolve) => {
    server.onclose = () => resolve();
  });
  const end = () => void server.close();
  process.stdin.once("end", end);
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
  await server.connect(new StdioServerTransport());
  await closed;
  state.end();
}

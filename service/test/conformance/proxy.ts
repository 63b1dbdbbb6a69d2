import { createServer, request as open } from "node:http";
import type { AddressInfo } from "node:net";

export interface CredentialProxy {
  url: string;
  close(): Promise<void>;
}

/**
 * Adds a credential to every request, for a client that cannot send one, and changes nothing else: Host and Origin go
 * through as they are, and streams as they come.
 */
export async function openProxy(target: string, token: string): Promise<CredentialProxy> {
  const { hostname, port } = new URL(target);
  const server = createServer((incoming, response) => {
    const headers = { ...incoming.headers, authorization: `Bearer ${token}` };
    const onward = open(
      { hostname, port, path: incoming.url, method: incoming.method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        response.flushHeaders();
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AppError } from "../core/index.ts";
import type { Logger } from "../log.ts";
import type { Metrics, TextForm } from "./create.ts";

export interface MetricsServer {
  /** Such as http://127.0.0.1:9464/metrics. */
  address: string;
  close(): Promise<void>;
}

/**
 * Serves /metrics and nothing else. On a port of its own, since it asks for no token: who may reach it is the network's to say, and
 * a drain or a flood at the product's own port does not blind whoever watches.
 */
export async function listen(
  metrics: Pick<Metrics, "text">,
  { host, port, log }: { host: string; port: number; log: Logger },
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split("?", 1)[0];
    if (path !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { allow: "GET, HEAD" }).end();
      return;
    }
    metrics.text(formOf(request.headers.accept)).then(
      ({ text, contentType }) => {
        response.writeHead(200, { "content-type": contentType, vary: "accept" });
        response.end(request.method === "HEAD" ? undefined : text);
      },
      (error: unknown) => {
        log.error({ err: error }, "failed: metrics");
        response.writeHead(500).end();
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(explain(error, host, port)));
    server.listen({ host, port }, resolve);
  });
  const bound = server.address() as AddressInfo;
  const name = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
  return {
    address: `http://${name}:${bound.port}/metrics`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      // Whoever scrapes keeps the connection for the next time.
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The older form, unless OpenMetrics 1 is asked for by its name, as Prometheus does where it keeps exemplars. */
function formOf(accept = ""): TextForm {
  return /application\/openmetrics-text\s*;[^,]*version="?1\./.test(accept) ? "openmetrics" : "prometheus";
}

/** What an operator can mend, in a sentence; anything else as it is. */
function explain(error: NodeJS.ErrnoException, host: string, port: number): unknown {
  if (error.code === "EADDRINUSE") {
    return new AppError(
      "conflict",
      `Port ${port} of ${host} is in use, so that no metrics can be served; set TASKMASTER_METRICS_PORT to another.`,
    );
  }
  if (error.code === "EACCES") {
    return new AppError(
      "forbidden",
      `This user may not listen on port ${port}; set TASKMASTER_METRICS_PORT to one above 1023.`,
    );
  }
  return error;
}

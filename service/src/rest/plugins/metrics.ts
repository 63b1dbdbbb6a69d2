import type { FastifyReply } from "fastify";
import type { App } from "../http.ts";
import type { Exemplar } from "./tracing.ts";

/** Who counts requests. Each that began ends once. */
export interface RequestObserver {
  began(method: string): void;
  ended(request: {
    method: string;
    route: string;
    status: string;
    seconds: number;
    exemplar: Exemplar | undefined;
  }): void;
}

/** Those of RFC 9110 and 5789; the semantic conventions call every other one _OTHER. */
const methods = new Set(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]);

export function knownMethod(method: string): string {
  return methods.has(method) ? method : "_OTHER";
}

/** Empty where the client left before there was one. */
export function statusOf(reply: FastifyReply): string {
  return reply.raw.headersSent ? String(reply.raw.statusCode) : "";
}

/**
 * Tells of each request that was routed, by the route's template and never by its address. An empty route is one that there is not,
 * and an empty status a client that left before it had one.
 */
export function addMetrics(app: App, observer: RequestObserver | undefined): void {
  if (observer === undefined) return;
  app.addHook("onRequest", (request, reply, done) => {
    const method = knownMethod(request.method);
    const started = performance.now();
    observer.began(method);
    // The response's own end: Fastify tells of none when a client leaves, which is how every stream ends.
    reply.raw.on("close", () => {
      observer.ended({
        method,
        route: request.routeOptions.url ?? "",
        status: statusOf(reply),
        seconds: (performance.now() - started) / 1000,
        exemplar: request.trace?.exemplar,
      });
    });
    done();
  });
}

import type { App } from "../http.ts";
import { probes } from "./health.ts";
import { knownMethod, statusOf } from "./metrics.ts";

/** One request's place in a trace. */
export interface RequestTrace {
  /** Work within is a part of the trace, with all that it awaits. */
  run<T>(work: () => T): T;
  exemplar: Exemplar | undefined;
  ended(request: { route: string; status: string }): void;
}

/** What a measurement names as an example of it: a trace that is kept. */
export type Exemplar = Readonly<Record<"trace_id" | "span_id", string>>;

/** Who traces requests. Each that began ends once. */
export interface RequestTracer {
  /** Null where it is not traced. */
  began(request: {
    method: string;
    scheme: string;
    traceparent: string | undefined;
    tracestate: string | undefined;
  }): RequestTrace | null;
  /** Work of a request that is not traced, on a connection that may have been in another's trace. */
  outside<T>(work: () => T): T;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Null where it is not traced. */
    trace: RequestTrace | null;
  }
}

/**
 * A trace for each request that was routed, which goes on with the caller's (W3C Trace Context). It is told the route's template
 * and never its address, which holds names, nor a query, which holds words.
 */
export function addTracing(app: App, tracer: RequestTracer | undefined): void {
  app.decorateRequest("trace", null);
  if (tracer === undefined) return;
  app.addHook("onRequest", (request, reply, done) => {
    const route = request.routeOptions.url ?? "";
    if (probes.has(route)) {
      done();
      return;
    }
    const header = (name: string) => {
      const value = request.headers[name];
      return typeof value === "string" ? value : undefined;
    };
    const trace = tracer.began({
      method: knownMethod(request.method),
      scheme: request.protocol,
      traceparent: header("traceparent"),
      tracestate: header("tracestate"),
    });
    if (trace === null) {
      tracer.outside(done);
      return;
    }
    request.trace = trace;
    reply.raw.on("close", () => trace.ended({ route, status: statusOf(reply) }));
    trace.run(done);
  });
  // The answer's end is told by the socket, which belongs to no request.
  app.addHook("onResponse", (request, _reply, done) => {
    if (request.trace === null) tracer.outside(done);
    else request.trace.run(done);
  });
}

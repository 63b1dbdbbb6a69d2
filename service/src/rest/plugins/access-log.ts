import type { App } from "../http.ts";

/** One line a request, with the route's template in place of its address: addresses hold names, and queries words. */
export function addAccessLog(app: App): void {
  app.addHook("onRequest", (request, reply, done) => {
    reply.header("x-request-id", request.id);
    done();
  });
  app.addHook("onResponse", (request, reply, done) => {
    const caller = request.caller;
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        status: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime * 10) / 10,
        ...(caller && {
          actorId: caller.actor.id,
          actorKind: caller.actor.kind,
          organizationId: caller.organizationId,
        }),
      },
      "request",
    );
    done();
  });
}

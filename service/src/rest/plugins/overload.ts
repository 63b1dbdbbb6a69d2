import type { Core } from "../../core/index.ts";
import type { App } from "../http.ts";
import { problemType, Refusal, renderProblem } from "../problem.ts";
import { probes } from "./health.ts";

const tellMs = 1_000;
const refusal = new Refusal(
  "unavailable",
  "More is asked of the server than it can do now; try again in a second.",
  { headers: { "retry-after": "1" } },
);

/**
 * Refuses what the server had better not begin, before anything is done for it: what a refusal costs is missing for what is
 * served. So it is counted as every answer is, but has no line in the log, which tells once a second how many they were.
 */
export function addOverload(app: App, core: Core): void {
  let refused = 0;
  const tell = () => {
    app.log.warn({ refused }, "more is asked of the server than it can do: requests were refused");
    refused = 0;
  };
  app.addHook("onRequest", (request, reply, done) => {
    if (!core.isOverwhelmed() || probes.has(request.routeOptions.url ?? "")) {
      done();
      return;
    }
    if (refused === 0) setTimeout(tell, tellMs).unref();
    refused += 1;
    const { body, headers } = renderProblem(refusal, request.id, false);
    reply.hijack();
    reply.raw
      .writeHead(body.status, { ...headers, "content-type": problemType, "x-request-id": request.id })
      .end(JSON.stringify(body));
  });
}

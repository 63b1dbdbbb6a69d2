import { AsyncLocalStorage } from "node:async_hooks";
import { type Context, context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { afterEach, expect, test } from "vitest";
import { openSentry } from "../../../src/error-reporting/sentry.ts";
import { createLog } from "../../../src/log.ts";
import { startSentry } from "../../support/sentry.ts";

afterEach(() => context.disable());

test("an error within a trace names it", async () => {
  const storage = new AsyncLocalStorage<Context>();
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, work, self, ...args) => storage.run(active, () => work.call(self, ...args)),
    bind: (_active, target) => target,
    enable() {
      return this;
    },
    disable() {
      return this;
    },
  });
  const sentry = await startSentry();
  const log = createLog({ logLevel: "silent" });
  const reporting = openSentry({ dsn: sentry.dsn, environment: "test" }, { version: "1.2.3", log });
  const span = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: 1 };
  context.with(trace.setSpanContext(ROOT_CONTEXT, span), () =>
    reporting.tell(new Error("x"), { part: "upkeep", what: "in a trace" }),
  );
  reporting.tell(new Error("x"), { part: "upkeep", what: "outside" });
  await reporting.close();
  const found = Object.fromEntries(sentry.events().map(({ tags, contexts }) => [tags.what, contexts.trace]));
  expect(found).toEqual({
    "in a trace": { trace_id: span.traceId, span_id: span.spanId },
    outside: undefined,
  });
  expect(sentry.events()).toMatchObject([{ release: "task-master-pro@1.2.3", environment: "test" }, {}]);
  await sentry.close();
});

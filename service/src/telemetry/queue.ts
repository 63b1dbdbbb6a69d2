import { DiagLogLevel, diag, TraceFlags } from "@opentelemetry/api";
import { ExportResultCode } from "@opentelemetry/core";
import type { SpanExporter, SpanProcessor } from "@opentelemetry/sdk-trace";
import type { Logger } from "../log.ts";
import type { Exporter } from "./export.ts";

export interface Queue {
  processor: SpanProcessor;
  /** Says what was lost, if it was not said yet. */
  close(): void;
}

/** No more than one line about lost traces in so long. */
const quietMs = 60_000;

/**
 * Holds what the collector does not have yet, up to a bound; what is more is lost and counted. A collector that is away is told of
 * once, and again when it is back, whatever number of batches that is.
 */
export function createQueue(options: {
  exporter: Exporter;
  maximumWaiting: number;
  log: Logger;
  processor(exporter: SpanExporter): SpanProcessor;
}): Queue {
  const { exporter, maximumWaiting, log } = options;
  let waiting = 0;
  let lost = 0;
  let failing = false;
  let said = false;
  let saidAt = Number.NEGATIVE_INFINITY;
  const underWay = new Set<Promise<void>>();

  function lose(count: number, reason: string): void {
    lost += count;
    if (failing) return;
    failing = true;
    if (performance.now() - saidAt < quietMs) return;
    said = true;
    saidAt = performance.now();
    log.warn({ reason }, "traces are lost, and nothing else is");
  }

  function arrived(): void {
    failing = false;
    // What was lost in silence since is counted with what is said next.
    if (!said) return;
    log.info({ lost }, "traces are sent again");
    said = false;
    lost = 0;
  }

  const inner = options.processor({
    export(spans, done) {
      const sending = exporter
        .send(spans)
        .then(
          () => {
            waiting -= spans.length;
            arrived();
          },
          (error: unknown) => {
            waiting -= spans.length;
            lose(spans.length, reasonOf(error));
          },
        )
        // Of a failure everything was said; the processor would say it again.
        .finally(() => {
          underWay.delete(sending);
          done({ code: ExportResultCode.SUCCESS });
        });
      underWay.add(sending);
    },
    async shutdown() {
      await Promise.all(underWay);
    },
  });
  const quiet = createQuietLog(log);
  diag.setLogger(quiet, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });

  return {
    processor: {
      onStart: (span, context) => inner.onStart(span, context),
      onEnd(span) {
        if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
        if (waiting >= maximumWaiting) {
          lose(1, "The collector does not take them as fast as they come.");
          return;
        }
        waiting += 1;
        inner.onEnd(span);
      },
      forceFlush: () => inner.forceFlush(),
      shutdown: () => inner.shutdown(),
    },
    close() {
      if (lost > 0) log.warn({ lost }, "traces were lost");
      diag.disable();
    },
  };
}

/** The library's own word on what goes wrong inside of it, a line a minute at most. */
function createQuietLog(log: Logger) {
  let saidAt = Number.NEGATIVE_INFINITY;
  const say = (message: string) => {
    if (performance.now() - saidAt < quietMs) return;
    saidAt = performance.now();
    log.warn({ reason: message }, "tracing");
  };
  const nothing = () => {};
  return { error: say, warn: say, info: nothing, debug: nothing, verbose: nothing };
}

/** What fetch says hides behind its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return cause.message === "" ? code : cause.message;
}

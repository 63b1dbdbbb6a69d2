import { isSpanContextValid, trace } from "@opentelemetry/api";
import {
  createTransport,
  defaultStackParser,
  type ErrorEvent,
  type Exception,
  NodeClient,
  Scope,
  SDK_VERSION,
} from "@sentry/node";
import type { SentryConfig } from "../config.ts";
import type { DefectPlace, TellDefect } from "../defects.ts";
import type { Logger } from "../log.ts";
import { createBounds } from "./bounds.ts";
import { wordExceptions, wordName } from "./wording.ts";

export interface ErrorReporting {
  tell: TellDefect;
  /** Sends what is still to be sent, for two seconds at most; nothing is told after it. */
  close(): Promise<void>;
}

const requestMs = 5000;
const closeMs = 2000;
/** What waits for a Sentry that does not answer; more is dropped. */
const waiting = 30;
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Tells a Sentry, or what speaks its protocol, of defects. What is sent is put together here, of the program's own words: no
 * request, address, person, variable or breadcrumb is near. The client is no global one and has no integrations, so that
 * nothing is patched and nothing but this sends anything.
 */
export function openSentry(
  { dsn, environment }: SentryConfig,
  { version, log }: { version: string; log: Logger },
): ErrorReporting {
  const cut = new AbortController();
  let away = false;
  const client = new NodeClient({
    dsn,
    environment,
    release: `task-master-pro@${version}`,
    includeServerName: false,
    // Nothing of the program is patched, and traces are not Sentry's.
    enableRuntimeChannelInjection: false,
    integrations: [],
    stackParser: defaultStackParser,
    sendClientReports: false,
    traceLifecycle: "static",
    // Without what the library adds to it, such as a trace that there is not.
    beforeSend: ({ event_id, timestamp, release, environment }, { data }) =>
      Object.assign({}, data as ErrorEvent, { event_id, timestamp, release, environment }),
    _metadata: {
      sdk: {
        name: "sentry.javascript.node",
        version: SDK_VERSION,
        // Sentry would note the address that the event came from as that of a person.
        settings: { infer_ip: "never" },
      },
    },
    transport: (options) =>
      createTransport({ ...options, bufferSize: waiting }, async ({ body }) => {
        try {
          const response = await fetch(options.url, {
            method: "POST",
            headers: { ...options.headers, "content-type": "application/x-sentry-envelope" },
            body: body as Uint8Array<ArrayBuffer> | string,
            redirect: "error",
            signal: AbortSignal.any([AbortSignal.timeout(requestMs), cut.signal]),
          });
          await response.body?.cancel();
          note(response.ok || response.status === 429 ? null : `it answered ${response.status}`);
          return {
            statusCode: response.status,
            headers: {
              "retry-after": response.headers.get("retry-after"),
              "x-sentry-rate-limits": response.headers.get("x-sentry-rate-limits"),
            },
          };
        } catch (error) {
          note(error);
          throw error;
        }
      }),
  });
  client.init();

  /** Once an outage. */
  function note(fault: unknown): void {
    if (fault !== null && !away && !cut.signal.aborted) {
      log.warn(
        { err: fault instanceof Error ? fault : new Error(String(fault)) },
        "Sentry does not take what it is told; errors are in this log only",
      );
    }
    away = fault !== null;
  }

  const admit = createBounds();

  return {
    tell(error, place) {
      try {
        const values = wordExceptions(error, defaultStackParser);
        const last = values.at(-1);
        const frame = last?.stacktrace?.frames?.at(-1);
        const kind = [last?.type, place.part, place.what, frame?.filename, frame?.lineno].join(" ");
        const leftOut = admit(kind, performance.now());
        if (leftOut === null) return;
        const event = eventOf(error, place, values, leftOut);
        client.captureEvent(event, { data: event }, new Scope());
      } catch (failure) {
        log.warn({ err: failure }, "an error could not be told to Sentry");
      }
    },
    async close() {
      await client.close(closeMs);
      // What still waits for an answer would hold the process.
      cut.abort();
    },
  };
}

function eventOf(
  error: unknown,
  { part, what, method, requestId }: DefectPlace,
  values: Exception[],
  leftOut: number,
): ErrorEvent {
  const code = wordName(typeof error === "object" && error !== null && "code" in error ? error.code : null);
  const span = trace.getActiveSpan()?.spanContext();
  const traced = span !== undefined && isSpanContextValid(span);
  return {
    type: undefined,
    level: part === "process" ? "fatal" : "error",
    platform: "node",
    transaction: method === undefined ? what : `${method} ${what}`,
    exception: { values },
    tags: {
      part,
      what,
      ...(method === undefined ? {} : { method }),
      ...(code === undefined ? {} : { code }),
      // Only one that the server made, or might have made: a client could have put its name there.
      ...(requestId !== undefined && uuid.test(requestId) ? { request_id: requestId } : {}),
      ...(leftOut > 0 ? { left_out: leftOut } : {}),
    },
    contexts: {
      runtime: { name: "node", version: process.version },
      ...(traced ? { trace: { trace_id: span.traceId, span_id: span.spanId } } : {}),
    },
  };
}

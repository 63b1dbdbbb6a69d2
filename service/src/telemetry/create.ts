import { randomUUID } from "node:crypto";
import { type Context, createContextKey, ROOT_CONTEXT, SpanKind } from "@opentelemetry/api";
import { SDK_INFO } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_VERSION,
  ATTR_URL_SCHEME,
} from "@opentelemetry/semantic-conventions";
import type { TracingConfig } from "../config.ts";
import type { Core, LanguageModel } from "../core/index.ts";
import type { Storage } from "../core/storage.ts";
import type { Logger } from "../log.ts";
import { createExporter } from "./export.ts";
import { type ObserveCall, observeCalls } from "./observe-calls.ts";
import { observeCore } from "./observe-core.ts";
import { observeModel, observeSend, type SendMessage } from "./observe-outgoing.ts";
import { type ObserveStatement, observeStatements } from "./observe-statements.ts";
import { observeStorage } from "./observe-storage.ts";
import { createQueue } from "./queue.ts";
import { createSpans, type Spans } from "./spans.ts";

/** What is known of a request when it comes. */
export interface IncomingRequest {
  /** Of HTTP's, or _OTHER. */
  method: string;
  scheme: string;
  /** W3C Trace Context, as it came. */
  traceparent?: string | undefined;
  tracestate?: string | undefined;
}

/** One request's place in a trace. */
export interface RequestTrace {
  /** Work within is a part of the trace, with all that it awaits. */
  run<T>(work: () => T): T;
  /** What a measurement of the request may name as an example of it; undefined where the trace is not kept. */
  exemplar: { trace_id: string; span_id: string } | undefined;
  /** An empty route is one that there is not, and an empty status a client that left before it had one. */
  ended(request: { route: string; status: string }): void;
}

export interface Telemetry {
  http: {
    /** Null where it is not traced: neither kept here nor, as far as anybody said, anywhere else. */
    began(request: IncomingRequest): RequestTrace | null;
    /** Work of such a request, on a connection that may have been in another's trace. */
    outside<T>(work: () => T): T;
  };
  /** The same storage and use cases, each transaction and call a span where a request that is traced asks for it. */
  observeStorage(storage: Storage): Storage;
  observeCore(core: Core): Core;
  observeStatement: ObserveStatement;
  observeCall: ObserveCall;
  observeSend(send: SendMessage): SendMessage;
  observeModel(model: LanguageModel, of: { name: string; baseUrl: string }): LanguageModel;
  /** With which another server may go on with the present work's trace (W3C Trace Context). */
  outgoingHeaders(): Record<string, string>;
  /** The trace that the present work belongs to, for its log lines; undefined outside of one. */
  logFields(): Record<string, string> | undefined;
  /** Sends what is left, for `flushMs` at the most. */
  close(): Promise<void>;
}

export interface TelemetryOptions {
  version: string;
  log: Logger;
  /** How long a span waits for others to be sent with. */
  delayMs?: number;
  /** The most spans that wait. */
  maximumWaiting?: number;
  /** How long a stop waits for the collector. */
  flushMs?: number;
}

/**
 * One server's traces. Nothing of it is global, so that several servers may live in one process, and no other library's spans or
 * contexts get in between.
 */
export function createTelemetry(
  config: TracingConfig,
  { version, log, delayMs = 2000, maximumWaiting = 4096, flushMs = 1500 }: TelemetryOptions,
): Telemetry {
  const exporter = createExporter({ ...config, userAgent: `Task-Master-Pro/${version}` });
  const queue = createQueue({
    exporter,
    maximumWaiting,
    log,
    processor: (inner) =>
      new BatchSpanProcessor({
        exporter: inner,
        maxQueueSize: maximumWaiting,
        maxExportBatchSize: Math.min(512, maximumWaiting),
        scheduledDelayMillis: delayMs,
      }),
  });
  const provider = new TracerProvider({
    sampler: samplerOf(config),
    resource: resourceFromAttributes({
      "service.instance.id": randomUUID(),
      ...config.resourceAttributes,
      [ATTR_SERVICE_NAME]: config.serviceName,
      [ATTR_SERVICE_VERSION]: version,
      ...SDK_INFO,
    }),
    spanLimits: { attributeValueLengthLimit: 4096 },
    spanProcessors: [queue.processor],
  });
  const spans = createSpans(provider.getTracer("task-master-pro", version));
  const share = shareOf(config);
  return {
    http: {
      // Most requests are not taken, and are not to cost what a span costs that is thrown away.
      began(request) {
        if (request.traceparent !== undefined) return beginRequest(spans, request, spans.extract(request));
        return Math.random() < share ? beginRequest(spans, request, takenRoot) : null;
      },
      outside: spans.outside,
    },
    observeStorage: (storage) => observeStorage(storage, spans),
    observeCore: (core) => observeCore(core, spans),
    observeStatement: observeStatements(spans),
    observeCall: observeCalls(spans),
    observeSend: (send) => observeSend(send, spans),
    observeModel: (model, of) => observeModel(model, of, spans),
    outgoingHeaders() {
      const traceparent = spans.traceparent();
      return traceparent === undefined ? {} : { traceparent };
    },
    logFields: spans.logFields,
    async close() {
      const limit = setTimeout(() => exporter.abort(), flushMs);
      await provider.shutdown();
      clearTimeout(limit);
      spans.close();
      queue.close();
    },
  };
}

/** What the sampler was asked of already. */
const taken = createContextKey("taken");
const takenRoot = ROOT_CONTEXT.setValue(taken, true);

function samplerOf(config: TracingConfig): Sampler {
  const { own, isParentBased } = readSampler(config);
  const root =
    own === "always_on"
      ? new AlwaysOnSampler()
      : own === "always_off"
        ? new AlwaysOffSampler()
        : new TraceIdRatioBasedSampler(config.ratio);
  const sampler = isParentBased ? new ParentBasedSampler({ root }) : root;
  return {
    shouldSample: (context, ...of) =>
      context.getValue(taken) === true
        ? { decision: SamplingDecision.RECORD_AND_SAMPLED }
        : sampler.shouldSample(context, ...of),
    toString: () => sampler.toString(),
  };
}

/** Of the requests that come without a trace. */
function shareOf(config: TracingConfig): number {
  const { own } = readSampler(config);
  return own === "always_on" ? 1 : own === "always_off" ? 0 : config.ratio;
}

function readSampler({ sampler }: TracingConfig): { own: string; isParentBased: boolean } {
  const own = sampler.replace(/^parentbased_/, "");
  return { own, isParentBased: own !== sampler };
}

function beginRequest(spans: Spans, { method, scheme }: IncomingRequest, parent: Context): RequestTrace {
  // The conventions' word for a method that is none, in a name.
  const name = method === "_OTHER" ? "HTTP" : method;
  const span = spans.begin(name, {
    kind: SpanKind.SERVER,
    parent,
    attributes: { [ATTR_HTTP_REQUEST_METHOD]: method, [ATTR_URL_SCHEME]: scheme },
  });
  return {
    run: span.run,
    exemplar: span.exemplar,
    ended({ route, status }) {
      if (route !== "") span.rename(`${name} ${route}`, { [ATTR_HTTP_ROUTE]: route });
      if (status === "") {
        span.end({ [ATTR_ERROR_TYPE]: "client_left" });
        return;
      }
      const failed = Number(status) >= 500;
      span.end(
        {
          [ATTR_HTTP_RESPONSE_STATUS_CODE]: Number(status),
          ...(failed ? { [ATTR_ERROR_TYPE]: status } : {}),
        },
        failed,
      );
    },
  };
}

import {
  type Attributes,
  type Context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type SpanContext,
  type SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { ATTR_ERROR_TYPE } from "@opentelemetry/semantic-conventions";
import { AppError } from "../core/index.ts";

export interface SpanOptions {
  kind: SpanKind;
  attributes: Attributes;
}

export interface BegunSpan {
  run<T>(work: () => T): T;
  /** W3C Trace Context, for whoever is asked to do a part of it. */
  traceparent: string;
  exemplar: { trace_id: string; span_id: string } | undefined;
  rename(name: string, attributes: Attributes): void;
  end(attributes?: Attributes, failed?: boolean): void;
}

/** The spans of this process, and the one that the present work is a part of. */
export interface Spans {
  /** Whether the present work is part of a trace that is kept. Without, there is nothing to be said of it. */
  recording(): boolean;
  /** By default a part of the present work's. */
  begin(name: string, options: SpanOptions & { parent?: Context; links?: SpanContext[] }): BegunSpan;
  /**
   * A span around the work, if that is part of a trace that is kept; else the work alone. A failure ends it, with the attributes
   * that `explain` makes of the error.
   */
  within<T>(
    name: string,
    options: SpanOptions,
    work: () => Promise<T>,
    explain?: (error: unknown) => Attributes,
  ): Promise<T>;
  /** Work that no request waits for, or that is done for several: it belongs to none of them. */
  outside<T>(work: () => T): T;
  extract(headers: { traceparent?: string | undefined; tracestate?: string | undefined }): Context;
  /** Of the present work; undefined outside of a trace. */
  traceparent(): string | undefined;
  current(): SpanContext | undefined;
  logFields(): Record<string, string> | undefined;
  close(): void;
}

const none = {};

export function createSpans(tracer: Tracer): Spans {
  const manager = new AsyncLocalStorageContextManager().enable();
  const propagator = new W3CTraceContextPropagator();
  const getter = {
    get: (carrier: Record<string, string | undefined>, key: string) => carrier[key],
    keys: (carrier: object) => Object.keys(carrier),
  };
  const active = () => trace.getSpan(manager.active());
  const current = () => active()?.spanContext();

  function begin(
    name: string,
    {
      parent = manager.active(),
      links = [],
      ...options
    }: SpanOptions & { parent?: Context; links?: SpanContext[] },
  ): BegunSpan {
    const span = tracer.startSpan(name, { ...options, links: links.map((context) => ({ context })) }, parent);
    const context = trace.setSpan(parent, span);
    const { traceId, spanId, traceFlags } = span.spanContext();
    const kept = (traceFlags & TraceFlags.SAMPLED) !== 0;
    return {
      run: (work) => manager.with(context, work),
      traceparent: traceparentOf(span.spanContext()),
      exemplar: kept ? { trace_id: traceId, span_id: spanId } : undefined,
      rename(next, attributes) {
        span.updateName(next);
        span.setAttributes(attributes);
      },
      end(attributes = none, failed = false) {
        span.setAttributes(attributes);
        if (failed) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      },
    };
  }

  const recording = () => active()?.isRecording() ?? false;

  async function around<T>(
    span: BegunSpan,
    work: () => Promise<T>,
    explain: (error: unknown) => Attributes,
  ): Promise<T> {
    try {
      const result = await span.run(work);
      span.end();
      return result;
    } catch (error) {
      span.end(explain(error), !isRefusal(error));
      throw error;
    }
  }

  return {
    recording,
    begin,
    within: (name, options, work, explain = errorAttributes) =>
      recording() ? around(begin(name, options), work, explain) : work(),
    outside: (work) => (active() === undefined ? work() : manager.with(ROOT_CONTEXT, work)),
    extract: (headers) => propagator.extract(ROOT_CONTEXT, headers, getter),
    traceparent() {
      const context = current();
      return context === undefined ? undefined : traceparentOf(context);
    },
    current,
    logFields() {
      const context = current();
      if (context === undefined || !isSpanContextValid(context)) return undefined;
      return { trace_id: context.traceId, span_id: context.spanId };
    },
    close() {
      manager.disable();
    },
  };
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & TraceFlags.SAMPLED}`;
}

/** The error's kind and never its text, which may hold what people wrote. */
function errorAttributes(error: unknown): Attributes {
  const type = error instanceof AppError ? error.code : error instanceof Error ? error.name : "_OTHER";
  return { [ATTR_ERROR_TYPE]: type };
}

/** An answer that the caller is to act on, and no failure of the server's. */
function isRefusal(error: unknown): boolean {
  return error instanceof AppError && error.code !== "unavailable";
}

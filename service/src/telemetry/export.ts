import { setTimeout as sleep } from "node:timers/promises";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";

export interface Exporter {
  /** Resolves when the collector has them; rejects when it has not, in the end. */
  send(spans: ReadableSpan[]): Promise<void>;
  /** Gives up on what is under way, and on all that comes. */
  abort(): void;
}

/** For one batch in all, its further tries included. */
const timeoutMs = 10_000;
const firstPauseMs = 1000;
/** What OTLP says is to be tried again. */
const passing = new Set([429, 502, 503, 504]);

/**
 * OTLP over HTTP, in protobuf. One POST, so that the exporter of OpenTelemetry's own is not needed: that one reads variables of the
 * environment by itself, and what it has begun cannot be ended when the server stops.
 */
export function createExporter(options: {
  url: string;
  headers: Readonly<Record<string, string>>;
  userAgent: string;
}): Exporter {
  const stop = new AbortController();
  const headers = {
    "user-agent": options.userAgent,
    ...options.headers,
    "content-type": "application/x-protobuf",
  };

  /** Undefined when it is there; else after how long to try again, in milliseconds. */
  async function post(body: Uint8Array, signal: AbortSignal): Promise<number | undefined> {
    const response = await fetch(options.url, { method: "POST", headers, body, signal, redirect: "error" });
    // Unread, it would keep its connection from the next batch.
    await response.arrayBuffer();
    if (response.ok) return undefined;
    if (!passing.has(response.status)) throw new Error(`The collector answered ${response.status}.`);
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    return Number.isNaN(seconds) ? 0 : seconds * 1000;
  }

  return {
    async send(spans) {
      const body = ProtobufTraceSerializer.serializeRequest(spans);
      if (body === undefined) return;
      const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(timeoutMs)]);
      const deadline = performance.now() + timeoutMs;
      for (let pause = firstPauseMs; ; pause *= 2) {
        const asked = await post(body, signal);
        if (asked === undefined) return;
        const wait = Math.max(asked, pause);
        if (performance.now() + wait >= deadline) throw new Error("The collector takes no more for now.");
        await sleep(wait, undefined, { ref: false, signal });
      }
    },
    abort() {
      stop.abort(new Error("The server stops."));
    },
  };
}

import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import type { LookupFunction } from "node:net";
import { isIP } from "node:net";
import {
  type AddressRules,
  findUrlFault,
  hostOf,
  isAddressAllowed,
  isLiteral,
  notPublic,
  type Outcome,
  type OutgoingMessage,
} from "../core/index.ts";

/** All addresses of a name, IPv4 and IPv6. Rejects when there is none. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<string[]>;

export interface SenderOptions {
  rules: AddressRules;
  resolve: Resolve;
  /** For the whole attempt: name, connection, request and answer. */
  timeoutMs: number;
  userAgent: string;
}

/** Makes one attempt. Never rejects. An aborted signal makes it `interrupted`. */
export type Send = (
  message: Pick<OutgoingMessage, "url" | "headers" | "body">,
  stop: AbortSignal,
) => Promise<Outcome>;

/** How much of an answer is read, to let its sender finish; nothing of it is kept. */
const readBytes = 4096;
const readMs = 1000;

/**
 * Sends messages to addresses that may be reached, and to no others. A name is resolved once an attempt; all of its
 * addresses are checked; and the connection goes to these very addresses, so that a name which means another machine
 * a moment later changes nothing. Redirects are not followed, and no connection is used twice.
 */
export function createSender({ rules, resolve, timeoutMs, userAgent }: SenderOptions): Send {
  /** The addresses to connect to; throws Unreachable. */
  async function locate(url: URL, signal: AbortSignal): Promise<string[]> {
    // Again and not only when it was made: the rules may be others now.
    const fault = findUrlFault(url.href, rules);
    if (fault !== undefined) throw new Unreachable(fault);
    const host = hostOf(url);
    const addresses = isLiteral(host)
      ? [host]
      : await resolve(host, signal).catch((error: unknown) => {
          throw signal.aborted ? error : new Unreachable("The host's name cannot be resolved.");
        });
    if (addresses.length === 0) throw new Unreachable("The host's name cannot be resolved.");
    if (!addresses.every((address) => isAddressAllowed(address, rules))) throw new Unreachable(notPublic);
    return addresses;
  }

  return async ({ url: text, headers, body }, stop) => {
    const started = performance.now();
    const durationMs = () => Math.round(performance.now() - started);
    const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]);
    try {
      const url = new URL(text);
      const addresses = await Promise.race([locate(url, signal), aborted(signal)]);
      const answer = await post(url, addresses, { ...headers, "user-agent": userAgent }, body, signal);
      return { kind: "answered", ...answer, durationMs: durationMs() };
    } catch (error) {
      if (stop.aborted) return { kind: "interrupted" };
      const reason = signal.aborted
        ? `The receiver did not answer within ${timeoutMs / 1000} s.`
        : say(error);
      return { kind: "failed", error: reason, durationMs: durationMs() };
    }
  };
}

/** A refusal of our own, whose message is for the delivery log. */
class Unreachable extends Error {}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason);
    if (signal.aborted) fail();
    else signal.addEventListener("abort", fail, { once: true });
  });
}

function post(
  url: URL,
  addresses: readonly string[],
  headers: Record<string, string>,
  body: string,
  signal: AbortSignal,
): Promise<{ status: number; retryAfterSeconds: number | null }> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === "https:" ? https : http).request(url, {
      method: "POST",
      // A connection of its own: one that is kept would outlive the check of its address.
      agent: false,
      lookup: pinned(addresses),
      signal,
      headers: {
        ...headers,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        connection: "close",
      },
    });
    request.on("error", reject);
    request.on("response", (response) => {
      const answer = { status: response.statusCode ?? 0, retryAfterSeconds: retryAfter(response) };
      void readSome(response).then(() => {
        request.destroy();
        resolve(answer);
      });
    });
    request.end(body);
  });
}

/** Answers every lookup with the addresses that were checked. */
function pinned(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_name, options, callback) => {
    if (options.all === true) callback(null, all);
    else callback(null, all[0]?.address ?? "", all[0]?.family);
  };
}

/** Until its end, but no more and no longer than bounded: the status has been heard already. */
function readSome(response: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0;
    const limit = setTimeout(resolve, readMs);
    const done = () => {
      clearTimeout(limit);
      resolve();
    };
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > readBytes) done();
    });
    // Whatever breaks off now, the message has been answered.
    response.on("error", done);
    response.on("close", done);
  });
}

/** Retry-After in seconds, of either form (RFC 9110, 10.2.3). */
function retryAfter(response: IncomingMessage): number | null {
  const value = response.headers["retry-after"];
  if (value === undefined) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value);
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : Math.max(0, (at - Date.now()) / 1000);
}

const reasons: Record<string, string> = {
  ECONNREFUSED: "The receiver refuses connections.",
  ECONNRESET: "The receiver closed the connection without an answer.",
  EPIPE: "The receiver closed the connection without an answer.",
  EHOSTUNREACH: "The receiver's network cannot be reached.",
  ENETUNREACH: "The receiver's network cannot be reached.",
  ETIMEDOUT: "The receiver cannot be reached.",
};

/** A sentence that says nothing of the server's own network. */
function say(error: unknown): string {
  if (error instanceof Unreachable) return error.message;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const reason = reasons[code];
  if (reason !== undefined) return reason;
  if (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)) {
    return `The receiver's certificate is not good (${code}).`;
  }
  if (code.startsWith("HPE_")) return "The receiver's answer is not HTTP.";
  return "The connection to the receiver failed.";
}

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Page } from "../core/index.ts";
import { CliError, type ProblemBody, problem } from "./problem.ts";
import type { Transport } from "./transport.ts";

type QueryValue = string | number | boolean | readonly string[] | undefined;

export interface CallOptions {
  query?: Record<string, QueryValue>;
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, in place of `body`: a file whose exact text matters. */
  text?: string;
  headers?: Record<string, string>;
  timeoutSeconds?: number;
  /** Told how many bytes of `text` are on their way. */
  onSent?: (sent: number, total: number) => void;
}

export interface Client {
  /** Where it works: the server's address, or the file. */
  name: string;
  /** The answer's body; null for 204. Throws a CliError for every problem. */
  request<T>(method: string, path: string, options?: CallOptions): Promise<T>;
  get<T>(path: string, query?: Record<string, QueryValue>): Promise<T>;
  /** The answer's exact text. */
  text(path: string, query?: Record<string, QueryValue>): Promise<string>;
  /** A list's items over all its pages, or the first `limit` of them with the cursor behind those. */
  list<T>(path: string, query?: Record<string, QueryValue>, limit?: number): Promise<Page<T>>;
  /** An answer that does not end, as of events. */
  open(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
  close(): Promise<void>;
}

const defaultTimeoutSeconds = 40;
/** A language model may think for minutes; the server knows how long it may. */
export const modelTimeoutSeconds = 900;
const pageSize = 200;
/** The longest that a server may ask to wait before the one repeat; beyond that, its caller decides. */
const longestWaitSeconds = 10;

/** Segments of an address, each encoded. */
export function pathOf(...segments: string[]): string {
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join("");
}

export function createClient(transport: Transport): Client {
  const { name } = transport;

  async function exchange(method: string, path: string, options: CallOptions): Promise<Response> {
    const { query = {}, body, text, onSent, timeoutSeconds = defaultTimeoutSeconds } = options;
    const address = `${path}${queryString(query)}`;
    const payload = text ?? (body === undefined ? undefined : JSON.stringify(body));
    const headers: Record<string, string> = {
      accept: "application/json",
      ...(payload === undefined ? {} : { "content-type": "application/json" }),
      // The repeat below has the same key, so that whatever was cut off, the change happens once.
      ...(method === "POST" ? { "idempotency-key": randomUUID() } : {}),
      ...options.headers,
    };
    const repeatable = method !== "PATCH" && method !== "DELETE" && headers["if-match"] === undefined;
    for (let attempt = 1; ; attempt += 1) {
      const last = attempt === 2;
      try {
        const response = await transport.send(address, {
          method,
          headers,
          ...(payload === undefined ? {} : payloadOf(payload, onSent)),
          signal: AbortSignal.timeout(timeoutSeconds * 1000),
        });
        const wait = waitOf(response);
        if (last || wait === undefined) return response;
        await response.body?.cancel();
        await sleep(wait * 1000);
      } catch (error) {
        if (last || !repeatable || !isCut(error)) throw explain(error, name, repeatable, timeoutSeconds);
      }
    }
  }

  async function request<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const response = await exchange(method, path, options);
    if (response.status === 204) return null as T;
    return JSON.parse(await textOf(response, name)) as T;
  }

  return {
    name,
    request,
    get: (path, query = {}) => request("GET", path, { query }),
    async text(path, query = {}) {
      return await textOf(await exchange("GET", path, { query }), name);
    },
    async list<T>(path: string, query: Record<string, QueryValue> = {}, limit = Number.POSITIVE_INFINITY) {
      const items: T[] = [];
      let cursor: string | undefined;
      for (;;) {
        const page: Page<T> = await request("GET", path, {
          query: { ...query, limit: Math.min(pageSize, limit - items.length), cursor },
        });
        items.push(...page.items);
        if (page.nextCursor === null || items.length >= limit) return { items, nextCursor: page.nextCursor };
        cursor = page.nextCursor;
      }
    },
    async open(path, headers, signal) {
      try {
        const response = await transport.send(path, { method: "GET", headers, signal });
        if (!response.ok) await textOf(response, name);
        return response;
      } catch (error) {
        throw error instanceof CliError ? error : explain(error, name, true, defaultTimeoutSeconds);
      }
    },
    close: () => transport.close(),
  };
}

function queryString(query: Record<string, QueryValue>): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(key, String(one));
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

const chunkBytes = 65_536;

function payloadOf(payload: string, onSent: CallOptions["onSent"]): RequestInit {
  if (onSent === undefined) return { body: payload };
  const bytes = Buffer.from(payload);
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = bytes.subarray(sent, sent + chunkBytes);
      if (chunk.length === 0) controller.close();
      else controller.enqueue(chunk);
      sent += chunk.length;
      onSent(sent, bytes.length);
    },
  });
  return { body, duplex: "half" };
}

/** For how many seconds a server that is busy asks to wait, where that is soon; else undefined. */
function waitOf(response: Response): number | undefined {
  if (response.status !== 503 && response.status !== 429) return undefined;
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return seconds >= 0 && seconds <= longestWaitSeconds ? seconds : undefined;
}

/** The text of an answer that is the API's. Throws the problem that it is, or says what else it is. */
async function textOf(response: Response, name: string): Promise<string> {
  const type = response.headers.get("content-type")?.split(";", 1)[0] ?? "";
  // response.text() would take the mark off a file that begins with one.
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(await response.arrayBuffer());
  if (/^application\/(.+\+)?json$/.test(type)) {
    const value = parsed(text);
    if (response.ok && value !== undefined) return text;
    if (isProblem(value)) throw new CliError(value);
  }
  const what = `${name} answers ${response.status}${type === "" ? "" : ` with ${type}`}`;
  if (response.status >= 502 && response.status <= 504) {
    throw problem(
      "unreachable",
      `${what}: what stands before the server does not reach it. Try again later.`,
    );
  }
  const location = response.headers.get("location");
  throw problem(
    "not_an_api",
    location !== null
      ? `${name} sends on to ${location}; give the address of the server itself.`
      : `${what}, which no Task Master Pro server does; check its address.`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isProblem(value: unknown): value is ProblemBody {
  return (
    typeof value === "object" &&
    value !== null &&
    "code" in value &&
    typeof value.code === "string" &&
    "detail" in value &&
    typeof value.detail === "string"
  );
}

/** The connection was there and broke; nobody knows what the server made of the request. */
function isCut(error: unknown): boolean {
  return /^(ECONNRESET|EPIPE|UND_ERR_SOCKET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)$/.test(codeOf(error));
}

const reasons: Record<string, string> = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "the host's address cannot be looked up now",
  ECONNRESET: "the connection was cut",
  UND_ERR_SOCKET: "the connection was cut",
  EHOSTUNREACH: "there is no way to the host",
  ENETUNREACH: "there is no network",
  UND_ERR_CONNECT_TIMEOUT: "it does not answer",
};

function explain(error: unknown, name: string, repeatable: boolean, timeoutSeconds: number): unknown {
  if (!(error instanceof Error)) return error;
  const late = error.name === "TimeoutError";
  // Only what fetch itself throws says something of the network; anything else is a defect of this program.
  if (!late && !(error instanceof TypeError && error.cause !== undefined)) return error;
  const code = codeOf(error);
  const cause = error.cause instanceof Error ? error.cause.message : error.message;
  const reason = late ? `no answer within ${timeoutSeconds} seconds` : (reasons[code] ?? cause);
  // Without a key or a first connection, a repeat could change something twice or overwrite what came between.
  const doubt =
    !repeatable && (late || isCut(error)) ? " The change may have been made: look before you repeat it." : "";
  return problem("unreachable", `${name} cannot be reached: ${reason}.${doubt}`, error);
}

function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause ? String(cause.code) : "";
}

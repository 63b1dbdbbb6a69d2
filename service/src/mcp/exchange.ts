import type { AuthInfo } from "@modelcontextprotocol/sdk/server/auth/types.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError, type Caller, type Follower } from "../core/index.ts";
import type { Extra } from "./features.ts";
import type { McpOptions } from "./http.ts";
import { buildServer, type ServerOptions } from "./server.ts";
import { type Session, Sessions } from "./sessions.ts";
import { pump } from "./stream.ts";

/** What is said over the routes: the sessions, and their messages and answers. */
export interface Exchange {
  /** A message, in the session that it names or on its own. */
  post(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply>;
  /** What only a session has: a stream, and an end. */
  ofSession(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply>;
  /** Ends all sessions, once the calls that are under way are answered. */
  close(): Promise<void>;
}

export function openExchange(options: McpOptions): Exchange {
  const { core, config, log } = options;
  const serverOptions: Omit<ServerOptions, "state"> = {
    ...options,
    mode: config.mcp.mode,
    caller: ({ authInfo }: Extra) => authInfo?.extra?.follower as Follower,
  };
  const sessions = new Sessions({
    core,
    log,
    perMember: config.mcp.sessionsPerMember,
    graceMs: config.requestTimeoutSeconds * 1000,
  });
  return {
    async post(request, reply) {
      // Taken out of the protocol in 2025-06-18; one request with a thousand calls would pass the rate limit as one.
      if (Array.isArray(request.body))
        return reply.code(400).send(protocolError(-32600, "Send one message at a time."));
      const session = await sessionOf(request, sessions, serverOptions);
      if (session === "unknown") return sendUnknown(reply);
      return session === undefined
        ? answer(request, reply, serverOptions)
        : converse(request, reply, session, options);
    },
    async ofSession(request, reply) {
      const id = request.headers["mcp-session-id"];
      // Without a session there is nothing to listen to and nothing to end.
      if (typeof id !== "string")
        return reply.code(405).header("allow", "POST").send(protocolError(-32000, "Use POST here."));
      const session = sessions.find(id, callerOf(request));
      return session === undefined ? sendUnknown(reply) : converse(request, reply, session, options);
    },
    close: () => sessions.close(),
  };
}

/** The session that the request names or, when it initializes, a new one; undefined for a request on its own. */
async function sessionOf(
  request: FastifyRequest,
  sessions: Sessions,
  options: Omit<ServerOptions, "state">,
): Promise<Session | "unknown" | undefined> {
  const caller = callerOf(request);
  const id = request.headers["mcp-session-id"];
  if (typeof id === "string") return sessions.find(id, caller) ?? "unknown";
  if (!isInitializeRequest(request.body)) return undefined;
  const session = sessions.create(caller);
  if (session === undefined) return undefined;
  session.server = buildServer({ ...options, state: session.state });
  await session.server.connect(session.transport);
  return session;
}

/** The session ended, or another replica has it: the client is to initialize anew ("Session Management"). */
function sendUnknown(reply: FastifyReply): FastifyReply {
  return reply
    .code(404)
    .send(protocolError(-32001, "There is no such session here (any more); initialize again."));
}

/** One request of a session; what the server has to say to it may come as a stream. */
async function converse(
  request: FastifyRequest,
  reply: FastifyReply,
  session: Session,
  { streamMetrics }: Pick<McpOptions, "streamMetrics">,
): Promise<FastifyReply> {
  const resumed = request.headers["last-event-id"];
  if (request.method === "GET") {
    if (typeof resumed === "string" && resumed !== "" && !session.recent.holds(resumed)) {
      return reply
        .code(400)
        .send(protocolError(-32000, "What came after Last-Event-ID is not kept any more; read again."));
    }
    // A client that opens its stream again has lost the one before, whether or not the server has noticed.
    if (resumed === undefined) session.transport.closeStandaloneSSEStream();
  }
  const called = request.method === "POST" ? 1 : 0;
  session.open++;
  session.calls += called;
  try {
    const response = await session.transport.handleRequest(webRequest(request), {
      parsedBody: request.body,
      authInfo: authInfoOf(request),
    });
    // Ended by its client, or never begun because its first request was not good.
    if (request.method === "DELETE" || session.transport.sessionId === undefined) await session.end();
    if (!response.headers.get("content-type")?.startsWith("text/event-stream") || response.body === null) {
      return await sendWhole(reply, response);
    }
    reply.hijack();
    const headers = Object.fromEntries(response.headers);
    reply.raw.writeHead(response.status, { ...reply.getHeaders(), ...headers } as Record<string, string>);
    // The one that stays open; the answer to a call is one, too, and is a request like any other.
    const closed = request.method === "GET" ? streamMetrics?.opened("mcp") : undefined;
    await pump(response.body, reply.raw).finally(closed);
    return reply;
  } finally {
    session.open--;
    session.calls -= called;
    session.lastUsed = performance.now();
  }
}

/** One request on its own, answered whole. */
async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  options: Omit<ServerOptions, "state">,
): Promise<FastifyReply> {
  const server = buildServer({ ...options, state: null });
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  try {
    await server.connect(transport);
    const response = await transport.handleRequest(webRequest(request), {
      parsedBody: request.body,
      authInfo: authInfoOf(request),
    });
    return await sendWhole(reply, response);
  } finally {
    await server.close();
  }
}

async function sendWhole(reply: FastifyReply, response: Response): Promise<FastifyReply> {
  const text = await response.text();
  reply.code(response.status).headers(Object.fromEntries(response.headers));
  return reply.send(text === "" ? undefined : text);
}

function protocolError(code: number, message: string) {
  return { jsonrpc: "2.0", error: { code, message }, id: null };
}

/** The address plays no part; the transport reads the method and the headers, and is given the body. */
function webRequest(request: FastifyRequest): Request {
  const headers = new Headers();
  for (const name of ["accept", "content-type", "mcp-protocol-version", "mcp-session-id", "last-event-id"]) {
    const value = request.headers[name];
    if (typeof value === "string") headers.set(name, value);
  }
  return new Request("http://localhost", { method: request.method, headers });
}

/** The way by which the SDK hands on, with each message, who sent it. The token itself stays outside. */
function authInfoOf(request: FastifyRequest): AuthInfo {
  const follower: Follower = { ...callerOf(request), requestId: request.id };
  const { membershipId, scopes } = follower;
  return { token: "", clientId: membershipId, scopes: [...scopes], extra: { follower } };
}

function callerOf({ caller }: FastifyRequest & { caller?: Caller | null }): Caller {
  // A route that is registered outside of the authenticated part must not pass for one inside.
  if (caller === undefined || caller === null) throw new AppError("unauthenticated", "Send a token.");
  return caller;
}

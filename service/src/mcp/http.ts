import type { AuthInfo } from "@modelcontextprotocol/sdk/server/auth/types.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Config } from "../config.ts";
import { AppError, type Caller, type Core, type Follower } from "../core/index.ts";
import type { DefectEars } from "./errors.ts";
import type { Extra, Features } from "./features.ts";
import { buildServer, type ObserveCall, type ServerOptions } from "./server.ts";
import { type Session, Sessions } from "./sessions.ts";
import { pump } from "./stream.ts";

export interface McpOptions extends DefectEars {
  core: Core;
  config: Config;
  version: string;
  /** What is offered beside the product's own: the fixtures that the conformance suite asks for. */
  more?: Partial<Features>;
  observe?: ObserveCall | undefined;
  /** Who counts the streams by which the server speaks; what is returned is called once, when the stream is closed. */
  streamMetrics?: { opened(kind: "mcp"): () => void } | undefined;
}

/** What the HTTP server takes in: routes that anybody may ask, and routes behind its authentication and rate limit. */
export interface HttpEdge {
  addOpenRoutes(app: FastifyInstance): void;
  addRoutes(app: FastifyInstance): void;
}

export const endpoint = "/mcp";
const metadata = "/.well-known/oauth-protected-resource";

/**
 * Streamable HTTP (MCP 2025-11-25). A client that initializes gets a session, with streams by which the server speaks
 * as well; a request without one is answered whole, as JSON, by whichever replica gets it.
 */
export function buildMcpEdge(options: McpOptions): HttpEdge {
  const { config, core, log } = options;
  const serverOptions: Omit<ServerOptions, "state"> = {
    ...options,
    mode: config.mcp.mode,
    caller: ({ authInfo }: Extra) => authInfo?.extra?.follower as Follower,
  };
  const baseOf = (request: FastifyRequest) => config.publicUrl ?? `${request.protocol}://${request.host}`;

  return {
    addOpenRoutes(app) {
      // RFC 9728: where a client that has no token learns who gives them out.
      for (const url of [metadata, `${metadata}${endpoint}`]) {
        app.get(url, { schema: { hide: true } }, async (request, reply) =>
          reply.header("cache-control", "public, max-age=300").send({
            resource: `${baseOf(request)}${endpoint}`,
            resource_name: "Task Master Pro",
            bearer_methods_supported: ["header"],
            ...(config.oidc === null ? {} : { authorization_servers: [config.oidc.issuer] }),
          }),
        );
      }
    },

    addRoutes(app) {
      const sessions = new Sessions({
        core,
        log,
        perMember: config.mcp.sessionsPerMember,
        graceMs: config.requestTimeoutSeconds * 1000,
      });
      // Before the connections are closed: their streams would keep them, and with them the process.
      app.addHook("preClose", () => sessions.close());
      app.addHook("onSend", async (request, reply, payload) => {
        const wanted = reply.getHeader("www-authenticate");
        if (reply.statusCode === 401 && typeof wanted === "string") {
          const address = `${baseOf(request)}${metadata}${endpoint}`;
          reply.header("www-authenticate", `${wanted}, resource_metadata="${address}"`);
        }
        return payload;
      });
      app.addHook("onRequest", async (request) => refuseForeignOrigin(request, config));

      // A tool may ask the language model, and must not be cut off before that has answered.
      const waitSeconds = config.requestTimeoutSeconds + (config.languageModel?.timeoutSeconds ?? 0);
      const handlerTimeout = waitSeconds * 1000;
      app.post(endpoint, { handlerTimeout, schema: { hide: true, body: {} } }, async (request, reply) => {
        // Taken out of the protocol in 2025-06-18; one request with a thousand calls would pass the rate limit as one.
        if (Array.isArray(request.body))
          return reply.code(400).send(protocolError(-32600, "Send one message at a time."));
        const session = await sessionOf(request, sessions, serverOptions);
        if (session === "unknown") return sendUnknown(reply);
        return session === undefined
          ? answer(request, reply, serverOptions)
          : converse(request, reply, session, options);
      });
      for (const method of ["GET", "DELETE"] as const) {
        app.route({
          method,
          url: endpoint,
          exposeHeadRoute: false,
          schema: { hide: true },
          handler: async (request, reply) => {
            const id = request.headers["mcp-session-id"];
            // Without a session there is nothing to listen to and nothing to end.
            if (typeof id !== "string")
              return reply.code(405).header("allow", "POST").send(protocolError(-32000, "Use POST here."));
            const session = sessions.find(id, callerOf(request));
            return session === undefined ? sendUnknown(reply) : converse(request, reply, session, options);
          },
        });
      }
    },
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
  return new Request(`http://localhost${endpoint}`, { method: request.method, headers });
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

/** A page of another site in a person's browser must not reach a server on that person's machine (DNS rebinding). */
function refuseForeignOrigin(request: FastifyRequest, config: Config): void {
  const { origin } = request.headers;
  if (origin === undefined || isOwnLoopback(origin, request)) return;
  const own = config.publicUrl === null ? [] : [new URL(config.publicUrl).origin];
  if (![...config.corsOrigins, ...own].includes(origin)) {
    throw new AppError(
      "forbidden",
      `Pages of ${origin.slice(0, 200)} may not call this server; an operator allows them with TASKMASTER_CORS_ORIGINS.`,
    );
  }
}

/** A page that this server itself gave out under a name that only this machine has: no other site's name is one. */
function isOwnLoopback(origin: string, request: FastifyRequest): boolean {
  return (
    /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(origin) &&
    origin.endsWith(`//${request.headers.host}`)
  );
}

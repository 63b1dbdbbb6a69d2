import type { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Config } from "../config.ts";
import { AppError, type Caller, type Context, type Core } from "../core/index.ts";
import type { Logger } from "../log.ts";
import { buildServer } from "./server.ts";

export interface McpOptions {
  core: Core;
  config: Config;
  log: Logger;
  version: string;
}

/** What the HTTP server takes in: routes that anybody may ask, and routes behind its authentication and rate limit. */
export interface HttpEdge {
  addOpenRoutes(app: FastifyInstance): void;
  addRoutes(app: FastifyInstance): void;
}

export const endpoint = "/mcp";
const metadata = "/.well-known/oauth-protected-resource";

/**
 * Streamable HTTP (MCP 2025-11-25) without sessions: every POST is answered whole, as JSON, by whichever replica gets it.
 * GET, which would open a stream, and DELETE, which would end a session, are answered 405 as for any address that has
 * no such method.
 */
export function buildMcpEdge(options: McpOptions): HttpEdge {
  const { config } = options;
  const serverFor = (request: FastifyRequest): Server => {
    const context = contextOf(request);
    return buildServer({ ...options, mode: config.mcp.mode, caller: () => context });
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
      app.addHook("onSend", async (request, reply, payload) => {
        const wanted = reply.getHeader("www-authenticate");
        if (reply.statusCode === 401 && typeof wanted === "string") {
          const address = `${baseOf(request)}${metadata}${endpoint}`;
          reply.header("www-authenticate", `${wanted}, resource_metadata="${address}"`);
        }
        return payload;
      });
      app.addHook("onRequest", async (request) => refuseForeignOrigin(request, config));
      app.post(endpoint, { schema: { hide: true, body: {} } }, async (request, reply) =>
        answer(request, reply, serverFor(request)),
      );
    },
  };
}

async function answer(request: FastifyRequest, reply: FastifyReply, server: Server): Promise<FastifyReply> {
  // Taken out of the protocol in 2025-06-18; one request with a thousand calls would pass the rate limit as one.
  if (Array.isArray(request.body))
    return reply.code(400).send(protocolError(-32600, "Send one message at a time."));
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  try {
    await server.connect(transport);
    const response = await transport.handleRequest(
      // The address plays no part; the transport reads the method and the headers, and is given the body.
      new Request(`http://localhost${endpoint}`, { method: "POST", headers: headersOf(request) }),
      { parsedBody: request.body },
    );
    const text = await response.text();
    reply.code(response.status).headers(Object.fromEntries(response.headers));
    return reply.send(text === "" ? undefined : text);
  } finally {
    await server.close();
  }
}

function protocolError(code: number, message: string) {
  return { jsonrpc: "2.0", error: { code, message }, id: null };
}

function headersOf(request: FastifyRequest): Headers {
  const headers = new Headers();
  for (const name of ["accept", "content-type", "mcp-protocol-version"]) {
    const value = request.headers[name];
    if (typeof value === "string") headers.set(name, value);
  }
  return headers;
}

function contextOf(request: FastifyRequest & { caller?: Caller | null }): Context {
  const { caller } = request;
  // A route that is registered outside of the authenticated part must not pass for one inside.
  if (caller === undefined || caller === null) throw new AppError("unauthenticated", "Send a token.");
  const { organizationId, membershipId, actor, role, scopes } = caller;
  return { organizationId, membershipId, actor, role, scopes, requestId: request.id };
}

/** A page of another site in a person's browser must not reach a server on that person's machine (DNS rebinding). */
function refuseForeignOrigin(request: FastifyRequest, config: Config): void {
  const { origin } = request.headers;
  if (origin === undefined) return;
  const own = config.publicUrl === null ? [] : [new URL(config.publicUrl).origin];
  if (![...config.corsOrigins, ...own].includes(origin)) {
    throw new AppError(
      "forbidden",
      `Pages of ${origin.slice(0, 200)} may not call this server; an operator allows them with TASKMASTER_CORS_ORIGINS.`,
    );
  }
}

import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Config } from "../config.ts";
import { AppError, type Core } from "../core/index.ts";
import type { DefectEars } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Features } from "./features.ts";
import type { ObserveCall } from "./server.ts";

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

const endpoint = "/mcp";
const metadata = "/.well-known/oauth-protected-resource";

/**
 * Streamable HTTP (MCP 2025-11-25). A client that initializes gets a session, with streams by which the server speaks
 * as well; a request without one is answered whole, as JSON, by whichever replica gets it.
 */
export function buildMcpEdge(options: McpOptions): HttpEdge {
  const { config } = options;
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
      let opened: Promise<Exchange> | undefined;
      // The protocol's library and the tools' schemas are a tenth of a start and of its memory: they are for whoever speaks MCP first.
      const exchange = () => {
        opened ??= import("./exchange.ts").then(({ openExchange }) => openExchange(options));
        return opened;
      };
      // Before the connections are closed: their streams would keep them, and with them the process.
      app.addHook("preClose", async () => await (await opened)?.close());
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
      app.post(endpoint, { handlerTimeout, schema: { hide: true, body: {} } }, async (request, reply) =>
        (await exchange()).post(request, reply),
      );
      for (const method of ["GET", "DELETE"] as const) {
        app.route({
          method,
          url: endpoint,
          exposeHeadRoute: false,
          schema: { hide: true },
          handler: async (request, reply) => (await exchange()).ofSession(request, reply),
        });
      }
    },
  };
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

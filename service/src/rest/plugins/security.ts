import cors from "@fastify/cors";
import helmet from "@fastify/helmet";
import type { Config } from "../../config.ts";
import type { App } from "../http.ts";

/** Answers are data, never pages; so nothing in them may load or be framed. The reference page has its own rules. */
export const noContentPolicy = {
  useDefaults: false,
  directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
};

export async function addSecurity(app: App, config: Config): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: noContentPolicy,
    frameguard: { action: "deny" },
    referrerPolicy: { policy: "no-referrer" },
  });
  if (config.corsOrigins.length === 0) return;
  await app.register(cors, {
    origin: [...config.corsOrigins],
    methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    allowedHeaders: [
      "Authorization",
      "Content-Type",
      "Idempotency-Key",
      "If-Match",
      "If-None-Match",
      "Claim-Fence",
      "Last-Event-ID",
      "Taskmaster-Organization",
      "X-Request-Id",
      "MCP-Protocol-Version",
      "Mcp-Session-Id",
    ],
    exposedHeaders: [
      "ETag",
      "Link",
      "Location",
      "RateLimit-Limit",
      "RateLimit-Remaining",
      "RateLimit-Reset",
      "Retry-After",
      "X-Request-Id",
      "Content-Disposition",
      "Mcp-Session-Id",
    ],
    maxAge: 600,
    strictPreflight: false,
  });
}

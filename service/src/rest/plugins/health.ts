import { Type } from "typebox";
import { type Core, type StorageCheck, strict } from "../../core/index.ts";
import type { App } from "../http.ts";
import { operation } from "../schemas.ts";

/** What of the process's own state decides whether it serves; whoever starts and stops it sets the members. */
export interface Lifecycle {
  /** It is on its way out. */
  draining: boolean;
  /** Why it cannot serve the API yet, with the way out; null once it can. */
  obstacle: string | null;
}

const Check = Type.Object({ ok: Type.Boolean(), detail: Type.String() }, strict);
const Alive = Type.Object({ status: Type.Literal("ok") }, { ...strict, title: "Alive" });
const Readiness = Type.Object(
  {
    status: Type.Enum(["ok", "unavailable"], { type: "string" }),
    checks: Type.Object({ lifecycle: Check, database: Check, migrations: Check }, strict),
  },
  { ...strict, title: "Readiness" },
);

/** The platform asks these every few seconds: they are answered always, and nobody wants to read of it. */
export const probes: ReadonlySet<string> = new Set(["/livez", "/readyz", "/startupz"]);

/** For the platform that runs the server; open to anybody, so they say nothing that is secret. */
export function addHealth(app: App, core: Core, lifecycle: Lifecycle): void {
  const common = { security: [], response: { 200: Readiness, 503: Readiness } };

  // It must not ask the database: a restart of this process would not mend that.
  app.get(
    "/livez",
    {
      schema: {
        ...operation("livez", "health", "Whether the process runs"),
        security: [],
        response: { 200: Alive },
      },
    },
    async () => ({ status: "ok" as const }),
  );

  app.get(
    "/readyz",
    { schema: { ...operation("readyz", "health", "Whether to send requests here"), ...common } },
    async (_request, reply) => {
      const answer = await readiness();
      return reply.code(answer.status === "ok" ? 200 : 503).send(answer);
    },
  );

  app.get(
    "/startupz",
    { schema: { ...operation("startupz", "health", "Whether the start is over"), ...common } },
    async (_request, reply) => {
      const answer = await readiness();
      return reply.code(answer.status === "ok" ? 200 : 503).send(answer);
    },
  );

  async function readiness() {
    const storage = await check();
    const checks = {
      lifecycle: {
        ok: !lifecycle.draining,
        detail: lifecycle.draining ? "the server is stopping" : "serving",
      },
      database: storage.database,
      migrations: storage.migrations,
    };
    const ok = Object.values(checks).every((one) => one.ok);
    return { status: ok ? ("ok" as const) : ("unavailable" as const), checks };
  }

  async function check(): Promise<StorageCheck> {
    try {
      return await core.check();
    } catch (error) {
      app.log.error({ err: error }, "the readiness check failed");
      app.tellDefect(error, { part: "rest", what: "readiness" });
      return {
        database: { ok: false, detail: "the check failed; see the log" },
        migrations: { ok: false, detail: "unknown without the database" },
      };
    }
  }
}

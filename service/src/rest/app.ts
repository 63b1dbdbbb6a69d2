import { randomUUID } from "node:crypto";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from "fastify";
import type { Config, SessionKey } from "../config.ts";
import { AppError, type Caller, type Core } from "../core/index.ts";
import type { TellDefect } from "../defects.ts";
import type { Logger } from "../log.ts";
import { type App, type Edge, prefix } from "./http.ts";
import { addAccessLog } from "./plugins/access-log.ts";
import { addBodies, readQuery } from "./plugins/body.ts";
import { addErrors, answerClientError, sendProblem } from "./plugins/errors.ts";
import { addHealth, type Lifecycle } from "./plugins/health.ts";
import { addRateLimit, FloodGuard } from "./plugins/limits.ts";
import { addMetrics, type RequestObserver } from "./plugins/metrics.ts";
import { addOverload } from "./plugins/overload.ts";
import { addSecurity } from "./plugins/security.ts";
import { addTracing, type RequestTracer } from "./plugins/tracing.ts";
import { agentRoutes } from "./routes/agents.ts";
import { claimRoutes } from "./routes/claims.ts";
import { commentRoutes } from "./routes/comments.ts";
import { deliveryRoutes } from "./routes/deliveries.ts";
import { dependencyRoutes } from "./routes/dependencies.ts";
import { streamRoutes } from "./routes/event-stream.ts";
import { eventRoutes } from "./routes/events.ts";
import { flagRoutes } from "./routes/flags.ts";
import { githubRoutes } from "./routes/github.ts";
import { graphRoutes } from "./routes/graphs.ts";
import { importExportRoutes } from "./routes/import-export.ts";
import { linkRoutes } from "./routes/links.ts";
import { membershipRoutes } from "./routes/memberships.ts";
import { organizationRoutes } from "./routes/organizations.ts";
import { planningRoutes } from "./routes/planning.ts";
import { projectRoutes } from "./routes/projects.ts";
import { receiverRoutes } from "./routes/receivers.ts";
import { sessionRoutes } from "./routes/sessions.ts";
import { tagRoutes } from "./routes/tags.ts";
import { taskRoutes } from "./routes/tasks.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { webhookRoutes } from "./routes/webhooks.ts";
import { buildSerializerCompiler } from "./serialization.ts";
import { addStreams, type StreamObserver } from "./streams.ts";
import { buildValidatorCompiler, openRecords } from "./validation.ts";

/** Another edge on the same server: behind the same credentials and limits, but with addresses of its own. */
export interface GuestEdge {
  addOpenRoutes(app: FastifyInstance): void;
  addRoutes(app: FastifyInstance): void;
}

export interface AppOptions {
  core: Core;
  config: Config;
  log: Logger;
  /** The configuration's, or the one kept beside the embedded database. */
  sessionKey: SessionKey;
  lifecycle: Lifecycle;
  /** The program's version, for the API's description. */
  version: string;
  guest?: GuestEdge;
  metrics?: RequestObserver | undefined;
  tracing?: RequestTracer | undefined;
  tellDefect?: TellDefect | undefined;
  streamMetrics?: StreamObserver | undefined;
  /** Whom every request is by, in an app that never listens: it asks for no credential, has no limits, describes nothing. */
  only?: Caller;
}

/** Builds the whole HTTP edge. It never listens: servers do that, and tests inject. */
export async function buildApp(options: AppOptions): Promise<App> {
  const { core, config, log, lifecycle, only } = options;
  const app: App = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: "requestId" }),
    genReqId: (request) => requestId(request.headers["x-request-id"]),
    // A task's name holds a tag's, whose 200 characters may each take twelve to write.
    routerOptions: { maxParamLength: 3000, querystringParser: readQuery },
    bodyLimit: config.bodyLimitBytes,
    requestTimeout: config.requestTimeoutSeconds * 1000,
    handlerTimeout: config.requestTimeoutSeconds * 1000,
    // Longer than both, and than a stream is ever silent, so that an answer under way is not cut off.
    connectionTimeout:
      (Math.max(2 * config.requestTimeoutSeconds, config.streams.heartbeatSeconds, modelWaitSeconds(config)) +
        10) *
      1000,
    forceCloseConnections: "idle",
    // What comes in on open connections while they end is still served: its sender could not know.
    return503OnClosing: false,
    trustProxy: typeof config.trustProxy === "boolean" ? config.trustProxy : [...config.trustProxy],
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => {
      sendProblem(error, request, reply);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.setValidatorCompiler(buildValidatorCompiler());
  app.setSerializerCompiler(buildSerializerCompiler());
  app.addHook("onRoute", (route) => {
    if (route.schema?.response !== undefined) route.schema.response = openRecords(route.schema.response);
  });
  app.decorateRequest("caller", null);

  addMetrics(app, options.metrics);
  addOverload(app, core);
  // Before the others, so that what they do and log is a part of it.
  addTracing(app, options.tracing);
  addAccessLog(app);
  addErrors(app, options.tellDefect);
  addBodies(app);
  // When it is sent and not when it comes in: the connection of a request that is under way at the stop must end, too.
  app.addHook("onSend", (_request, reply, _payload, done) => {
    if (lifecycle.draining) reply.header("connection", "close");
    done();
  });
  await addSecurity(app, config);
  // Before the routes, which it collects. Loaded here, because the half of the program's start that it takes is for
  // those who listen only.
  const reference = only === undefined ? await describe(app, config, options.version) : async () => {};
  addHealth(app, core, lifecycle);

  const guard = new FloodGuard();
  const limit = only === undefined ? await addRateLimit(app, config, log) : async () => {};
  // On a schema that it does not know, a request would fail in the middle, or write what no release understands.
  const waitForSchema = async () => {
    if (lifecycle.obstacle !== null) throw new AppError("unavailable", lifecycle.obstacle);
  };
  const guardRoutes = async (scope: App) => {
    scope.addHook("onRequest", waitForSchema);
    if (only !== undefined) {
      scope.addHook("onRequest", async (request) => {
        request.caller = only;
      });
      return;
    }
    const { addAuthentication } = await import("./plugins/auth.ts");
    await addAuthentication(scope, {
      core,
      sessionKey: options.sessionKey,
      sessionTtlSeconds: config.session.ttlSeconds,
      oidc: config.oidc,
      guard,
    });
    scope.addHook("onRequest", limit);
  };
  await app.register(
    async (api: App) => {
      await guardRoutes(api);
      const edge: Edge = { core, base: `${config.publicUrl ?? ""}${prefix}` };
      await api.register(organizationRoutes, edge);
      if (only === undefined) await api.register(sessionRoutes, edge);
      await api.register(membershipRoutes, edge);
      await api.register(agentRoutes, edge);
      await api.register(tokenRoutes, edge);
      await api.register(projectRoutes, edge);
      await api.register(tagRoutes, edge);
      await api.register(taskRoutes, edge);
      await api.register(dependencyRoutes, edge);
      await api.register(planningRoutes, { ...edge, waitSeconds: modelWaitSeconds(config) });
      await api.register(graphRoutes, edge);
      await api.register(claimRoutes, edge);
      await api.register(commentRoutes, edge);
      await api.register(linkRoutes, edge);
      await api.register(receiverRoutes, edge);
      await api.register(importExportRoutes, { ...edge, limitBytes: config.importLimitBytes });
      await api.register(eventRoutes, edge);
      await api.register(streamRoutes, { ...edge, streams: addStreams(app, config, options.streamMetrics) });
      await api.register(flagRoutes, edge);
      await api.register(webhookRoutes, edge);
      await api.register(deliveryRoutes, edge);
    },
    { prefix },
  );
  // Without a token: what comes in there is signed.
  await app.register(
    async (open: App) => {
      open.addHook("onRequest", waitForSchema);
      open.addHook("onRequest", limit);
      await open.register(githubRoutes, { core });
    },
    { prefix },
  );
  const { guest } = options;
  if (guest !== undefined) {
    guest.addOpenRoutes(app as unknown as FastifyInstance);
    await app.register(async (scope: App) => {
      await guardRoutes(scope);
      guest.addRoutes(scope as unknown as FastifyInstance);
    });
  }
  await reference();
  return app;
}

/** Returns what serves the description, to be called when every route is there. */
async function describe(app: App, config: Config, version: string): Promise<() => Promise<void>> {
  const { addDescription, addReference } = await import("./plugins/docs.ts");
  await addDescription(app, config, version);
  return () => addReference(app);
}

/** The longest that a request takes which asks the language model as well. */
function modelWaitSeconds({ requestTimeoutSeconds, languageModel }: Config): number {
  return requestTimeoutSeconds + (languageModel?.timeoutSeconds ?? 0);
}

/** A client's own id where it is safe to log and to send back, else a new one. */
function requestId(given: string | string[] | undefined): string {
  return typeof given === "string" && /^[A-Za-z0-9._:/+=@-]{1,128}$/.test(given) ? given : randomUUID();
}

/** The import law of docs: data flows edge -> core -> storage, and each library has one home. */
const src = "^service/src/";
const pure = "^node_modules/(@noble/hashes|typebox|ipaddr\\.js|uuid|jsonc-parser|fractional-indexing)/";

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      comment: "Two modules that need each other are one module, or lack a third.",
      severity: "error",
      from: { path: "^service/" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "core-is-pure",
      comment: "Core knows no HTTP, no SQL, no Node: itself and libraries that only compute.",
      severity: "error",
      from: { path: `${src}core/` },
      to: { pathNot: [`${src}core/`, pure] },
    },
    {
      name: "storage-sees-core-only",
      severity: "error",
      from: { path: `${src}storage/` },
      to: { path: src, pathNot: [`${src}(core|storage|migrate)/`, `${src}is-alive\\.ts$`] },
    },
    {
      name: "language-model-sees-core's-index-only",
      severity: "error",
      from: { path: `${src}language-model/` },
      to: { path: src, pathNot: [`${src}language-model/`, `${src}core/index\\.ts$`] },
    },
    {
      name: "edges-see-core's-index-only",
      comment: "An edge that reaches into core's parts, or into storage or another edge, misses rules.",
      severity: "error",
      from: { path: `${src}(rest|mcp|cli)/` },
      to: {
        path: src,
        pathNot: [
          `${src}$1/`,
          `${src}core/index\\.ts$`,
          `${src}(config|client-config|defects|log)\\.ts$`,
          `${src}smoke/`,
        ],
      },
    },
    {
      name: "smoke-sees-a-server-only",
      comment: "It is a user's journey, over the network, and so sees nothing of the program.",
      severity: "error",
      from: { path: `${src}smoke/` },
      to: { path: src, pathNot: `${src}smoke/` },
    },
    {
      name: "sending-sees-core's-index-only",
      comment: "What is sent, to whom and how often is core's to decide; here are sockets and timers.",
      severity: "error",
      from: { path: `${src}webhooks/` },
      to: { path: src, pathNot: [`${src}webhooks/`, `${src}core/index\\.ts$`, `${src}(defects|log)\\.ts$`] },
    },
    {
      name: "metrics-see-core-only",
      comment: "They watch the use cases and the storage from outside, and neither knows of them.",
      severity: "error",
      from: { path: `${src}metrics/` },
      to: { path: src, pathNot: [`${src}(metrics|core)/`, `${src}log\\.ts$`] },
    },
    {
      name: "metrics-only-on-demand",
      comment: "A server without metrics carries none of their library; a static import would load it.",
      severity: "error",
      from: { path: src, pathNot: `${src}metrics/` },
      to: { path: `${src}metrics/`, dynamic: false, dependencyTypesNot: ["type-only"] },
    },
    {
      name: "prom-client-in-metrics-only",
      severity: "error",
      from: { path: src, pathNot: [`${src}metrics/`, `${src}backup/metrics\\.ts$`] },
      to: { path: "^node_modules/prom-client/" },
    },
    {
      name: "telemetry-sees-core-only",
      comment: "Traces, too, are of what the use cases and the storage do, and neither knows of them.",
      severity: "error",
      from: { path: `${src}telemetry/` },
      to: { path: src, pathNot: [`${src}(telemetry|core)/`, `${src}(config|log)\\.ts$`] },
    },
    {
      name: "telemetry-only-on-demand",
      comment: "A server without traces carries nothing of OpenTelemetry; a static import would load it.",
      severity: "error",
      from: { path: src, pathNot: `${src}telemetry/` },
      to: { path: `${src}telemetry/`, dynamic: false, dependencyTypesNot: ["type-only"] },
    },
    {
      name: "opentelemetry-in-telemetry-only",
      severity: "error",
      from: { path: src, pathNot: `${src}(telemetry|error-reporting)/` },
      to: { path: "^node_modules/@opentelemetry/" },
    },
    {
      name: "sentry-in-error-reporting-only",
      severity: "error",
      from: { path: src, pathNot: `${src}error-reporting/` },
      to: { path: "^node_modules/@sentry/" },
    },
    {
      name: "error-reporting-sees-no-request",
      comment:
        "What leaves for another system is made of the program's own words: here is nothing else to make it of.",
      severity: "error",
      from: { path: `${src}error-reporting/` },
      to: { path: src, pathNot: [`${src}error-reporting/`, `${src}(config|defects|log)\\.ts$`] },
    },
    {
      name: "error-reporting-only-on-demand",
      comment: "A server that tells nobody carries none of the library; a static import would load it.",
      severity: "error",
      from: { path: src, pathNot: `${src}error-reporting/` },
      to: { path: `${src}error-reporting/`, dynamic: false, dependencyTypesNot: ["type-only"] },
    },
    {
      name: "prisma-in-postgres-only",
      severity: "error",
      from: { path: src, pathNot: [`${src}storage/postgres/`, `${src}migrate/`] },
      to: { path: "^node_modules/(@prisma|prisma)/" },
    },
    {
      name: "sql-under-the-core-only",
      comment: "The storage adapter, and the two programs that work on the database itself.",
      severity: "error",
      from: { path: src, pathNot: [`${src}(storage/postgres|migrate|backup)/`] },
      to: { path: "^node_modules/(pg|pg-copy-streams|libpg-query)/" },
    },
    {
      name: "backup-sees-migrate-and-errors-only",
      comment: "A backup is of the database and not of what the server makes of it.",
      severity: "error",
      from: { path: `${src}backup/` },
      to: { path: src, pathNot: [`${src}(backup|migrate)/`, `${src}(core/errors|is-alive)\\.ts$`] },
    },
    {
      name: "fastify-in-rest-only",
      severity: "error",
      from: { path: src, pathNot: [`${src}rest/`, `${src}mcp/(http|exchange)`] },
      to: { path: "^node_modules/(fastify|@fastify)/" },
    },
    {
      name: "mcp-sdk-in-mcp-only",
      severity: "error",
      from: { path: src, pathNot: `${src}mcp/` },
      to: { path: "^node_modules/@modelcontextprotocol/" },
    },
    {
      name: "feature-flags-in-flags-only",
      severity: "error",
      from: { path: src, pathNot: `${src}flags/` },
      to: { path: "^node_modules/(@openfeature|@grpc)/" },
    },
    {
      name: "flags-see-core-only",
      severity: "error",
      from: { path: `${src}flags/` },
      to: { path: src, pathNot: `${src}(flags/|core/|(config|log)\\.ts$)` },
    },
    {
      name: "only-the-root-sees-everything",
      comment: "compose.ts and bin/ wire the parts; nothing else does.",
      severity: "error",
      from: { path: src, pathNot: [`${src}(bin/|compose\\.ts)`] },
      to: { path: `${src}(bin/|compose\\.ts)` },
    },
    {
      name: "no-dev-dependencies",
      severity: "error",
      from: { path: src },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "resolvable",
      severity: "error",
      from: {},
      // k6 brings its own modules.
      to: { couldNotResolve: true, pathNot: "^k6(/|$)" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    parser: "swc",
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
    },
  },
};

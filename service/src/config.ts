import { createPrivateKey, createPublicKey } from "node:crypto";
import { type Static, type TProperties, type TSchema, Type } from "typebox";
import { Compile } from "typebox/compile";
import { type FlagName, flagNames } from "./core/flags/schema.ts";
import { isNetwork } from "./core/webhooks/addresses.ts";

/** Signs and checks the sessions that the server itself gives out (RFC 7515). */
export type SessionKey =
  | { algorithm: "HS256"; secret: string }
  | { algorithm: "EdDSA"; privateKey: string; publicKey: string };

/** Asymmetric only: a symmetric algorithm would let whoever holds the issuer's public key sign. */
export const oidcAlgorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;
export type OidcAlgorithm = (typeof oidcAlgorithms)[number];

export interface OidcConfig {
  issuer: string;
  audience: string;
  jwksUrl: string;
  algorithms: readonly OidcAlgorithm[];
}

export interface BackupConfig {
  target:
    | { kind: "folder"; directory: string }
    | { kind: "s3"; bucket: string; prefix: string; endpoint: string | null };
  /** Whom backups are encrypted for (age1…); none writes them in the clear. */
  recipients: readonly string[];
  /** The file with the keys that open them; null when there is none. */
  identityFile: string | null;
  /** Null is the system's temporary folder. */
  scratchDirectory: string | null;
  /** The server that drills restore into; null is the database's own. */
  drillUrl: string | null;
}

/** Where feature flags come from, first to last; what none of them says has its default. */
export interface FlagConfig {
  settings: readonly { flag: FlagName; on: boolean }[];
  /** Definitions in flagd's form; null when there is none. */
  file: string | null;
  /** The sync service of a flagd. */
  flagd: { host: string; port: number } | null;
}

/** Which tools the MCP edge lists. */
export const mcpModes = ["core", "standard", "all"] as const;

export interface McpConfig {
  mode: (typeof mcpModes)[number];
  /** The most sessions of one member in one process; 0 answers every request on its own. */
  sessionsPerMember: number;
  /** Whom the MCP server on standard input and output acts as; null is the owner of the first organization. */
  token: string | null;
}

/** Where the language model is that plans; a server of the OpenAI protocol. */
export interface LanguageModelConfig {
  /** Without a slash at the end. */
  baseUrl: string;
  model: string;
  apiKey: string | null;
  /** The longest that one request waits for it in all. */
  timeoutSeconds: number;
  maxTokens: number;
}

export interface WebhookConfig {
  allowHttp: boolean;
  /** Networks (CIDR) that are not public and may be sent to. */
  allowedNetworks: readonly string[];
  /** Attempts at the same time; 0 sends nothing from this process. */
  concurrency: number;
  retentionDays: number;
}

/** As in the specification's OTEL_TRACES_SAMPLER; one that is parent-based does as the caller's traceparent says, if there is one. */
export const samplers = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

/** Where traces are sent (OTLP over HTTP), which of them, and as whose. */
export interface TracingConfig {
  /** Of the signal itself, such as http://127.0.0.1:4318/v1/traces. */
  url: string;
  headers: Readonly<Record<string, string>>;
  serviceName: string;
  resourceAttributes: Readonly<Record<string, string>>;
  sampler: (typeof samplers)[number];
  /** From 0 to 1; for the samplers that keep a part. */
  ratio: number;
}

/** The Sentry, or what speaks its protocol, that is told of defects. */
export interface SentryConfig {
  dsn: string;
  environment: string;
}

/** Everything that can be set from outside, read once at the start and never changed. Times are in seconds. */
export interface Config {
  database:
    | { kind: "postgres"; url: string; poolSize: number; statementTimeoutSeconds: number }
    | { kind: "embedded"; directory: string; poolSize: number; statementTimeoutSeconds: number }
    /** A project's folder, with its .taskmaster/tasks/tasks.json. */
    | { kind: "file"; directory: string };
  host: string;
  port: number;
  /** Null serves no metrics; 0 takes a free one. */
  metricsPort: number | null;
  logLevel: LogLevel;
  /** Where clients reach the server, without a slash at the end; null when links are relative. */
  publicUrl: string | null;
  session: {
    /** Null only with the embedded database and a project's folder, which keep a generated secret beside their files. */
    key: SessionKey | null;
    ttlSeconds: number;
  };
  oidc: OidcConfig | null;
  corsOrigins: readonly string[];
  rateLimit: { max: number; windowSeconds: number };
  redisUrl: string | null;
  bodyLimitBytes: number;
  importLimitBytes: number;
  requestTimeoutSeconds: number;
  shutdownDrainSeconds: number;
  streams: {
    heartbeatSeconds: number;
    /** The most open ones of the process, and of one token. */
    max: number;
    maxPerToken: number;
  };
  /** Whom to believe X-Forwarded-For: nobody, everybody, or these addresses and networks. */
  trustProxy: boolean | readonly string[];
  backup: BackupConfig;
  mcp: McpConfig;
  /** Null when there is none, and what needs one is refused. */
  languageModel: LanguageModelConfig | null;
  flags: FlagConfig;
  webhooks: WebhookConfig;
  /** Null when nothing is traced. */
  tracing: TracingConfig | null;
  /** Null tells nobody. */
  sentry: SentryConfig | null;
  /** What of the above no log may hold: the secret settings, and the credentials inside of URLs. */
  secrets: readonly string[];
  /** What was given, for describeConfig. */
  given: Readonly<Record<string, string>>;
}

const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

type Hints = {
  description: string;
  /** What a value looks like, for the message about one that does not. */
  form?: string;
  /** Never shown. */
  secret?: boolean;
  /** Said in place of a default that is worked out. */
  absent?: string;
};
const text = (hints: Hints & { pattern?: string; default?: string; minLength?: number }) =>
  Type.String(hints);
const count = (hints: Hints & { minimum: number; maximum: number; default?: number }) => Type.Integer(hints);
const fraction = (hints: Hints & { default: number }) => Type.Number({ minimum: 0, maximum: 1, ...hints });
const list = <T extends TSchema>(item: T, hints: Hints & { default?: string[] }) =>
  Type.Array(item, { minItems: 1, ...hints });

/** A list of W3C Baggage: no value has a comma, a semicolon or a space as it is. */
const pairs = "^\\s*[^\\s=,;]+\\s*=\\s*[^\\s,;]*\\s*(,\\s*[^\\s=,;]+\\s*=\\s*[^\\s,;]*\\s*)*$";

const properties = {
  DATABASE_URL: text({
    description:
      "The PostgreSQL database, or file:PATH for the tasks.json of a project's folder; without it the server starts a database of its own.",
    form: "a URL that starts with postgres:// or postgresql://, or file: and the path of a project's folder",
    pattern: "^(postgres(ql)?://|file:(?!//[^/])).+",
    absent: "embedded database",
  }),
  TASKMASTER_DATA_DIRECTORY: text({
    description: "Where the embedded database keeps its files.",
    minLength: 1,
    default: "./data",
  }),
  TASKMASTER_DATABASE_POOL_SIZE: count({
    description: "The most connections to the database of one process.",
    minimum: 1,
    maximum: 1000,
    default: 10,
  }),
  TASKMASTER_STATEMENT_TIMEOUT_SECONDS: count({
    description: "The longest that one database statement may take.",
    minimum: 1,
    maximum: 3600,
    default: 15,
  }),
  HOST: text({
    description: "The address to listen on; this machine only by default, 0.0.0.0 or :: for every interface.",
    minLength: 1,
    default: "127.0.0.1",
  }),
  PORT: count({
    description: "The port to listen on; 0 takes a free one.",
    minimum: 0,
    maximum: 65_535,
    default: 3000,
  }),
  TASKMASTER_METRICS_PORT: count({
    description: "The port that serves /metrics to Prometheus, on the same address; 0 takes a free one.",
    minimum: 0,
    maximum: 65_535,
    absent: "no metrics",
  }),
  LOG_LEVEL: Type.Enum([...logLevels], {
    type: "string",
    description: "The least severe log lines to write.",
    default: "info",
  }),
  TASKMASTER_PUBLIC_URL: text({
    description: "Where clients reach the server; used in links.",
    form: "a URL that starts with http:// or https://, without a query",
    pattern: "^https?://[^\\s?#]+$",
    absent: "relative links",
  }),
  TASKMASTER_SESSION_SECRET: text({
    description: "Signs sessions with HS256; make one with: openssl rand -base64 48",
    form: "at least 32 bytes of text",
    secret: true,
    absent: "generated and kept beside the data, with the embedded database or a project's folder",
  }),
  TASKMASTER_SESSION_PRIVATE_KEY: text({
    description: "Signs sessions with EdDSA instead; make one with: openssl genpkey -algorithm ed25519",
    form: "an Ed25519 private key in PEM form",
    secret: true,
  }),
  TASKMASTER_SESSION_TTL_SECONDS: count({
    description: "How long a session is good.",
    minimum: 60,
    maximum: 86_400,
    default: 3600,
  }),
  TASKMASTER_OIDC_ISSUER: text({
    description: "The OpenID Connect issuer whose tokens are accepted, exactly as in their iss.",
    form: "a URL that starts with http:// or https://",
    pattern: "^https?://\\S+$",
  }),
  TASKMASTER_OIDC_AUDIENCE: text({ description: "The aud that those tokens must have.", minLength: 1 }),
  TASKMASTER_OIDC_JWKS_URL: text({
    description: "Where the issuer publishes its keys.",
    form: "a URL that starts with http:// or https://",
    pattern: "^https?://\\S+$",
  }),
  TASKMASTER_OIDC_ALGORITHMS: list(Type.Enum([...oidcAlgorithms], { type: "string" }), {
    description: "The signature algorithms that those tokens may have.",
    default: ["RS256", "ES256"],
  }),
  TASKMASTER_CORS_ORIGINS: list(Type.String({ pattern: "^https?://[^/\\s*]+$" }), {
    description: "Web origins whose pages may call the API.",
    form: "origins such as https://tasks.example.com, separated by commas, without a path and without *",
    absent: "none",
  }),
  TASKMASTER_RATE_LIMIT_MAX: count({
    description: "The most requests of one token in a window.",
    minimum: 1,
    maximum: 1_000_000_000,
    default: 600,
  }),
  TASKMASTER_RATE_LIMIT_WINDOW_SECONDS: count({
    description: "The rate limit's window.",
    minimum: 1,
    maximum: 86_400,
    default: 60,
  }),
  REDIS_URL: text({
    description: "Shares the rate limit's counts between processes.",
    form: "a URL that starts with redis:// or rediss://",
    pattern: "^rediss?://.+",
    absent: "counts are each process's own",
  }),
  TASKMASTER_BODY_LIMIT_BYTES: count({
    description: "The largest request body.",
    minimum: 1024,
    maximum: 1_073_741_824,
    default: 1_048_576,
  }),
  TASKMASTER_IMPORT_LIMIT_BYTES: count({
    description: "The largest tasks.json to import.",
    minimum: 1024,
    maximum: 1_073_741_824,
    default: 16_777_216,
  }),
  TASKMASTER_REQUEST_TIMEOUT_SECONDS: count({
    description: "The longest that a request may take to arrive, and again to be answered.",
    minimum: 1,
    maximum: 3600,
    default: 30,
  }),
  TASKMASTER_SHUTDOWN_DRAIN_SECONDS: count({
    description: "How long to keep serving after a stop was asked for, while readiness already fails.",
    minimum: 0,
    maximum: 600,
    default: 5,
  }),
  TASKMASTER_STREAM_HEARTBEAT_SECONDS: count({
    description: "After how long without an event an event stream gets a sign of life.",
    minimum: 1,
    maximum: 600,
    default: 15,
  }),
  TASKMASTER_STREAMS_MAX: count({
    description: "The most open event streams of one process.",
    minimum: 1,
    maximum: 100_000,
    default: 2000,
  }),
  TASKMASTER_STREAMS_PER_TOKEN_MAX: count({
    description: "The most open event streams of one token at one process.",
    minimum: 1,
    maximum: 100_000,
    default: 20,
  }),
  TASKMASTER_TRUST_PROXY: text({
    description: "Whose X-Forwarded-For to believe.",
    form: "true, false, or addresses and networks such as 10.0.0.0/8, separated by commas",
    pattern: "^(true|false|[0-9A-Fa-f.:/]+(\\s*,\\s*[0-9A-Fa-f.:/]+)*)$",
    default: "false",
  }),
  TASKMASTER_BACKUP_TARGET: text({
    description: "Where backups are kept: a folder, or s3://bucket/prefix.",
    minLength: 1,
    default: "./backups",
  }),
  TASKMASTER_BACKUP_S3_ENDPOINT: text({
    description: "The S3 service, unless it is Amazon's; keys and region come from the AWS_* variables.",
    form: "a URL that starts with http:// or https://",
    pattern: "^https?://\\S+$",
  }),
  TASKMASTER_BACKUP_AGE_RECIPIENTS: list(Type.String({ pattern: "^age1[0-9a-z]+$" }), {
    description: "The public keys that backups are encrypted for, by age; make a pair with: age-keygen",
    form: "age recipients (age1…), separated by commas",
    absent: "backups are not encrypted",
  }),
  TASKMASTER_BACKUP_AGE_IDENTITY_FILE: text({
    description: "The file with the keys that open encrypted backups; needed to restore, not to make them.",
    minLength: 1,
  }),
  TASKMASTER_BACKUP_SCRATCH_DIRECTORY: text({
    description: "Where the files of a backup lie while they are on their way; it needs room for one backup.",
    minLength: 1,
    absent: "the system's temporary folder",
  }),
  TASKMASTER_BACKUP_DRILL_DATABASE_URL: text({
    description: "A server for drills, whose user may create databases.",
    form: "a URL that starts with postgres:// or postgresql://",
    pattern: "^postgres(ql)?://.+",
    absent: "the database's own server",
  }),
  // Read by client-config.ts; described here as well, so that they are listed and are no unknown settings to a server.
  TASKMASTER_SERVER: text({
    description: "For the commands that work with tasks: the server that they work on.",
    form: "a URL that starts with http:// or https://",
    pattern: "^https?://\\S+$",
    absent: "the profile of login, or the nearest .taskmaster folder",
  }),
  TASKMASTER_TOKEN: text({
    description: "The access token for TASKMASTER_SERVER.",
    minLength: 1,
    secret: true,
    absent: "the profile's",
  }),
  TASKMASTER_PROMETHEUS_TOKEN: text({
    description: "The access token for the Prometheus that the command slo reads.",
    minLength: 1,
    secret: true,
    absent: "none is sent",
  }),
  TASKMASTER_MCP_MODE: Type.Enum([...mcpModes], {
    type: "string",
    description: "Which MCP tools are listed: those of every day, those of planning as well, or all.",
    default: "standard",
  }),
  TASKMASTER_MCP_SESSIONS_PER_MEMBER: count({
    description: "The most MCP sessions of one member in one process; 0 for replicas without sticky routing.",
    minimum: 0,
    maximum: 1000,
    default: 50,
  }),
  TASKMASTER_MCP_TOKEN: text({
    description: "The access token that the MCP server on standard input and output acts with.",
    form: "an access token (tmp_…)",
    pattern: "^tmp_[A-Za-z0-9_-]+$",
    secret: true,
    absent: "the owner of the first organization",
  }),
  TASKMASTER_LLM_BASE_URL: text({
    description:
      "The language model's server, of the OpenAI protocol; without one what needs a model is refused.",
    form: "a URL that starts with http:// or https://, such as https://api.openai.com/v1",
    pattern: "^https?://[^\\s?#@]+$",
    absent: "no language model",
  }),
  TASKMASTER_LLM_MODEL: text({ description: "The model's name at that server.", minLength: 1 }),
  TASKMASTER_LLM_API_KEY: text({
    description: "The key to that server.",
    form: "one line of printable characters",
    pattern: "^[\\x21-\\x7e]+$",
    secret: true,
    absent: "none is sent",
  }),
  TASKMASTER_LLM_TIMEOUT_SECONDS: count({
    description: "The longest that one request waits for the model in all.",
    minimum: 1,
    maximum: 600,
    default: 60,
  }),
  TASKMASTER_LLM_MAX_TOKENS: count({
    description: "The most tokens of one answer of the model.",
    minimum: 100,
    maximum: 1_000_000,
    default: 8192,
  }),
  TASKMASTER_FLAGS: list(Type.String({ pattern: `^(${flagNames.join("|")})=(on|off)$` }), {
    description: "Features switched on or off by hand, whatever the file or flagd says.",
    form: `flags with =on or =off, separated by commas; the flags are ${flagNames.join(", ")}`,
    absent: "none",
  }),
  TASKMASTER_FLAGS_FILE: text({
    description: "A file with feature flags in flagd's form; read anew whenever it changes.",
    minLength: 1,
  }),
  TASKMASTER_FLAGD: text({
    description: "The flagd whose sync service says which features are on, instead of a file.",
    form: "a host and a port, such as flagd:8015",
    pattern: "^([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\]):\\d{1,5}$",
  }),
  TASKMASTER_WEBHOOK_ALLOWED_NETWORKS: list(Type.String({ minLength: 1 }), {
    description: "Networks that webhooks may reach although they are not public, such as your cluster's.",
    form: "networks such as 10.0.0.0/8 or fd00::/8, separated by commas",
    absent: "none",
  }),
  TASKMASTER_WEBHOOK_ALLOW_HTTP: Type.Enum(["true", "false"], {
    type: "string",
    description: "Whether webhooks may have http:// URLs, which anybody on the way can read.",
    default: "false",
  }),
  TASKMASTER_WEBHOOK_CONCURRENCY: count({
    description: "The most webhook messages sent at the same time by one process; 0 leaves it to others.",
    minimum: 0,
    maximum: 1000,
    default: 20,
  }),
  TASKMASTER_WEBHOOK_RETENTION_DAYS: count({
    description: "How long webhook messages that arrived stay in the log of deliveries.",
    minimum: 1,
    maximum: 3650,
    default: 30,
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: text({
    description:
      "The OpenTelemetry collector that traces are sent to, by OTLP over HTTP; /v1/traces is added.",
    form: "a URL that starts with http:// or https://, such as http://127.0.0.1:4318",
    pattern: "^https?://[^\\s?#@]+$",
    absent: "no traces",
  }),
  OTEL_EXPORTER_OTLP_HEADERS: text({
    description: "Headers for the collector, such as its key.",
    form: "name=value, several separated by commas, values percent-encoded",
    pattern: pairs,
    secret: true,
    absent: "none",
  }),
  OTEL_SERVICE_NAME: text({
    description: "The service's name in traces.",
    minLength: 1,
    default: "task-master-pro",
  }),
  OTEL_RESOURCE_ATTRIBUTES: text({
    description: "What else traces say of this server, such as deployment.environment.name=staging.",
    form: "name=value, several separated by commas, values percent-encoded",
    pattern: pairs,
    absent: "nothing",
  }),
  OTEL_TRACES_SAMPLER: Type.Enum([...samplers], {
    type: "string",
    description: "Which requests are traced; one that is parentbased does as the caller's traceparent says.",
    default: "parentbased_traceidratio",
  }),
  OTEL_TRACES_SAMPLER_ARG: fraction({
    description: "The part of the requests that a sampler with traceidratio takes, from 0 to 1.",
    default: 0.1,
  }),
  SENTRY_DSN: text({
    description: "The Sentry project that is told of errors of the server's own and of crashes.",
    form: "a DSN of Sentry, such as https://KEY@sentry.example.com/1",
    // As Sentry's own library reads it: what that cannot read it would only complain of, and then tell nobody.
    pattern: "^https?://\\w+(:\\w+)?@([\\w.-]+|\\[[0-9A-Fa-f:.]+\\])(:\\d{1,5})?(/[\\w.~-]+)*/\\d+$",
    secret: true,
    absent: "nobody is told",
  }),
  SENTRY_ENVIRONMENT: text({
    description: "What Sentry calls this installation.",
    form: "at most 64 characters without spaces and slashes, and not None",
    pattern: "^(?!None$)[^\\s/]{1,64}$",
    default: "production",
  }),
} satisfies TProperties;

const Environment = Type.Object(
  Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, Type.Optional(schema)])) as {
    [K in keyof typeof properties]: ReturnType<typeof Type.Optional<(typeof properties)[K]>>;
  },
  { additionalProperties: false },
);
type Values = Static<typeof Environment>;
type Variable = keyof typeof properties;
const variables = Object.keys(properties) as Variable[];
const environment = Compile(Environment);

const prefix = "TASKMASTER_";
/** What Kubernetes puts into every pod for a Service that is called taskmaster; no setting of ours. */
const serviceLink =
  /^TASKMASTER_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

/** A configuration that the server cannot start with; the message names every fault at once. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: string[]) {
    super(`The configuration is not usable:\n${faults.map((fault) => `  - ${fault}`).join("\n")}`);
    this.name = "ConfigError";
    this.faults = faults;
  }
}

export interface LoadOptions {
  /** Whether the program signs sessions; one that does not, needs no key for it. */
  session?: boolean;
}

/** Reads the configuration out of an environment. An empty variable counts as absent. Throws ConfigError. */
export function loadConfig(env: Record<string, string | undefined>, options: LoadOptions = {}): Config {
  const given: Record<string, string> = {};
  for (const variable of variables) {
    const value = env[variable];
    if (value !== undefined && value.trim() !== "") given[variable] = value.trim();
  }
  const raw = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, read(properties[name as Variable], value)]),
  );
  const faults = [...unknownVariables(env), ...wrongVariables(raw, given)];
  // Rules between variables are checked on what is well-formed, so that one start shows every fault.
  const values = raw as Values;
  const key = sessionKey(values, faults, options.session ?? true);
  const oidc = oidcOf(values, faults);
  const backup = backupOf(values, faults);
  const languageModel = languageModelOf(values, faults);
  const flags = flagsOf(values, faults);
  const webhooks = webhooksOf(values, faults);
  const tracing = tracingOf(values, faults);
  if (faults.length > 0) throw new ConfigError(faults);

  const folder = folderOf(values.DATABASE_URL);
  const common = {
    poolSize: settled(values, "TASKMASTER_DATABASE_POOL_SIZE"),
    statementTimeoutSeconds: settled(values, "TASKMASTER_STATEMENT_TIMEOUT_SECONDS"),
  };
  return deepFreeze({
    database: folder
      ? { kind: "file", directory: folder }
      : values.DATABASE_URL === undefined
        ? { kind: "embedded", directory: settled(values, "TASKMASTER_DATA_DIRECTORY"), ...common }
        : { kind: "postgres", url: values.DATABASE_URL, ...common },
    host: settled(values, "HOST"),
    port: settled(values, "PORT"),
    metricsPort: values.TASKMASTER_METRICS_PORT ?? null,
    logLevel: settled(values, "LOG_LEVEL") as LogLevel,
    publicUrl: values.TASKMASTER_PUBLIC_URL?.replace(/\/+$/, "") ?? null,
    session: { key, ttlSeconds: settled(values, "TASKMASTER_SESSION_TTL_SECONDS") },
    oidc,
    corsOrigins: values.TASKMASTER_CORS_ORIGINS ?? [],
    rateLimit: {
      max: settled(values, "TASKMASTER_RATE_LIMIT_MAX"),
      windowSeconds: settled(values, "TASKMASTER_RATE_LIMIT_WINDOW_SECONDS"),
    },
    redisUrl: values.REDIS_URL ?? null,
    bodyLimitBytes: settled(values, "TASKMASTER_BODY_LIMIT_BYTES"),
    importLimitBytes: settled(values, "TASKMASTER_IMPORT_LIMIT_BYTES"),
    requestTimeoutSeconds: settled(values, "TASKMASTER_REQUEST_TIMEOUT_SECONDS"),
    shutdownDrainSeconds: settled(values, "TASKMASTER_SHUTDOWN_DRAIN_SECONDS"),
    streams: {
      heartbeatSeconds: settled(values, "TASKMASTER_STREAM_HEARTBEAT_SECONDS"),
      max: settled(values, "TASKMASTER_STREAMS_MAX"),
      maxPerToken: settled(values, "TASKMASTER_STREAMS_PER_TOKEN_MAX"),
    },
    trustProxy: trustProxyOf(settled(values, "TASKMASTER_TRUST_PROXY")),
    backup,
    mcp: {
      mode: settled(values, "TASKMASTER_MCP_MODE") as McpConfig["mode"],
      sessionsPerMember: settled(values, "TASKMASTER_MCP_SESSIONS_PER_MEMBER"),
      token: values.TASKMASTER_MCP_TOKEN ?? null,
    },
    languageModel,
    flags,
    webhooks,
    tracing,
    sentry:
      values.SENTRY_DSN === undefined
        ? null
        : { dsn: values.SENTRY_DSN, environment: settled(values, "SENTRY_ENVIRONMENT") },
    secrets: secretsOf(given),
    given,
  });
}

export interface ConfigRow {
  variable: string;
  /** Secrets, and passwords inside URLs, are masked; empty when there is none. */
  value: string;
  source: "environment" | "default" | "generated";
  description: string;
}

/** The configuration as an operator may see it: one row a variable. */
export function describeConfig(config: Config): ConfigRow[] {
  return variables.map((variable) => {
    const schema: TSchema & Partial<Hints> = properties[variable];
    const value = config.given[variable];
    const generated =
      variable === "TASKMASTER_SESSION_SECRET" && value === undefined && config.session.key === null;
    const shown = value ?? schema.absent ?? defaultText(schema);
    return {
      variable,
      value: value !== undefined && schema.secret === true ? "********" : maskUrl(shown),
      source: value !== undefined ? "environment" : generated ? "generated" : "default",
      description: schema.description ?? "",
    };
  });
}

/** Each as it may turn up: a key's lines one by one, a password as the URL has it and as it is meant. */
function secretsOf(given: Record<string, string>): string[] {
  const found = variables.flatMap((variable) => {
    const value = given[variable];
    if (value === undefined) return [];
    const schema: TSchema & Partial<Hints> = properties[variable];
    // A public key of Sentry lets whoever has it write there, and stands where a URL has its user.
    const [, user = "", password = ""] = /^[a-z]+:\/\/([^/?#@:]*):?([^/?#]*)@/i.exec(value) ?? [];
    const inQuery = /[?&](?:password|sslpassword)=([^&#]*)/i.exec(value)?.[1] ?? "";
    const inUrl = [password, inQuery, ...(variable === "SENTRY_DSN" ? [user] : [])];
    const whole =
      schema.secret === true ? value.split(/\\n|\n/).filter((line) => !line.startsWith("-----")) : [];
    return [...whole, ...inUrl, ...inUrl.map(decoded)];
  });
  // A shorter one is no secret, and would take every such word out of the log.
  return [...new Set(found.map((one) => one.trim()))].filter((one) => one.length >= 6);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** With the password of a URL replaced. */
function maskUrl(value: string): string {
  return value
    .replace(/^([a-z]+:\/\/[^/?#@:]*):[^/?#]*@/i, "$1:********@")
    .replace(/([?&](?:password|sslpassword)=)[^&#]*/gi, "$1********");
}

function defaultText(schema: TSchema): string {
  const value: unknown = "default" in schema ? schema.default : undefined;
  return value === undefined ? "" : String(value);
}

/** An environment holds text only; what does not read as the schema's type stays text, and so is found wrong. */
function read(schema: TSchema, value: string): unknown {
  const type = "type" in schema ? schema.type : undefined;
  if (type === "integer") return /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (type === "number") return /^\d{1,15}(\.\d{1,15})?$/.test(value) ? Number(value) : value;
  if (type === "array") {
    return value
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "");
  }
  return value;
}

function settled<V extends Variable>(values: Values, variable: V): NonNullable<Values[V]> {
  const value = values[variable] ?? (properties[variable] as { default?: unknown }).default;
  if (value === undefined) throw new Error(`${variable} has neither a value nor a default`);
  return value as NonNullable<Values[V]>;
}

function wrongVariables(raw: Record<string, unknown>, given: Record<string, string>): string[] {
  const wrong = new Set(environment.Errors(raw).map((error) => error.instancePath.split("/")[1] ?? ""));
  return variables
    .filter((variable) => wrong.has(variable))
    .map((variable) => {
      const schema: TSchema & Partial<Hints> = properties[variable];
      const value = schema.secret === true ? "(not shown)" : JSON.stringify(maskUrl(given[variable] ?? ""));
      return `${variable} is ${value} but must be ${form(schema)}.`;
    });
}

function form(schema: TSchema & Partial<Hints>): string {
  if (schema.form !== undefined) return schema.form;
  const {
    type,
    enum: choices,
    minimum,
    maximum,
    items,
  } = schema as {
    type?: string;
    enum?: string[];
    minimum?: number;
    maximum?: number;
    items?: { enum?: string[] };
  };
  if (choices !== undefined) return `one of ${choices.join(", ")}`;
  if (items?.enum !== undefined) return `some of ${items.enum.join(", ")}, separated by commas`;
  if (type === "number") return `a number from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `a whole number from ${minimum} to ${maximum}`;
  return "some text";
}

function unknownVariables(env: Record<string, string | undefined>): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith(prefix) && !(name in properties) && !serviceLink.test(name))
    .sort()
    .map((name) => {
      const near = nearest(name);
      return `${name} is not a setting of this program${near === undefined ? "" : `; did you mean ${near}?`}`;
    });
}

function nearest(name: string): string | undefined {
  const ranked = variables
    .map((variable) => ({ variable, distance: editDistance(name, variable) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return ranked !== undefined && ranked.distance <= Math.max(3, name.length / 4)
    ? ranked.variable
    : undefined;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}

/** The path of file:PATH or file:///PATH, as it is written: it may be relative, and has no escapes. */
function folderOf(url: string | undefined): string | undefined {
  return url?.startsWith("file:") === true ? url.replace(/^file:(\/\/(?=\/))?/, "") : undefined;
}

function sessionKey(values: Values, faults: string[], demanded: boolean): SessionKey | null {
  const secret = values.TASKMASTER_SESSION_SECRET;
  const pem = values.TASKMASTER_SESSION_PRIVATE_KEY;
  if (secret !== undefined && pem !== undefined) {
    faults.push(
      "TASKMASTER_SESSION_SECRET and TASKMASTER_SESSION_PRIVATE_KEY are both set; set only one of them.",
    );
    return null;
  }
  if (typeof secret === "string") {
    if (Buffer.byteLength(secret) >= 32) return { algorithm: "HS256", secret };
    faults.push(
      "TASKMASTER_SESSION_SECRET has fewer than 32 bytes, so that it could be guessed; make one with: openssl rand -base64 48",
    );
    return null;
  }
  if (typeof pem === "string") return privateKey(pem, faults);
  if (demanded && values.DATABASE_URL !== undefined && folderOf(values.DATABASE_URL) === undefined) {
    faults.push(
      "TASKMASTER_SESSION_SECRET is missing: with DATABASE_URL every process must sign sessions with the same secret; " +
        "make one with: openssl rand -base64 48 (or set TASKMASTER_SESSION_PRIVATE_KEY)",
    );
  }
  return null;
}

function privateKey(pem: string, faults: string[]): SessionKey | null {
  // Environment files cannot hold line breaks, so that a key on one line has them written as \n.
  const text = pem.replaceAll("\\n", "\n");
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyType === "ed25519") {
      return {
        algorithm: "EdDSA",
        privateKey: key.export({ type: "pkcs8", format: "pem" }).toString(),
        publicKey: createPublicKeyPem(key),
      };
    }
  } catch {
    // Said below in our own words: the library's say nothing of what to do, and may quote the key.
  }
  faults.push(
    "TASKMASTER_SESSION_PRIVATE_KEY is no Ed25519 private key in PEM form; make one with: openssl genpkey -algorithm ed25519",
  );
  return null;
}

function createPublicKeyPem(key: ReturnType<typeof createPrivateKey>): string {
  return createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
}

function oidcOf(values: Values, faults: string[]): OidcConfig | null {
  const parts = {
    TASKMASTER_OIDC_ISSUER: values.TASKMASTER_OIDC_ISSUER,
    TASKMASTER_OIDC_AUDIENCE: values.TASKMASTER_OIDC_AUDIENCE,
    TASKMASTER_OIDC_JWKS_URL: values.TASKMASTER_OIDC_JWKS_URL,
  };
  const missing = Object.entries(parts)
    .filter(([, value]) => value === undefined)
    .map(([name]) => name);
  if (missing.length === 3 && values.TASKMASTER_OIDC_ALGORITHMS === undefined) return null;
  if (missing.length > 0) {
    faults.push(
      `OpenID Connect is set in part: ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing.`,
    );
    return null;
  }
  return {
    issuer: settled(values, "TASKMASTER_OIDC_ISSUER"),
    audience: settled(values, "TASKMASTER_OIDC_AUDIENCE"),
    jwksUrl: settled(values, "TASKMASTER_OIDC_JWKS_URL"),
    algorithms: settled(values, "TASKMASTER_OIDC_ALGORITHMS") as OidcAlgorithm[],
  };
}

function backupOf(values: Values, faults: string[]): BackupConfig {
  const target = settled(values, "TASKMASTER_BACKUP_TARGET");
  const endpoint = values.TASKMASTER_BACKUP_S3_ENDPOINT ?? null;
  const s3 = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*))?$/.exec(target);
  if (s3 === null && /^[a-z0-9+.-]+:\/\//i.test(target)) {
    faults.push(
      `TASKMASTER_BACKUP_TARGET is ${JSON.stringify(maskUrl(target))} but must be a folder, or s3://bucket/prefix.`,
    );
  }
  if (s3 === null && endpoint !== null) {
    faults.push(
      "TASKMASTER_BACKUP_S3_ENDPOINT is set, but TASKMASTER_BACKUP_TARGET is no s3://bucket/prefix.",
    );
  }
  return {
    target:
      s3 === null
        ? { kind: "folder", directory: target }
        : { kind: "s3", bucket: s3[1] ?? "", prefix: s3[2] ?? "", endpoint },
    recipients: values.TASKMASTER_BACKUP_AGE_RECIPIENTS ?? [],
    identityFile: values.TASKMASTER_BACKUP_AGE_IDENTITY_FILE ?? null,
    scratchDirectory: values.TASKMASTER_BACKUP_SCRATCH_DIRECTORY ?? null,
    drillUrl: values.TASKMASTER_BACKUP_DRILL_DATABASE_URL ?? null,
  };
}

function languageModelOf(values: Values, faults: string[]): LanguageModelConfig | null {
  const { TASKMASTER_LLM_BASE_URL: baseUrl, TASKMASTER_LLM_MODEL: model } = values;
  if (baseUrl !== undefined && model !== undefined) {
    return {
      baseUrl: baseUrl.replace(/\/+$/, ""),
      model,
      apiKey: values.TASKMASTER_LLM_API_KEY ?? null,
      timeoutSeconds: settled(values, "TASKMASTER_LLM_TIMEOUT_SECONDS"),
      maxTokens: settled(values, "TASKMASTER_LLM_MAX_TOKENS"),
    };
  }
  if (baseUrl !== undefined || model !== undefined || values.TASKMASTER_LLM_API_KEY !== undefined) {
    faults.push(
      "The language model is set in part: TASKMASTER_LLM_BASE_URL and TASKMASTER_LLM_MODEL go together.",
    );
  }
  return null;
}

function flagsOf(values: Values, faults: string[]): FlagConfig {
  const given = values.TASKMASTER_FLAGS;
  // What is no list here was found wrong already.
  const settings = (Array.isArray(given) ? given : []).map((setting) => {
    const [flag, state] = setting.split("=");
    return { flag: flag as FlagName, on: state === "on" };
  });
  const twice = settings.find(({ flag }, i) => settings.findIndex((one) => one.flag === flag) !== i);
  if (twice !== undefined) faults.push(`TASKMASTER_FLAGS says ${twice.flag} twice; say it once.`);
  const file = values.TASKMASTER_FLAGS_FILE ?? null;
  const flagd = values.TASKMASTER_FLAGD ?? null;
  if (file !== null && flagd !== null) {
    faults.push("TASKMASTER_FLAGS_FILE and TASKMASTER_FLAGD are both set; set only one of them.");
  }
  return { settings, file, flagd: flagd === null ? null : hostAndPort(flagd, faults) };
}

function hostAndPort(text: string, faults: string[]): { host: string; port: number } {
  const at = text.lastIndexOf(":");
  const port = Number(text.slice(at + 1));
  if (port > 65_535) faults.push(`TASKMASTER_FLAGD names the port ${port}, but ports end at 65535.`);
  return { host: text.slice(0, at), port };
}

function webhooksOf(values: Values, faults: string[]): WebhookConfig {
  const allowedNetworks = values.TASKMASTER_WEBHOOK_ALLOWED_NETWORKS ?? [];
  for (const network of allowedNetworks.filter((text) => !isNetwork(text))) {
    faults.push(
      `TASKMASTER_WEBHOOK_ALLOWED_NETWORKS has ${JSON.stringify(network)} but must be networks such as 10.0.0.0/8 or fd00::/8, separated by commas.`,
    );
  }
  return {
    allowHttp: settled(values, "TASKMASTER_WEBHOOK_ALLOW_HTTP") === "true",
    allowedNetworks,
    concurrency: settled(values, "TASKMASTER_WEBHOOK_CONCURRENCY"),
    retentionDays: settled(values, "TASKMASTER_WEBHOOK_RETENTION_DAYS"),
  };
}

function tracingOf(values: Values, faults: string[]): TracingConfig | null {
  const headers = pairsOf("OTEL_EXPORTER_OTLP_HEADERS", values, faults);
  const resourceAttributes = pairsOf("OTEL_RESOURCE_ATTRIBUTES", values, faults);
  const wrong = Object.entries(headers).find(
    ([name, value]) => !/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\x20-\x7e]*$/.test(value),
  );
  if (wrong !== undefined) {
    faults.push(
      `OTEL_EXPORTER_OTLP_HEADERS has ${JSON.stringify(wrong[0])}, which is no header with a value of printable characters.`,
    );
  }
  const endpoint = values.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (endpoint === undefined) return null;
  return {
    url: `${endpoint.replace(/\/+$/, "")}/v1/traces`,
    headers,
    serviceName: settled(values, "OTEL_SERVICE_NAME"),
    resourceAttributes,
    sampler: settled(values, "OTEL_TRACES_SAMPLER") as TracingConfig["sampler"],
    ratio: settled(values, "OTEL_TRACES_SAMPLER_ARG"),
  };
}

function pairsOf(
  variable: "OTEL_EXPORTER_OTLP_HEADERS" | "OTEL_RESOURCE_ATTRIBUTES",
  values: Values,
  faults: string[],
): Record<string, string> {
  const pairs = (values[variable] ?? "").split(",").filter((pair) => pair.includes("="));
  try {
    return Object.fromEntries(
      pairs.map((pair) => {
        const at = pair.indexOf("=");
        return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())];
      }),
    );
  } catch {
    faults.push(`${variable} has a % that begins no percent-encoding; write %25 for the sign itself.`);
    return {};
  }
}

function trustProxyOf(value: string): boolean | string[] {
  if (value === "true" || value === "false") return value === "true";
  return value.split(",").map((item) => item.trim());
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}

import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { describeConfig, loadConfig } from "../../src/config.ts";
import { faultsOf } from "../support/config.ts";

const secret = "0123456789abcdef0123456789abcdef";

describe("loadConfig", () => {
  it("needs nothing: an embedded database, reachable from this machine only", () => {
    expect(loadConfig({})).toMatchObject({
      database: { kind: "embedded", directory: "./data", poolSize: 10 },
      host: "127.0.0.1",
      port: 3000,
      metricsPort: null,
      logLevel: "info",
      publicUrl: null,
      session: { key: null },
      oidc: null,
      corsOrigins: [],
      rateLimit: { max: 600, windowSeconds: 60 },
      bodyLimitBytes: 1_048_576,
      importLimitBytes: 16_777_216,
      trustProxy: false,
    });
  });

  it("reads every kind of value, and takes an empty variable for an absent one", () => {
    const config = loadConfig({
      DATABASE_URL: "postgres://u:p@db/tasks",
      TASKMASTER_SESSION_SECRET: secret,
      PORT: "8080",
      TASKMASTER_METRICS_PORT: "9464",
      HOST: "",
      TASKMASTER_PUBLIC_URL: "https://tasks.example.com/",
      TASKMASTER_CORS_ORIGINS: "https://a.example, https://b.example",
      TASKMASTER_TRUST_PROXY: "10.0.0.0/8, 127.0.0.1",
      TASKMASTER_OIDC_ISSUER: "https://issuer.example",
      TASKMASTER_OIDC_AUDIENCE: "tasks",
      TASKMASTER_OIDC_JWKS_URL: "https://issuer.example/keys",
    });
    expect(config).toMatchObject({
      database: { kind: "postgres", url: "postgres://u:p@db/tasks" },
      session: { key: { algorithm: "HS256", secret } },
      port: 8080,
      metricsPort: 9464,
      host: "127.0.0.1",
      publicUrl: "https://tasks.example.com",
      corsOrigins: ["https://a.example", "https://b.example"],
      trustProxy: ["10.0.0.0/8", "127.0.0.1"],
      oidc: { issuer: "https://issuer.example", audience: "tasks", algorithms: ["RS256", "ES256"] },
    });
  });

  it("reads where traces go from the variables of OpenTelemetry's own, and traces nothing without a collector", () => {
    expect(loadConfig({ OTEL_TRACES_SAMPLER: "always_on" }).tracing).toBeNull();
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.example/otlp/" };
    expect(loadConfig(endpoint).tracing).toEqual({
      url: "https://collector.example/otlp/v1/traces",
      headers: {},
      serviceName: "task-master-pro",
      resourceAttributes: {},
      sampler: "parentbased_traceidratio",
      ratio: 0.1,
    });
    const given = {
      ...endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20hush, x-org = a=b",
      OTEL_SERVICE_NAME: "tasks",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=staging",
      OTEL_TRACES_SAMPLER: "traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
    };
    expect(loadConfig(given).tracing).toMatchObject({
      headers: { authorization: "Bearer hush", "x-org": "a=b" },
      serviceName: "tasks",
      resourceAttributes: { "deployment.environment.name": "staging" },
      sampler: "traceidratio",
      ratio: 0.25,
    });
    expect(JSON.stringify(describeConfig(loadConfig(given)))).not.toContain("hush");
  });

  it.each([
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "must be a URL that starts with http:// or https://"],
    ["OTEL_TRACES_SAMPLER", "jaeger_remote", "must be one of always_on, always_off, traceidratio"],
    ["OTEL_TRACES_SAMPLER_ARG", "1.5", "must be a number from 0 to 1"],
    ["OTEL_TRACES_SAMPLER_ARG", "half", "must be a number from 0 to 1"],
    ["OTEL_RESOURCE_ATTRIBUTES", "staging", "must be name=value, several separated by commas"],
    ["OTEL_RESOURCE_ATTRIBUTES", "share=50%", "write %25 for the sign itself"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "hush", "is (not shown) but must be name=value"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "b(d=hush", '"b(d"'],
    ["OTEL_EXPORTER_OTLP_HEADERS", "a=hush%0A", '"a", which is no header'],
  ])("says what %s=%s must be", (variable, value, message) => {
    const faults = faultsOf({ [variable]: value });
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(variable);
    expect(faults[0]).toContain(message);
    expect(faults[0]).not.toContain("hush");
  });

  it("cannot be changed afterwards", () => {
    const config = loadConfig({});
    expect(
      Object.isFrozen(config) && Object.isFrozen(config.rateLimit) && Object.isFrozen(config.corsOrigins),
    ).toBe(true);
  });

  it("names everything that is wrong, missing or unknown in one message, and no secret", () => {
    const env = {
      DATABASE_URL: "mysql://u:hunter2@db/tasks",
      PORT: "99999",
      LOG_LEVEL: "loud",
      TASKMASTER_BODY_LIMIT_BYTES: "1.5",
      TASKMASTER_CORS_ORIGINS: "*",
      TASKMASTER_OIDC_ISSUER: "https://issuer.example",
      TASKMASTER_OIDC_ALGORITHMS: "RS256,HS256",
      TASKMASTER_SESSION_SECRET: "too short to be good",
      TASKMASTER_RATE_LIMIT_MAXIMUM: "5",
      TASKMASTER_SOMETHING_ELSE_ENTIRELY: "1",
    };
    const message = faultsOf(env).join("\n");
    for (const name of Object.keys(env)) {
      if (name !== "TASKMASTER_OIDC_ISSUER") expect(message).toContain(name);
    }
    expect(message).toContain("did you mean TASKMASTER_RATE_LIMIT_MAX?");
    expect(message).toContain("TASKMASTER_OIDC_AUDIENCE, TASKMASTER_OIDC_JWKS_URL are missing");
    expect(message).not.toContain("too short to be good");
    expect(message).not.toContain("hunter2");
    expect(faultsOf(env)).toHaveLength(10);
  });

  it.each(["HS256", "none", "RS256,none", "rs256"])(
    "takes only asymmetric algorithms of an issuer, not %s",
    (algorithms) => {
      const issuer = {
        TASKMASTER_OIDC_ISSUER: "https://i",
        TASKMASTER_OIDC_AUDIENCE: "a",
        TASKMASTER_OIDC_JWKS_URL: "https://i/k",
      };
      expect(faultsOf({ ...issuer, TASKMASTER_OIDC_ALGORITHMS: algorithms })).toHaveLength(1);
    },
  );

  it("wants a session key with a database that other processes may share, and says how to make one", () => {
    expect(faultsOf({ DATABASE_URL: "postgres://db/t" }).join()).toContain("openssl rand -base64 48");
  });

  it("takes a project's folder for a database, which needs no key, and no other machine's", () => {
    const folderOf = (url: string) => loadConfig({ DATABASE_URL: url }).database;
    expect(folderOf("file:../my project")).toEqual({ kind: "file", directory: "../my project" });
    expect(folderOf("file:/srv/project")).toEqual({ kind: "file", directory: "/srv/project" });
    expect(folderOf("file:///srv/project")).toEqual({ kind: "file", directory: "/srv/project" });
    expect(loadConfig({ DATABASE_URL: "file:." }).session.key).toBeNull();
    for (const url of ["file:", "file://host/srv", "sqlite:x"]) {
      expect(faultsOf({ DATABASE_URL: url }).join()).toContain("file: and the path of a project's folder");
    }
  });

  it("takes an Ed25519 key, also on one line, and no other key nor both", () => {
    const pem = (key: { privateKey: { export(options: object): string | Buffer } }) =>
      String(key.privateKey.export({ type: "pkcs8", format: "pem" }));
    const edwards = pem(generateKeyPairSync("ed25519"));
    expect(
      loadConfig({ TASKMASTER_SESSION_PRIVATE_KEY: edwards.replaceAll("\n", "\\n") }).session.key,
    ).toMatchObject({
      algorithm: "EdDSA",
      privateKey: edwards,
    });
    expect(
      faultsOf({ TASKMASTER_SESSION_PRIVATE_KEY: pem(generateKeyPairSync("rsa", { modulusLength: 2048 })) }),
    ).toHaveLength(1);
    expect(faultsOf({ TASKMASTER_SESSION_PRIVATE_KEY: "nonsense" })).toHaveLength(1);
    expect(
      faultsOf({ TASKMASTER_SESSION_PRIVATE_KEY: edwards, TASKMASTER_SESSION_SECRET: secret }).join(),
    ).toContain("only one");
  });

  it("takes a language model whole or not at all, and never shows its key", () => {
    expect(loadConfig({})).toMatchObject({ languageModel: null });
    const env = {
      TASKMASTER_LLM_BASE_URL: "https://models.example/v1/",
      TASKMASTER_LLM_MODEL: "planner",
      TASKMASTER_LLM_API_KEY: "sk-hunter2",
    };
    expect(loadConfig(env).languageModel).toEqual({
      baseUrl: "https://models.example/v1",
      model: "planner",
      apiKey: "sk-hunter2",
      timeoutSeconds: 60,
      maxTokens: 8192,
    });
    expect(JSON.stringify(describeConfig(loadConfig(env)))).not.toContain("hunter2");
    for (const name of ["TASKMASTER_LLM_BASE_URL", "TASKMASTER_LLM_MODEL"] as const) {
      const { [name]: _gone, ...rest } = env;
      expect(faultsOf(rest).join()).toContain("go together");
    }
    expect(faultsOf({ ...env, TASKMASTER_LLM_BASE_URL: "https://u:p@models.example" })).toHaveLength(1);
    expect(faultsOf({ ...env, TASKMASTER_LLM_API_KEY: "two words" }).join()).not.toContain("two words");
  });

  it("lets webhooks reach public addresses by https only, unless it is said otherwise in networks", () => {
    expect(loadConfig({}).webhooks).toMatchObject({ allowHttp: false, allowedNetworks: [] });
    const given = {
      TASKMASTER_WEBHOOK_ALLOWED_NETWORKS: "10.0.0.0/8, fd00::/8",
      TASKMASTER_WEBHOOK_ALLOW_HTTP: "true",
      TASKMASTER_WEBHOOK_CONCURRENCY: "0",
    };
    expect(loadConfig(given).webhooks).toEqual({
      allowHttp: true,
      allowedNetworks: ["10.0.0.0/8", "fd00::/8"],
      concurrency: 0,
      retentionDays: 30,
    });
    for (const wrong of ["10.0.0.0", "10.0.0.0/33", "*", "localhost", "10.0.0.0/8,all"]) {
      expect(faultsOf({ TASKMASTER_WEBHOOK_ALLOWED_NETWORKS: wrong })).toHaveLength(1);
    }
    expect(faultsOf({ TASKMASTER_WEBHOOK_ALLOW_HTTP: "yes" })).toHaveLength(1);
  });

  it("is not disturbed by what Kubernetes adds for a service called taskmaster", () => {
    expect(
      faultsOf({
        TASKMASTER_SERVICE_HOST: "10.0.0.1",
        TASKMASTER_SERVICE_PORT_HTTP: "80",
        TASKMASTER_PORT: "tcp://10.0.0.1:80",
        TASKMASTER_PORT_80_TCP_ADDR: "10.0.0.1",
      }),
    ).toEqual([]);
  });
});

describe("describeConfig", () => {
  it("shows every variable, where it came from, and no secret", () => {
    const rows = describeConfig(
      loadConfig({
        DATABASE_URL: "postgres://u:p%40ss@db/tasks?sslpassword=hush",
        REDIS_URL: "redis://:hush@cache:6379",
        TASKMASTER_SESSION_SECRET: secret,
        PORT: "8080",
      }),
    );
    const row = (name: string) => rows.find(({ variable }) => variable === name);
    expect(row("PORT")).toMatchObject({ value: "8080", source: "environment" });
    expect(row("HOST")).toMatchObject({ value: "127.0.0.1", source: "default" });
    expect(row("DATABASE_URL")?.value).toBe("postgres://u:********@db/tasks?sslpassword=********");
    expect(row("REDIS_URL")?.value).toBe("redis://:********@cache:6379");
    expect(row("TASKMASTER_SESSION_SECRET")).toMatchObject({ value: "********", source: "environment" });
    expect(rows.every(({ description }) => description !== "")).toBe(true);
    expect(JSON.stringify(rows)).not.toMatch(/hush|p%40ss|0123456789abcdef/);
  });

  it("takes a DSN of Sentry as its library reads one, and shows none", () => {
    const good = { SENTRY_DSN: "https://0123456789abcdef@sentry.example.com/path/42" };
    expect(loadConfig(good).sentry).toEqual({ dsn: good.SENTRY_DSN, environment: "production" });
    expect(loadConfig({}).sentry).toBeNull();
    expect(loadConfig({ SENTRY_ENVIRONMENT: "staging" }).sentry).toBeNull();
    for (const dsn of [
      "hush",
      "https://s.example/42",
      "https://hush@s.example",
      "ftp://hush@s/1",
      "https://hush@s/x",
    ])
      expect(faultsOf({ SENTRY_DSN: dsn }), dsn).toEqual([
        expect.stringMatching(/^SENTRY_DSN is \(not shown\) but must be a DSN/),
      ]);
    for (const environment of ["None", "a b", "a/b", "x".repeat(65)])
      expect(faultsOf({ SENTRY_ENVIRONMENT: environment }), environment).toHaveLength(1);
    expect(JSON.stringify(describeConfig(loadConfig(good)))).not.toContain("0123456789abcdef");
  });

  it("tells the log what it must hide", () => {
    const { secrets } = loadConfig({
      DATABASE_URL: "postgres://u:p%40ssword@db/tasks?sslpassword=hush-hush",
      REDIS_URL: "redis://:of-redis@cache:6379",
      TASKMASTER_SESSION_SECRET: secret,
      SENTRY_DSN: "https://public_key@sentry.example.com/1",
      TASKMASTER_LLM_API_KEY: "sk-key",
      TASKMASTER_LLM_MODEL: "m",
      TASKMASTER_LLM_BASE_URL: "https://llm.example",
    });
    for (const one of ["p%40ssword", "p@ssword", "hush-hush", "of-redis", secret, "public_key", "sk-key"])
      expect(secrets).toContain(one);
    const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const { secrets: lines } = loadConfig({ TASKMASTER_SESSION_PRIVATE_KEY: pem.replaceAll("\n", "\\n") });
    expect(lines).toEqual([pem.split("\n")[1]]);
    expect(loadConfig({ PORT: "12345", HOST: "everywhere" }).secrets).toEqual([]);
  });

  it("says which secret is made by the server itself", () => {
    const rows = describeConfig(loadConfig({}));
    expect(rows.find(({ variable }) => variable === "TASKMASTER_SESSION_SECRET")?.source).toBe("generated");
  });
});

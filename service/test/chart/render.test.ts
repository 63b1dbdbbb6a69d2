import { expect, test } from "vitest";
import { bundled, cloudnativePg, external, find, type Manifest, render } from "./render.ts";

const everything = {
  session: { existingSecret: "session" },
  redis: { existingSecret: "redis" },
  ingress: { enabled: true, hosts: ["a.example"] },
  httpRoute: { enabled: true, parentRefs: [{ name: "gateway" }] },
  backup: { enabled: true, volume: { enabled: true } },
};
const modes = [
  ["external", { ...everything, ...external }],
  ["bundled", { ...everything, ...bundled }],
  ["cloudnative-pg", { ...everything, ...cloudnativePg }],
] as const;

/** Each pod that the chart makes, whatever makes it. */
function podsOf(manifests: Manifest[]): { name: string; spec: Manifest; labels: Record<string, string> }[] {
  return manifests.flatMap((one) => {
    const template =
      one.kind === "Pod" ? one : (one.spec?.jobTemplate?.spec?.template ?? one.spec?.template ?? undefined);
    return template === undefined
      ? []
      : [{ name: one.metadata.name, spec: template.spec, labels: template.metadata.labels }];
  });
}
const databaseOf = (container: Manifest) =>
  container.env.find(({ name }: { name: string }) => name === "DATABASE_URL")?.valueFrom.secretKeyRef;

test.each(modes)(
  "%s: every pod is admitted by the restricted standard, and writes only where it may",
  (_mode, values) => {
    const pods = podsOf(render(values));
    expect(pods.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["tm-task-master-pro", "tm-task-master-pro-backup", "tm-task-master-pro-drill"]),
    );
    for (const { spec, name } of pods) {
      expect(spec.securityContext, name).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      });
      expect(spec.automountServiceAccountToken, name).toBe(false);
      for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
        expect(container.securityContext, name).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        expect(container.resources.limits.memory, name).toBeDefined();
      }
      for (const volume of spec.volumes ?? []) expect(volume.hostPath, name).toBeUndefined();
    }
  },
);

test("every program finds the database where its mode keeps it", () => {
  const secrets = {
    external: ["db", "url"],
    bundled: ["tm-task-master-pro-db", "url"],
    "cloudnative-pg": ["tm-task-master-pro-db-app", "uri"],
  };
  for (const [mode, values] of modes) {
    const [name, key] = secrets[mode];
    const ours = podsOf(render(values)).filter(
      ({ labels }) => !/database|test/.test(labels["app.kubernetes.io/component"] ?? ""),
    );
    expect(ours).toHaveLength(6);
    for (const { spec } of ours) {
      for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
        expect(databaseOf(container)).toEqual({ name, key });
      }
    }
  }
});

test("migrations: a hook for a database that is elsewhere, a Job of the revision beside one that comes along, Argo CD's own", () => {
  const hook = find(render(external), "Job", "tm-task-master-pro-migrate");
  expect(hook.metadata.annotations).toEqual({
    "helm.sh/hook": "pre-install,pre-upgrade",
    "helm.sh/hook-weight": "0",
    "helm.sh/hook-delete-policy": "before-hook-creation",
  });
  // It runs before anything of the release is there: nothing of the release may be needed.
  const text = JSON.stringify(hook.spec);
  expect(text).not.toContain("configMapRef");
  expect(hook.spec.template.spec.serviceAccountName).toBeUndefined();
  expect(hook.spec.template.spec.initContainers).toBeUndefined();

  for (const values of [bundled, cloudnativePg]) {
    const job = find(render(values), "Job", "tm-task-master-pro-migrate-1");
    expect(job.metadata.annotations).toBeUndefined();
    expect(job.spec.template.spec.initContainers[0].name).toBe("wait");
    expect(
      render(values, "--is-upgrade").some(
        ({ metadata }) => metadata.annotations?.["helm.sh/hook"] === "pre-upgrade",
      ),
    ).toBe(false);
  }
  const argocd = { migrations: { mode: "argocd" }, session: { existingSecret: "s" } };
  const pre = find(render({ ...external, ...argocd }), "Job", "tm-task-master-pro-migrate").metadata
    .annotations;
  expect(pre).toMatchObject({ "argocd.argoproj.io/hook": "PreSync" });
  const during = find(render({ ...cloudnativePg, ...argocd }), "Job", "tm-task-master-pro-migrate").metadata
    .annotations;
  expect(during).toMatchObject({ "argocd.argoproj.io/hook": "Sync" });
});

test("no Secret and no other lasting thing is a hook", () => {
  for (const [, values] of modes) {
    const hooks = render(values).filter(
      ({ metadata }) => metadata.annotations?.["helm.sh/hook"] !== undefined,
    );
    for (const { kind } of hooks) expect(["Job", "Pod"]).toContain(kind);
  }
});

test("the server's rollout loses nothing: none is taken away early, each sleeps, drains and has time to end", () => {
  const { spec } = find(
    render({
      ...external,
      config: { TASKMASTER_SHUTDOWN_DRAIN_SECONDS: 7, TASKMASTER_REQUEST_TIMEOUT_SECONDS: 60 },
    }),
    "Deployment",
    "tm-task-master-pro",
  );
  expect(spec.strategy.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 });
  const pod = spec.template.spec;
  const [container] = pod.containers;
  expect(container.lifecycle.preStop.sleep.seconds).toBe(5);
  expect(pod.terminationGracePeriodSeconds).toBe(5 + 7 + 60 + 15);
  const probes = [container.startupProbe, container.readinessProbe, container.livenessProbe];
  expect(probes.map(({ httpGet }) => httpGet.path)).toEqual(["/startupz", "/readyz", "/livez"]);
});

test("a configuration has a name of its content, cannot change, and stays for whoever rolls back", () => {
  const of = (config: Record<string, unknown>) => {
    const manifests = render({ ...external, config });
    const [configMap] = manifests.filter(({ kind }) => kind === "ConfigMap");
    const named = find(manifests, "Deployment", "tm-task-master-pro").spec.template.spec.containers[0]
      .envFrom;
    expect(named).toEqual([{ configMapRef: { name: configMap.metadata.name } }]);
    expect(configMap).toMatchObject({
      immutable: true,
      metadata: { annotations: { "helm.sh/resource-policy": "keep" } },
    });
    return configMap;
  };
  const small = of({ TASKMASTER_RATE_LIMIT_MAX: 5, LOG_LEVEL: "warn" });
  // Helm reads numbers as floats, and would write this one as 1.6777216e+07.
  const large = of({ TASKMASTER_RATE_LIMIT_MAX: 16777216, LOG_LEVEL: "warn" });
  // Any server answers any call of MCP, until the ingress is said to keep sessions together.
  const stateless = { TASKMASTER_MCP_SESSIONS_PER_MEMBER: "0" };
  expect(large.data).toEqual({ ...stateless, TASKMASTER_RATE_LIMIT_MAX: "16777216", LOG_LEVEL: "warn" });
  const hashing = of({ TASKMASTER_MCP_SESSIONS_PER_MEMBER: null, LOG_LEVEL: "warn" });
  expect(hashing.data).toEqual({ LOG_LEVEL: "warn" });
  expect(small.metadata.name).not.toBe(large.metadata.name);
  expect(of({ LOG_LEVEL: "warn", TASKMASTER_RATE_LIMIT_MAX: 5 }).metadata.name).toBe(small.metadata.name);
});

test("with an autoscaler the Deployment has no number of its own, and the budget goes by the least there can be", () => {
  const scaled = (minReplicas: number) =>
    render({
      ...external,
      replicaCount: 1,
      autoscaling: { enabled: true, minReplicas, requestsPerSecond: { enabled: true } },
    });
  const two = scaled(2);
  expect(find(two, "Deployment", "tm-task-master-pro").spec).not.toHaveProperty("replicas");
  expect(find(two, "HorizontalPodAutoscaler", "tm-task-master-pro").spec.metrics).toHaveLength(2);
  expect(find(two, "PodDisruptionBudget", "tm-task-master-pro").spec.maxUnavailable).toBe(1);
  const budgets = (manifests: Manifest[]) => manifests.filter(({ kind }) => kind === "PodDisruptionBudget");
  expect(budgets(scaled(1))).toHaveLength(0);
  expect(budgets(render({ ...external, replicaCount: 1 }))).toHaveLength(0);
  expect(budgets(render({ ...external, replicaCount: 2 }))).toHaveLength(1);
});

test("CloudNativePG: three instances, of which two have what is acknowledged, and an archive by the plugin or in-tree", () => {
  const archived = (method: string) =>
    render({
      database: {
        mode: "cloudnative-pg",
        cloudnativePg: {
          archive: {
            enabled: true,
            method,
            destinationPath: "s3://b/p",
            endpointURL: "http://minio:9000",
            existingSecret: "s3",
          },
        },
      },
    });
  const plugin = archived("plugin");
  const cluster = find(plugin, "Cluster", "tm-task-master-pro-db");
  expect(cluster.spec).toMatchObject({
    instances: 3,
    smartShutdownTimeout: 0,
    postgresql: { synchronous: { method: "any", number: 1, dataDurability: "required" } },
  });
  expect(cluster.spec.plugins).toEqual([
    {
      name: "barman-cloud.cloudnative-pg.io",
      isWALArchiver: true,
      parameters: { barmanObjectName: "tm-task-master-pro-db" },
    },
  ]);
  expect(cluster.spec.backup).toBeUndefined();
  const store = find(plugin, "ObjectStore", "tm-task-master-pro-db").spec.configuration;
  expect(store).toMatchObject({
    destinationPath: "s3://b/p",
    endpointURL: "http://minio:9000",
    s3Credentials: { accessKeyId: { name: "s3", key: "AWS_ACCESS_KEY_ID" } },
  });
  expect(find(plugin, "ScheduledBackup", "tm-task-master-pro-db").spec).toMatchObject({
    method: "plugin",
    immediate: true,
  });
  const tree = archived("in-tree");
  expect(find(tree, "Cluster", "tm-task-master-pro-db").spec.backup.barmanObjectStore).toEqual(store);
  expect(tree.some(({ kind }) => kind === "ObjectStore")).toBe(false);
  expect(render(cloudnativePg).some(({ kind }) => kind === "ScheduledBackup")).toBe(false);
});

test("what a backup needs, and no more: the drill alone has the key that opens them", () => {
  const manifests = render({
    ...external,
    backup: {
      enabled: true,
      s3: { bucket: "b", prefix: "p", endpoint: "http://minio:9000", existingSecret: "s3" },
      ageRecipients: ["age1abc", "age1def"],
      ageIdentitySecret: "age",
      drill: { existingSecret: "elsewhere" },
    },
  });
  const specOf = (name: string) => find(manifests, "CronJob", name).spec.jobTemplate.spec.template.spec;
  const backup = specOf("tm-task-master-pro-backup");
  expect(
    [...backup.initContainers, ...backup.containers].map(({ args }) => args.slice(0, 2).join(" ")),
  ).toEqual(["backup create", "backup prune"]);
  const env = backup.initContainers[0].env;
  expect(env).toContainEqual({ name: "TASKMASTER_BACKUP_TARGET", value: "s3://b/p" });
  expect(env).toContainEqual({ name: "TASKMASTER_BACKUP_AGE_RECIPIENTS", value: "age1abc,age1def" });
  expect(JSON.stringify(backup)).not.toContain("identity");
  const drill = specOf("tm-task-master-pro-drill");
  expect(drill.volumes).toContainEqual({ name: "age", secret: { secretName: "age" } });
  expect(drill.containers[0].env).toContainEqual({
    name: "TASKMASTER_BACKUP_DRILL_DATABASE_URL",
    valueFrom: { secretKeyRef: { name: "elsewhere", key: "url" } },
  });
  // The port of the endpoint is let out, to backups and drills only.
  const ports = (component: string) =>
    JSON.stringify(find(manifests, "NetworkPolicy", `tm-task-master-pro-${component}`).spec.egress);
  expect(ports("backup")).toContain("9000");
  expect(ports("drill")).toContain("9000");
  expect(ports("server")).not.toContain("9000");
});

test("taking migrations back never starts by itself, and goes to the release's own newest unless told where", () => {
  const revert = find(
    render({ ...external, migrations: { revert: { to: "20261123000000_init", allowDataLoss: true } } }),
    "CronJob",
    "tm-task-master-pro-revert",
  );
  expect(revert.spec.suspend).toBe(true);
  const [container] = revert.spec.jobTemplate.spec.template.spec.containers;
  expect(container.args[0]).toMatch(/^exec node .*migrate down --to=.* --wait=300 --allow-data-loss$/);
  expect(container.env).toContainEqual({ name: "TO", value: "20261123000000_init" });
});

test("each pod has a policy for both directions, and the bundled database lets only this release in", () => {
  const manifests = render({ ...everything, ...bundled });
  const policies = manifests.filter(({ kind }) => kind === "NetworkPolicy");
  for (const { labels, name } of podsOf(manifests)) {
    const mine = policies.filter(({ spec }) =>
      Object.entries(spec.podSelector.matchLabels).every(([key, value]) => labels[key] === value),
    );
    expect(mine, name).toHaveLength(1);
    expect(mine[0].spec.policyTypes).toEqual(["Ingress", "Egress"]);
  }
  const database = find(manifests, "NetworkPolicy", "tm-task-master-pro-db");
  expect(database.spec.ingress[0].from).toEqual([
    {
      podSelector: {
        matchLabels: { "app.kubernetes.io/name": "task-master-pro", "app.kubernetes.io/instance": "tm" },
      },
    },
  ]);
  expect(database.spec.egress).toBeUndefined();
  expect(
    render({ ...external, networkPolicy: { enabled: false } }).some(({ kind }) => kind === "NetworkPolicy"),
  ).toBe(false);
});

test("metrics: a port of their own, by a Service that is the cluster's only, for those who are named to be let in", () => {
  const monitoring = [
    { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } } },
  ];
  const manifests = render({
    ...external,
    service: { type: "LoadBalancer" },
    metrics: {
      port: 9999,
      serviceMonitor: { enabled: true, interval: "15s", labels: { release: "prometheus" } },
    },
    networkPolicy: { metricsFrom: monitoring },
  });
  const [container] = find(manifests, "Deployment", "tm-task-master-pro").spec.template.spec.containers;
  expect(container.ports).toContainEqual({ name: "metrics", containerPort: 9999 });
  expect(container.env).toContainEqual({ name: "TASKMASTER_METRICS_PORT", value: "9999" });
  expect(find(manifests, "Service", "tm-task-master-pro").spec.ports).toHaveLength(1);
  const service = find(manifests, "Service", "tm-task-master-pro-metrics");
  expect(service.spec).toMatchObject({ clusterIP: "None", publishNotReadyAddresses: true });
  const monitor = find(manifests, "ServiceMonitor", "tm-task-master-pro");
  expect(monitor.metadata.labels).toMatchObject({ release: "prometheus" });
  expect(service.metadata.labels).toMatchObject(monitor.spec.selector.matchLabels);
  expect(monitor.spec.endpoints).toEqual([{ port: service.spec.ports[0].name, interval: "15s" }]);
  const ingress = (of: Manifest[]) => find(of, "NetworkPolicy", "tm-task-master-pro-server").spec.ingress;
  expect(ingress(manifests)).toEqual([
    { ports: [{ port: "http" }] },
    { ports: [{ port: "metrics" }], from: monitoring },
  ]);
  // Nobody unless somebody is named, and no monitor without the operator that knows it.
  expect(ingress(render(external))).toEqual([{ ports: [{ port: "http" }] }]);
  expect(render(external).some(({ kind }) => kind === "ServiceMonitor")).toBe(false);

  const without = render({ ...external, metrics: { enabled: false } });
  expect(JSON.stringify(without)).not.toMatch(/METRICS_PORT|"metrics"/);
});

test("the backups' metrics come from the place that they are kept in, by a pod that has no way to the database", () => {
  const from = [{ podSelector: { matchLabels: { app: "prometheus" } } }];
  const of = (backup: object, metrics: object = {}) =>
    render({
      ...external,
      metrics,
      networkPolicy: { metricsFrom: from },
      backup: { enabled: true, ...backup },
    });
  const name = "tm-task-master-pro-backup-exporter";
  const manifests = of(
    { s3: { bucket: "b", existingSecret: "keys" } },
    { serviceMonitor: { enabled: true } },
  );
  const [container] = find(manifests, "Deployment", name).spec.template.spec.containers;
  expect(container.args).toEqual(["backup", "exporter"]);
  expect(container.env.map((one: { name: string }) => one.name)).toEqual([
    "TASKMASTER_METRICS_PORT",
    "TASKMASTER_BACKUP_TARGET",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
  ]);
  const policy = find(manifests, "NetworkPolicy", name).spec;
  expect(policy.ingress).toEqual([{ ports: [{ port: "metrics" }], from }]);
  expect(JSON.stringify(policy.egress)).not.toContain("5432");
  // The monitor of the servers finds it as well.
  const service = find(manifests, "Service", "tm-task-master-pro-backup-metrics");
  const monitor = find(manifests, "ServiceMonitor", "tm-task-master-pro");
  expect(service.metadata.labels).toMatchObject(monitor.spec.selector.matchLabels);
  expect(find(manifests, "Deployment", name).spec.template.metadata.labels).toMatchObject(
    service.spec.selector,
  );

  const shared = of({ volume: { enabled: true, accessModes: ["ReadWriteMany"] } });
  const pod = find(shared, "Deployment", name).spec.template.spec;
  expect(pod.containers[0].volumeMounts).toContainEqual({
    name: "backups",
    mountPath: "/backups",
    readOnly: true,
  });
  // Held all the while by one node, the Jobs on others could not have it.
  for (const without of [
    of({ volume: { enabled: true } }),
    of({ s3: { bucket: "b" } }, { enabled: false }),
  ]) {
    expect(JSON.stringify(without)).not.toContain("backup-exporter");
  }
});

test("traces: the collector, what is sampled and its key for the servers alone, and a way through the network policy", () => {
  const tracing = {
    enabled: true,
    endpoint: "http://collector.monitoring:4318",
    sampler: "traceidratio",
    ratio: 0.25,
    existingSecret: "collector",
  };
  const manifests = render({ ...external, tracing });
  const deployment = find(manifests, "Deployment", "tm-task-master-pro");
  const [{ env }] = deployment.spec.template.spec.containers;
  expect(env).toEqual(
    expect.arrayContaining([
      { name: "OTEL_EXPORTER_OTLP_ENDPOINT", value: tracing.endpoint },
      { name: "OTEL_TRACES_SAMPLER", value: "traceidratio" },
      { name: "OTEL_TRACES_SAMPLER_ARG", value: "0.25" },
      {
        name: "OTEL_EXPORTER_OTLP_HEADERS",
        valueFrom: { secretKeyRef: { name: "collector", key: "headers" } },
      },
    ]),
  );
  const ports = (endpoint: string) =>
    find(
      render({ ...external, tracing: { ...tracing, endpoint } }),
      "NetworkPolicy",
      "tm-task-master-pro-server",
    ).spec.egress.flatMap(({ ports }: { ports: { port: number }[] }) => ports.map(({ port }) => port));
  expect(ports(tracing.endpoint)).toContain(4318);
  expect(ports("http://collector")).toContain(80);
  expect(ports("https://collector.example/otlp")).toContain(443);
  expect(JSON.stringify(render(external))).not.toContain("OTEL_");
  expect(JSON.stringify(find(manifests, "Job", "tm-task-master-pro-migrate"))).not.toContain("OTEL_");
});

test("rules: of the release's own servers and backups, with its promises, and only of what it has", () => {
  const rulesOf = (values: Manifest, ...args: string[]) =>
    find(
      render(
        {
          ...external,
          networkPolicy: { metricsFrom: [{ podSelector: {} }] },
          ...values,
          metrics: { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true, ...values.rules } },
          rules: undefined,
        },
        ...args,
      ),
      "PrometheusRule",
      "tm-task-master-pro",
    );
  const backup = { enabled: true, s3: { bucket: "b" } };
  const rules = {
    labels: { release: "prometheus" },
    objectives: { availability: 0.9995 },
    backupMaxAgeSeconds: 180_000,
    runbookBaseUrl: "https://wiki.example/runbooks/",
  };
  const { metadata, spec } = rulesOf({ backup, rules }, "--namespace=prod");
  expect(metadata.labels).toMatchObject({ release: "prometheus" });
  const all = spec.groups.flatMap((group: Manifest) => group.rules);
  const jobs = new Set(JSON.stringify(all).match(/namespace=\\"prod\\",job=\\"[^"]*\\"/g));
  expect([...jobs].map((text) => /job=\\"(.*)\\"/.exec(text)?.[1]).sort()).toEqual([
    "tm-task-master-pro-backup-metrics",
    "tm-task-master-pro-metrics",
  ]);
  expect(JSON.stringify(all)).not.toMatch(/[^,]job=/);
  const constant = (record: string, slo?: string) =>
    all.find((one: Manifest) => one.record === record && one.labels.slo === slo).expr;
  expect(constant("job:taskmaster_slo_objective:ratio", "availability")).toBe("vector(0.9995)");
  expect(constant("job:taskmaster_slo_objective:ratio", "latency")).toBe("vector(0.99)");
  expect(constant("job:taskmaster_backup_age_limit:seconds")).toBe("vector(180000)");
  for (const { alert, labels, annotations } of all.filter((one: Manifest) => one.alert !== undefined)) {
    expect(labels).toMatchObject({ job: "tm-task-master-pro-metrics", namespace: "prod" });
    expect(annotations.runbook_url).toBe(`https://wiki.example/runbooks/${alert}.md`);
  }

  const names = (manifest: Manifest) => manifest.spec.groups.map(({ name }: Manifest) => name.split(".")[1]);
  expect(names({ spec })).toEqual(["levels", "budgets", "burn", "servers", "backups", "drills"]);
  expect(names(rulesOf({ backup: { ...backup, drill: { enabled: false } } }))).not.toContain("drills");
  const without = rulesOf({});
  expect(names(without)).toEqual(["levels", "budgets", "burn", "servers"]);
  expect(JSON.stringify(without)).not.toContain("backup_freshness");
  expect(render(external).some(({ kind }) => kind === "PrometheusRule")).toBe(false);
});

test("dashboards: each in a ConfigMap that Grafana's sidecar finds, by the release's own name", () => {
  const manifests = render({ ...external, metrics: { dashboards: { enabled: true, folder: "Tasks" } } });
  const boards = manifests.filter(({ metadata }) => metadata.labels?.grafana_dashboard === "1");
  expect(boards.map(({ metadata }) => metadata.name.replace("tm-task-master-pro-", "")).sort()).toEqual([
    "agents",
    "backups",
    "database",
    "overview",
    "service-levels",
  ]);
  for (const { metadata, data } of boards) {
    expect(metadata.annotations.grafana_folder).toBe("Tasks");
    expect(Object.keys(data)).toEqual([`${metadata.name}.json`]);
    expect(JSON.parse(data[`${metadata.name}.json`]).panels.length).toBeGreaterThan(5);
  }
  expect(render(external).some(({ metadata }) => metadata.labels?.grafana_dashboard)).toBe(false);
});

test("more objects may be texts with templates, and names never outgrow what a CronJob may have", () => {
  const extra = [
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "one" } },
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-two\n",
  ];
  const manifests = render({
    ...external,
    ...everything,
    extraObjects: extra,
    fullnameOverride: "a".repeat(60),
  });
  find(manifests, "ConfigMap", "one");
  find(manifests, "ConfigMap", "tm-two");
  for (const { kind, metadata } of manifests)
    expect(metadata.name.length, kind).toBeLessThanOrEqual(kind === "CronJob" ? 52 : 63);
});

test("Sentry's DSN comes out of its Secret, to the servers alone", () => {
  const values = {
    ...everything,
    ...external,
    errors: { sentry: { existingSecret: "sentry", environment: "staging" } },
  };
  const named = podsOf(render(values)).flatMap(({ name, spec }) =>
    spec.containers.flatMap(({ env = [] }: Manifest) =>
      env
        .filter((one: Manifest) => one.name.startsWith("SENTRY_"))
        .map((one: Manifest) => ({ pod: name, ...one })),
    ),
  );
  expect(named).toEqual([
    {
      pod: "tm-task-master-pro",
      name: "SENTRY_DSN",
      valueFrom: { secretKeyRef: { name: "sentry", key: "dsn" } },
    },
    { pod: "tm-task-master-pro", name: "SENTRY_ENVIRONMENT", value: "staging" },
  ]);
  expect(JSON.stringify(render(external))).not.toContain("SENTRY_");
});

test("helm test works in a project where it is given a token, and reaches neither the database nor its secrets", () => {
  const without = find(render(external), "Pod", "tm-task-master-pro-test");
  expect(without.spec.containers.map(({ name }: Manifest) => name)).toEqual(["test"]);
  const given = render({ ...external, tests: { existingSecret: "smoke" } });
  const { containers } = find(given, "Pod", "tm-task-master-pro-test").spec;
  expect(containers[1]).toMatchObject({
    name: "smoke",
    args: ["smoke", "http://tm-task-master-pro:80"],
    env: [{ name: "TASKMASTER_TOKEN", valueFrom: { secretKeyRef: { name: "smoke", key: "token" } } }],
  });
  expect(JSON.stringify(containers)).not.toContain("DATABASE_URL");
});

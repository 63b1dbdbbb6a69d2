import { expect, test } from "vitest";
import { bundled, cloudnativePg, external, refuse, render, type Values } from "./render.ts";

const backup = { enabled: true, s3: { bucket: "b" } };

/** Each `fail` and `required` of the chart: values that do not go together, and what it says of them. */
const cases: [what: string, values: Values, said: RegExp][] = [
  ["no database", {}, /database\.external\.existingSecret is needed/],
  [
    "a hook, bundled",
    { ...bundled, migrations: { mode: "hook" } },
    /mode bundled\), and so for ever: use job/,
  ],
  [
    "a hook, CloudNativePG",
    { ...cloudnativePg, migrations: { mode: "hook" } },
    /mode cloudnative-pg\), and so for ever: use job/,
  ],
  ["Argo CD, no session", { ...external, migrations: { mode: "argocd" } }, /needs session\.existingSecret/],
  [
    "Argo CD, no password",
    { ...bundled, migrations: { mode: "argocd" }, session: { existingSecret: "s" } },
    /needs database\.bundled\.existingSecret/,
  ],
  [
    "minimum above maximum",
    { ...external, autoscaling: { enabled: true, minReplicas: 5, maxReplicas: 4 } },
    /minReplicas \(5\) is above autoscaling\.maxReplicas \(4\)/,
  ],
  [
    "metrics that nobody may scrape",
    { ...external, metrics: { serviceMonitor: { enabled: true } } },
    /serviceMonitor\.enabled needs networkPolicy\.metricsFrom/,
  ],
  [
    "a monitor of nothing",
    { ...external, metrics: { enabled: false, serviceMonitor: { enabled: true } } },
    /serviceMonitor\.enabled needs metrics\.enabled/,
  ],
  [
    "rules without the names that they select by",
    { ...external, metrics: { prometheusRule: { enabled: true } } },
    /prometheusRule\.enabled needs metrics\.serviceMonitor\.enabled/,
  ],
  [
    "metrics on the server's own port",
    { ...external, metrics: { port: 3000 } },
    /metrics\.port 3000 is the port that the server itself/,
  ],
  [
    "traces sent nowhere",
    { ...external, tracing: { enabled: true } },
    /tracing\.enabled needs tracing\.endpoint/,
  ],
  ["backups nowhere", { ...external, backup: { enabled: true } }, /needs a place for the backups/],
  [
    "backups in two places",
    { ...external, backup: { ...backup, volume: { enabled: true } } },
    /are both set: backups go to one place/,
  ],
  [
    "a drill of what it cannot open",
    { ...external, backup: { ...backup, ageRecipients: ["age1abc"] } },
    /a drill needs backup\.ageIdentitySecret/,
  ],
  [
    "an archive nowhere",
    { database: { mode: "cloudnative-pg", cloudnativePg: { archive: { enabled: true } } } },
    /needs archive\.destinationPath/,
  ],
  [
    "more synchronous standbys than there are",
    { database: { mode: "cloudnative-pg", cloudnativePg: { instances: 1 } } },
    /synchronousStandbys \(1\) must be below instances \(1\)/,
  ],
  [
    "an Ingress for no host",
    { ...external, ingress: { enabled: true } },
    /ingress\.enabled needs ingress\.hosts/,
  ],
  [
    "an HTTPRoute of no Gateway",
    { ...external, httpRoute: { enabled: true } },
    /httpRoute\.enabled needs httpRoute\.parentRefs/,
  ],
];

test.each(cases)("refused, with the way out: %s", (_what, values, said) => {
  expect(refuse(values)).toMatch(said);
});

test("the drill's key is not asked for where there is no drill", () => {
  const without = { ...backup, ageRecipients: ["age1abc"], drill: { enabled: false } };
  expect(render({ ...external, backup: without })).not.toHaveLength(0);
});

test.each([
  ["at the top", { replicas: 3 }],
  ["within", { image: { version: "1" } }],
  ["deep within", { database: { external: { existingSecret: "db", url: "postgres://a:b@c/d" } } }],
  ["a setting that the program does not have", { config: { TASKMASTER_RATE_LIMT_MAX: 5 } }],
  ["a secret among the settings", { config: { TASKMASTER_SESSION_SECRET: "x" } }],
  ["in a part of Kubernetes", { probes: { startup: { periodSecond: 3 } } }],
])("the schema refuses an unknown key: %s", (_where, values) => {
  expect(refuse({ ...external, ...values })).toMatch(/additional properties .* not allowed/);
});

test.each([
  ["database.mode", { database: { mode: "mysql" } }],
  ["a digest", { image: { digest: "latest" } }],
  ["a schedule", { backup: { schedule: "hourly" } }],
  ["a count", { replicaCount: "two" }],
  [
    "a promise that no window could call for",
    { metrics: { prometheusRule: { objectives: { latency: 0.9 } } } },
  ],
])("the schema refuses a wrong value: %s", (_what, values) => {
  expect(refuse({ ...external, ...values })).toMatch(/don't meet the specifications of the schema/);
});

import { expect, test } from "vitest";
import { find, type Manifest, refuse, render, type Values } from "./render.ts";

const region = {
  name: "south",
  primary: "north",
  serverNames: ["db.south.example"],
  peer: {
    name: "north",
    host: "db.north.example",
    caSecret: "north-ca",
    replicationSecret: "north-replication",
  },
};
const database = (changes: Values = {}) => ({
  mode: "cloudnative-pg",
  cloudnativePg: { existingSecret: "taskmaster", region: { ...region, ...changes } },
});
const everything = {
  session: { existingSecret: "session" },
  autoscaling: { enabled: true, minReplicas: 3 },
  backup: { enabled: true, s3: { bucket: "b" } },
  metrics: { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } },
  networkPolicy: { metricsFrom: [{ podSelector: {} }] },
};
const standby = render({ ...everything, database: database() });
const primary = render({
  ...everything,
  database: database({ primary: "south", promotionToken: "dG9rZW4=" }),
});
const cluster = (manifests: Manifest[]) => find(manifests, "Cluster", "tm-task-master-pro-db").spec;
const namesOf = (manifests: Manifest[], ...kinds: string[]) =>
  manifests
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`);

test("a standby's database follows the other region's, whose server it makes sure of", () => {
  expect(cluster(standby)).toMatchObject({
    bootstrap: {
      pg_basebackup: {
        source: "north",
        database: "taskmaster",
        owner: "taskmaster",
        secret: { name: "taskmaster" },
      },
    },
    replica: { self: "south", primary: "north", source: "north" },
    certificates: { serverAltDNSNames: ["db.south.example"] },
  });
  expect(cluster(standby).bootstrap.initdb).toBeUndefined();
  expect(cluster(standby).externalClusters[1]).toEqual({
    name: "north",
    connectionParameters: {
      host: "db.north.example",
      port: "5432",
      user: "streaming_replica",
      dbname: "postgres",
      sslmode: "verify-full",
    },
    sslRootCert: { name: "north-ca", key: "ca.crt" },
    sslCert: { name: "north-replication", key: "tls.crt" },
    sslKey: { name: "north-replication", key: "tls.key" },
  });
});

test("in a standby nothing writes: no server, no migration, no backup by the hour, and nobody is woken for it", () => {
  expect(find(standby, "Deployment", "tm-task-master-pro").spec.replicas).toBe(0);
  expect(
    namesOf(
      standby,
      "HorizontalPodAutoscaler",
      "PodDisruptionBudget",
      "Job",
      "Pod",
      "PrometheusRule",
      "StatefulSet",
    ),
  ).toEqual([]);
  expect(namesOf(standby, "Deployment")).toEqual(["Deployment tm-task-master-pro"]);
  for (const { spec, metadata } of standby.filter(({ kind }) => kind === "CronJob"))
    expect(spec.suspend, metadata.name).toBe(true);
});

test("the region that takes over is as any other, and says by what token it does", () => {
  expect(cluster(primary).replica).toEqual({
    self: "south",
    primary: "south",
    source: "north",
    promotionToken: "dG9rZW4=",
  });
  expect(cluster(primary).bootstrap.pg_basebackup).toBeUndefined();
  // The role's password comes with the data, so that it is the same in both regions; so is the Secret that says it.
  expect(cluster(primary).bootstrap.initdb.secret).toEqual({ name: "taskmaster" });
  const { env } = find(primary, "Deployment", "tm-task-master-pro").spec.template.spec.containers[0];
  expect(env[0].valueFrom.secretKeyRef).toEqual({ name: "taskmaster", key: "uri" });
  const alone = render({ ...everything, database: { mode: "cloudnative-pg" } });
  const kinds = (manifests: Manifest[]) => manifests.map(({ kind }) => kind).sort();
  expect(kinds(primary)).toEqual(kinds(alone));
  expect(find(primary, "Deployment", "tm-task-master-pro").spec.replicas).toBeUndefined();
  expect(cluster(alone).replica).toBeUndefined();
  expect(cluster(alone).externalClusters).toBeUndefined();
});

test.each([
  [
    "of a third region",
    { primary: "west" },
    /primary \(west\) must be this region \(south\) or its peer \(north\)/,
  ],
  ["without a way to its peer", { peer: { name: "north" } }, /needs region\.peer/],
  ["that is its own peer", { peer: { ...region.peer, name: "south" }, primary: "south" }, /another name/],
  ["with a token, and yet a standby", { promotionToken: "dG9rZW4=" }, /is for the region that takes over/],
])("refuses a region %s", (_what, changes, message) => {
  expect(refuse({ ...everything, database: database(changes) })).toMatch(message);
});

test("refuses a region whose sessions or passwords end with a failover, or whose database no other can follow", () => {
  expect(refuse({ database: database() })).toMatch(/needs session\.existingSecret/);
  const generated = { mode: "cloudnative-pg", cloudnativePg: { region } };
  expect(refuse({ ...everything, database: generated })).toMatch(
    /needs database\.cloudnativePg\.existingSecret/,
  );
  expect(refuse({ ...everything, database: { ...database(), mode: "bundled" } })).toMatch(
    /needs database\.mode cloudnative-pg/,
  );
});

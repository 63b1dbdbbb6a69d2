import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createWorld,
  deployment,
  images,
  nextMigration,
  release,
  say,
  seconds,
  underLoad,
  type World,
} from "./cluster.ts";

let world: World;
let client: Client;
let secret: unknown;

beforeAll(async () => {
  world = await createWorld("external", ["--set", "database.external.existingSecret=database"]);
  await world.apply(await readFile(new URL("postgres.yaml", import.meta.url), "utf8"));
  await world.kubectl("rollout", "status", "deployment/postgres", "--timeout=120s");
});
afterAll(async () => {
  if (process.env.E2E_KEEP === undefined) await world.close();
});

const imagesOfPods = async () => {
  const { items } = await world.get("pods", "-l", "app.kubernetes.io/component=server");
  return items
    .filter(
      ({ metadata }: { metadata: { deletionTimestamp?: string } }) =>
        metadata.deletionTimestamp === undefined,
    )
    .map(({ spec }: { spec: { containers: { image: string }[] } }) => spec.containers[0]?.image);
};
const migrations = async () =>
  await world.kubectl(
    ...["exec", "deployment/postgres", "--", "psql", "-U", "taskmaster", "-d", "taskmaster", "-Atc"],
    "SELECT migration_name FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY 1",
  );

test("installs: the hook migrates first, then a sample goes in and out through the ingress", async () => {
  say(`installed in ${await world.deploy(images.current)} s`);
  const job = await world.get("job", `${deployment}-migrate`);
  const { metadata } = await world.get("deployment", deployment);
  expect(job.status.succeeded).toBe(1);
  expect(Date.parse(metadata.creationTimestamp)).toBeGreaterThanOrEqual(
    Date.parse(job.status.completionTime),
  );

  secret = (await world.get("secret", `${deployment}-session`)).data;
  client = await connect(world);
  const sample = await readFile(new URL("../../examples/tasks.json", import.meta.url), "utf8");
  expect(await client.call("POST", "/projects", { key: "SAMPLE", name: "Sample" })).toMatchObject({
    status: 201,
  });
  expect((await client.call("POST", "/projects/SAMPLE/import", sample)).status).toBeLessThan(300);
  expect((await client.call("GET", "/projects/SAMPLE/export")).body).toEqual(JSON.parse(sample));
  expect(await client.call("POST", "/projects", { key: "LOAD", name: "Load" })).toMatchObject({
    status: 201,
  });

  const tested = await world.helm("test", release, "--logs");
  expect(tested.stdout, tested.stderr).toContain("ok: no token, no entry");
});

test("upgrades to a release with a migration under load, without a failed request", async () => {
  const { load } = await underLoad(world, client, "LOAD", async () => {
    say(`upgraded in ${await world.deploy(images.next)} s`);
  });
  expect(load, load.complaints).toMatchObject({ failed: 0 });
  expect(load.requests).toBeGreaterThan(10 * load.rate);

  expect(await migrations()).toContain(nextMigration);
  const job = await world.get("job", `${deployment}-migrate`);
  expect(job.status).toMatchObject({ succeeded: 1 });
  expect(job.status.failed ?? 0).toBe(0);
  // The new pods came after the migration.
  const { items } = await world.get("replicasets", "-l", "app.kubernetes.io/component=server");
  const newest = items.find(
    (one: { spec: { template: { spec: { containers: { image: string }[] } } } }) =>
      one.spec.template.spec.containers[0]?.image === images.next,
  );
  expect(Date.parse(newest.metadata.creationTimestamp)).toBeGreaterThanOrEqual(
    Date.parse(job.status.completionTime),
  );
  expect(new Set(await imagesOfPods())).toEqual(new Set([images.next]));
});

test("kubectl rollout undo goes back in minutes under load, and the next upgrade is clean", async () => {
  const { load } = await underLoad(world, client, "LOAD", async () => {
    const started = performance.now();
    await world.kubectl("rollout", "undo", `deployment/${deployment}`);
    await world.kubectl("rollout", "status", `deployment/${deployment}`, "--timeout=290s");
    const took = seconds(started);
    say(`rollout undo: back in ${took} s`);
    expect(took).toBeLessThan(300);
  });
  expect(load, load.complaints).toMatchObject({ failed: 0 });
  expect(new Set(await imagesOfPods())).toEqual(new Set([images.current]));
  // The schema stays; the release before runs on it.
  expect(await migrations()).toContain(nextMigration);
  // The undo made kubectl the owner of the image's name; Helm says so, rather than take it silently.
  await expect(world.deploy(images.next)).rejects.toThrow(/conflict with "kubectl/);
  say(`upgraded again in ${await world.deploy(images.next, "--force-conflicts")} s`);
  expect(new Set(await imagesOfPods())).toEqual(new Set([images.next]));
});

test("helm rollback goes back in minutes under load, and the next upgrade is clean", async () => {
  const { load } = await underLoad(world, client, "LOAD", async () => {
    const started = performance.now();
    const done = await world.helm("rollback", release, "1", "--wait", "--timeout=290s");
    const took = seconds(started);
    expect(done.code, done.stderr).toBe(0);
    say(`helm rollback: back in ${took} s`);
    expect(took).toBeLessThan(300);
  });
  expect(load, load.complaints).toMatchObject({ failed: 0 });
  expect(new Set(await imagesOfPods())).toEqual(new Set([images.current]));
  say(`upgraded again in ${await world.deploy(images.next)} s`);
  expect(new Set(await imagesOfPods())).toEqual(new Set([images.next]));
});

test("a release that does not start stops its rollout, the old pods serve, and the release comes back by itself", async () => {
  const { load, result } = await underLoad(world, client, "LOAD", async () =>
    world.upgrade(images.broken, "--rollback-on-failure", "--timeout=45s"),
  );
  expect(result.code).not.toBe(0);
  expect(load, load.complaints).toMatchObject({ failed: 0 });
  await world.kubectl("rollout", "status", `deployment/${deployment}`, "--timeout=60s");
  expect(new Set(await imagesOfPods())).toEqual(new Set([images.next]));
  const history = JSON.parse((await world.helm("history", release, "-o", "json")).stdout);
  expect(history.slice(-2)).toMatchObject([{ status: "failed" }, { status: "deployed" }]);
});

test("a migration that fails stops the upgrade before the servers, keeps its log, and the next upgrade heals", async () => {
  const { load, result } = await underLoad(world, client, "LOAD", async () =>
    world.upgrade(images.failing, "--set", "migrations.backoffLimit=0"),
  );
  expect(result.code).not.toBe(0);
  expect(load, load.complaints).toMatchObject({ failed: 0 });
  expect(await world.kubectl("logs", `job/${deployment}-migrate`)).toContain("division by zero");
  expect(new Set(await imagesOfPods())).toEqual(new Set([images.next]));
  say(`healed in ${await world.deploy(images.next)} s`);
});

test("through all of it the sample is as it was, and the session's secret as well", async () => {
  const sample = await readFile(new URL("../../examples/tasks.json", import.meta.url), "utf8");
  expect((await client.call("GET", "/projects/SAMPLE/export")).body).toEqual(JSON.parse(sample));
  expect((await world.get("secret", `${deployment}-session`)).data).toEqual(secret);
});

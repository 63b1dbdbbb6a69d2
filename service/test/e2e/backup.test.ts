import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createWorld,
  deployment,
  images,
  must,
  pause,
  say,
  seconds,
  type World,
  waitUntilServed,
} from "./cluster.ts";

let store: World;
let world: World;
let client: Client;
const values = () => [
  ...["--set", "database.mode=bundled,replicaCount=1,backup.enabled=true,backup.s3.bucket=backups"],
  // Only when they are asked for.
  ...["--set", "backup.schedule=0 0 1 1 *,backup.drill.schedule=0 0 1 1 *"],
  ...["--set", `backup.s3.endpoint=http://minio.${store.namespace}:9000,backup.s3.existingSecret=s3`],
];

beforeAll(async () => {
  store = await createWorld("store", []);
  const minio = await readFile(new URL("minio.yaml", import.meta.url), "utf8");
  await store.apply(minio);
  await store.kubectl("rollout", "status", "deployment/minio", "--timeout=120s");
  world = await createWorld("backup", values());
  await world.kubectl("create", "secret", "generic", "s3", ...keys);
});
afterAll(async () => {
  if (process.env.E2E_KEEP !== undefined) return;
  await world.close();
  await store.close();
});

const keys = ["--from-literal=AWS_ACCESS_KEY_ID=e2e", "--from-literal=AWS_SECRET_ACCESS_KEY=e2e-only-secret"];

/** Runs a Job of one of the release's CronJobs to its end. */
async function runJob(from: string, name: string): Promise<{ ok: boolean; log: string }> {
  await world.kubectl("create", "job", name, `--from=cronjob/${deployment}-${from}`);
  for (;;) {
    const { status } = await world.get("job", name);
    if (status.succeeded === 1 || (status.failed ?? 0) > 0) {
      const log = await world.kubectl("logs", `job/${name}`, "--all-containers");
      return { ok: status.succeeded === 1, log };
    }
    await pause(1000);
  }
}
let exported: unknown;

test("the CronJob backs up to MinIO, and the drill proves it", async () => {
  await world.deploy(images.current);
  client = await connect(world);
  const sample = await readFile(new URL("../../examples/tasks.json", import.meta.url), "utf8");
  expect(await client.call("POST", "/projects", { key: "SAMPLE", name: "Sample" })).toMatchObject({
    status: 201,
  });
  expect((await client.call("POST", "/projects/SAMPLE/import", sample)).status).toBeLessThan(300);
  exported = (await client.call("GET", "/projects/SAMPLE/export")).body;
  const backup = await runJob("backup", "backup-1");
  expect(backup.ok, backup.log).toBe(true);
  const drill = await runJob("drill", "drill-1");
  expect(drill.ok, drill.log).toBe(true);
  say(/RTO .*/.exec(drill.log)?.[0] ?? "no RTO");
});

test("the namespace is wiped, and the backup brings everything back", async () => {
  await world.close();
  const started = performance.now();
  world = await createWorld("backup", values());
  await world.kubectl("create", "secret", "generic", "s3", ...keys);
  await world.deploy(images.current, "--set", "migrations.enabled=false,replicaCount=0");
  const restore = await runJob("restore", "restore-1");
  expect(restore.ok, restore.log).toBe(true);
  expect(restore.log).toContain("every count and hash equal");
  await world.deploy(images.current);
  await waitUntilServed(world);
  say(`from an empty namespace to serving in ${seconds(started)} s`);
  // The token is of before.
  expect((await client.call("GET", "/projects/SAMPLE/export")).body).toEqual(exported);
});

test("a damaged backup turns the drill red, and says what is damaged", async () => {
  await must("kubectl", [
    ...["-n", store.namespace, "exec", "deployment/minio", "--", "sh", "-c"],
    "rm -rf $(ls -d /data/backups/2*/data/*.dat.gz | head -n 1)",
  ]);
  const drill = await runJob("drill", "drill-2");
  expect(drill.ok, drill.log).toBe(false);
  expect(drill.log).toMatch(/missing|damaged|not there/i);
});

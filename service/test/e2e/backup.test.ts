import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createObjectStore,
  createWorld,
  damageBackup,
  images,
  type ObjectStore,
  runJob,
  say,
  seconds,
  type World,
  waitUntilServed,
} from "./cluster.ts";

let store: ObjectStore;
let world: World;
let client: Client;
const values = () => [
  ...["--set", "database.mode=bundled,replicaCount=1,backup.enabled=true,backup.s3.bucket=backups"],
  // Only when they are asked for.
  ...["--set", "backup.schedule=0 0 1 1 *,backup.drill.schedule=0 0 1 1 *"],
  ...["--set", `backup.s3.endpoint=${store.endpoint},backup.s3.existingSecret=s3`],
];

beforeAll(async () => {
  store = await createObjectStore("store");
  world = await createWorld("backup", values());
  await store.admit(world);
});
afterAll(async () => {
  if (process.env.E2E_KEEP !== undefined) return;
  await world.close();
  await store.world.close();
});

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
  const backup = await runJob(world, "backup", "backup-1");
  expect(backup.ok, backup.log).toBe(true);
  const drill = await runJob(world, "drill", "drill-1");
  expect(drill.ok, drill.log).toBe(true);
  say(/RTO .*/.exec(drill.log)?.[0] ?? "no RTO");
});

test("the namespace is wiped, and the backup brings everything back", async () => {
  await world.close();
  const started = performance.now();
  world = await createWorld("backup", values());
  await store.admit(world);
  await world.deploy(images.current, "--set", "migrations.enabled=false,replicaCount=0");
  const restore = await runJob(world, "restore", "restore-1");
  expect(restore.ok, restore.log).toBe(true);
  expect(restore.log).toContain("every count and hash equal");
  await world.deploy(images.current);
  await waitUntilServed(world);
  say(`from an empty namespace to serving in ${seconds(started)} s`);
  // The token is of before.
  expect((await client.call("GET", "/projects/SAMPLE/export")).body).toEqual(exported);
});

test("a damaged backup turns the drill red, and says what is damaged", async () => {
  await damageBackup(store);
  const drill = await runJob(world, "drill", "drill-2");
  expect(drill.ok, drill.log).toBe(false);
  expect(drill.log).toMatch(/missing|damaged|not there/i);
});

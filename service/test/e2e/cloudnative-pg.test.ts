import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createObjectStore,
  createWorld,
  deployment,
  images,
  type ObjectStore,
  pause,
  release,
  say,
  since,
  startWriters,
  titlesOf,
  until,
  type World,
} from "./cluster.ts";

let store: ObjectStore;
let world: World;
let client: Client;

beforeAll(async () => {
  store = await createObjectStore("archive");
  // Small, as three of them share the machine with everything else.
  const small = "resources.requests.cpu=50m,resources.requests.memory=128Mi,storage.size=1Gi";
  const values = small.split(",").map((one) => `database.cloudnativePg.${one}`);
  world = await createWorld("cnpg", [
    "--set",
    ["database.mode=cloudnative-pg,replicaCount=1", ...values].join(","),
    // By the operator itself: the plugin is a Deployment of its own, which is not here.
    ...["--set", "database.cloudnativePg.archive.enabled=true,database.cloudnativePg.archive.method=in-tree"],
    ...["--set", "database.cloudnativePg.archive.destinationPath=s3://backups/archive"],
    ...["--set", `database.cloudnativePg.archive.endpointURL=${store.endpoint}`],
    ...["--set", "database.cloudnativePg.archive.existingSecret=s3"],
  ]);
  await store.admit(world);
});
afterAll(async () => {
  if (process.env.E2E_KEEP !== undefined) return;
  await world.close();
  await store.world.close();
});

test("installs with a cluster of three by the operator", async () => {
  say(`installed in ${await world.deploy(images.current)} s`);
  client = await connect(world);
  const sample = await readFile(new URL("../../examples/tasks.json", import.meta.url), "utf8");
  expect(await client.call("POST", "/projects", { key: "SAMPLE", name: "Sample" })).toMatchObject({
    status: 201,
  });
  expect((await client.call("POST", "/projects/SAMPLE/import", sample)).status).toBeLessThan(300);
  expect((await client.call("GET", "/projects/SAMPLE/export")).body).toEqual(JSON.parse(sample));
  const tested = await world.helm("test", release, "--logs");
  expect(tested.stdout, tested.stderr).toContain("ok: no token, no entry");
  await world.kubectl("wait", "--for=condition=Ready", `cluster/${deployment}-db`, "--timeout=300s");
});

test("the primary is deleted while clients write: they go on soon, and nothing that was acknowledged is lost", async () => {
  expect(await client.call("POST", "/projects", { key: "FAIL", name: "Failover" })).toMatchObject({
    status: 201,
  });
  const primary = (await world.get("cluster", `${deployment}-db`)).status.currentPrimary as string;
  const { acknowledged, outcomes, stop } = startWriters(client, "FAIL", 3);
  await pause(5000);
  const deleted = performance.now();
  await world.kubectl("delete", "pod", primary, "--grace-period=0", "--force");
  const failedAfter = () => outcomes.filter(({ at, ok }) => at > deleted && !ok);
  // Until another instance is the primary and writes have gone on for a while; a minute is too long.
  let promoted = false;
  for (let i = 0; i < 120; i += 1) {
    await pause(500);
    promoted = (await world.get("cluster", `${deployment}-db`)).status.currentPrimary !== primary;
    const last = failedAfter().at(-1)?.at ?? deleted;
    if (promoted && outcomes.filter(({ at, ok }) => ok && at > last).length > 10) break;
  }
  await stop();
  expect(promoted).toBe(true);
  expect(outcomes.filter(({ at, ok }) => ok && at > deleted).length).toBeGreaterThan(10);
  const { refused, gap } = since(outcomes, deleted);
  say(
    `the longest time without a write was ${gap} s; ${acknowledged.length} were acknowledged, ${refused} refused`,
  );

  const kept = await titlesOf(client, "FAIL");
  expect(acknowledged.filter((title) => !kept.includes(title))).toEqual([]);
  expect(kept.length).toBe(new Set(kept).size);
});

test("every change is archived to S3, and the first base backup is there without waiting for its hour", async () => {
  const name = `${deployment}-db`;
  await world.kubectl("wait", "--for=condition=ContinuousArchiving", `cluster/${name}`, "--timeout=120s");
  const took = await until("a base backup is complete", 180, async () => {
    const { items } = await world.get("backups.postgresql.cnpg.io");
    expect(items).toHaveLength(1);
    return items[0].status?.phase === "completed";
  });
  say(`the base backup was complete ${took} s later`);
  const segment = await world.kubectl(
    ...["exec", (await world.get("cluster", name)).status.currentPrimary, "-c", "postgres", "--"],
    ...["psql", "-Atc", "SELECT pg_walfile_name(pg_switch_wal())", "taskmaster"],
  );
  const kept = async () =>
    await store.world.kubectl("exec", "deployment/minio", "--", "ls", "-R", "/data/backups/archive");
  await until("the last segment is archived", 60, async () => (await kept()).includes(segment.trim()));
  expect(await kept()).toContain("data.tar.gz");
});

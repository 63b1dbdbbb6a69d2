import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createWorld,
  deployment,
  images,
  pause,
  release,
  say,
  since,
  startWriters,
  titlesOf,
  type World,
} from "./cluster.ts";

let world: World;
let client: Client;

beforeAll(async () => {
  // Small, as three of them share the machine with everything else.
  const small = "resources.requests.cpu=50m,resources.requests.memory=128Mi,storage.size=1Gi";
  const values = small.split(",").map((one) => `database.cloudnativePg.${one}`);
  world = await createWorld("cnpg", [
    "--set",
    ["database.mode=cloudnative-pg,replicaCount=1", ...values].join(","),
  ]);
});
afterAll(async () => {
  if (process.env.E2E_KEEP === undefined) await world.close();
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

import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createWorld,
  deployment,
  images,
  release,
  say,
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
  const acknowledged: string[] = [];
  const outcomes: { at: number; ok: boolean }[] = [];
  let on = true;
  const writers = [0, 1, 2].map(async (writer) => {
    for (let number = 0; on; number += 1) {
      const title = `${writer}-${number}`;
      const answer = await client
        .call("POST", "/projects/FAIL/tags/master/tasks", { title })
        .catch(() => ({ status: 0 }));
      if (answer.status === 201) acknowledged.push(title);
      outcomes.push({ at: performance.now(), ok: answer.status === 201 });
    }
  });
  const wait = async (ms: number) => await new Promise((resolve) => setTimeout(resolve, ms));
  await wait(5000);
  const deleted = performance.now();
  await world.kubectl("delete", "pod", primary, "--grace-period=0", "--force");
  const failedAfter = () => outcomes.filter(({ at, ok }) => at > deleted && !ok);
  // Until another instance is the primary and writes have gone on for a while; a minute is too long.
  let promoted = false;
  for (let i = 0; i < 120; i += 1) {
    await wait(500);
    promoted = (await world.get("cluster", `${deployment}-db`)).status.currentPrimary !== primary;
    const last = failedAfter().at(-1)?.at ?? deleted;
    if (promoted && outcomes.filter(({ at, ok }) => ok && at > last).length > 10) break;
  }
  on = false;
  await Promise.all(writers);
  expect(promoted).toBe(true);
  const times = outcomes.filter(({ at, ok }) => ok && at > deleted).map(({ at }) => at);
  const gaps = times.map((at, i) => at - (times[i - 1] ?? deleted));
  expect(gaps.length).toBeGreaterThan(10);
  say(
    `the longest time without a write was ${(Math.max(...gaps) / 1000).toFixed(1)} s; ${acknowledged.length} were acknowledged, ${failedAfter().length} refused`,
  );

  const exported = (await client.call("GET", "/projects/FAIL/export")).body as {
    master: { tasks: { title: string }[] };
  };
  const kept = new Set(exported.master.tasks.map(({ title }) => title));
  expect(acknowledged.filter((title) => !kept.has(title))).toEqual([]);
});

import { spawn } from "node:child_process";
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
  run,
  say,
  seconds,
  since,
  startWriters,
  titlesOf,
  underLoad,
  until,
  type World,
} from "./cluster.ts";

let world: World;
let client: Client;
let secret: unknown;
let node: string;

const least = 2;
const most = 4;
// A second: well above what the target lets two pods have, and no more, as the load, the ingress, the database and the pods
// may share two cores.
const rate = 40;
// The drain finds pods by their labels in all namespaces.
const ours = "app.kubernetes.io/component=server,e2e-world=scaling";

beforeAll(async () => {
  world = await createWorld("scaling", [
    ...["--set", "database.external.existingSecret=database,podLabels.e2e-world=scaling"],
    ...["--set", `autoscaling.enabled=true,autoscaling.minReplicas=${least},autoscaling.maxReplicas=${most}`],
    // A pod that has to wait for its CPU is not one that went.
    ...["--set", "probes.readiness.timeoutSeconds=10"],
    // Down within the time that a test has. Up is as the chart has it.
    ...["--set", "autoscaling.behavior.scaleDown.stabilizationWindowSeconds=15"],
    ...[
      "--set-json",
      'autoscaling.behavior.scaleDown.policies=[{"type":"Pods","value":4,"periodSeconds":15}]',
    ],
  ]);
  await world.apply(await readFile(new URL("postgres.yaml", import.meta.url), "utf8"));
  await world.kubectl("rollout", "status", "deployment/postgres", "--timeout=120s");
});
afterAll(async () => {
  if (node !== undefined) await must("kubectl", ["uncordon", node]);
  if (process.env.E2E_KEEP === undefined) await world.close();
});

interface Pod {
  metadata: { name: string; deletionTimestamp?: string };
  spec: { nodeName?: string };
  status: { conditions?: { type: string; status: string }[] };
}
const pods = async (): Promise<Pod[]> => {
  const { items } = await world.get("pods", "-l", ours);
  return items.filter(({ metadata }: Pod) => metadata.deletionTimestamp === undefined);
};
const isReady = ({ status }: Pod) =>
  status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
const replicas = async (): Promise<{ wanted: number; ready: number }> => {
  const { spec, status } = await world.get("deployment", deployment);
  return { wanted: spec.replicas, ready: status.readyReplicas ?? 0 };
};
const has = async (count: number) => {
  const { wanted, ready } = await replicas();
  return wanted === count && ready === count;
};

/** Every number of pods that the Deployment wanted and had ready while the work was done: a watch misses none. */
async function watched<T>(work: () => Promise<T>): Promise<{ wanted: Set<number>; ready: Set<number> }> {
  const child = spawn("kubectl", [
    ...["-n", world.namespace, "get", "deployment", deployment, "--watch", "-o"],
    'jsonpath={.spec.replicas} {.status.readyReplicas}{"\\n"}',
  ]);
  let seen = "";
  child.stdout.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
  });
  try {
    await until("the watch begins", 30, async () => seen.includes("\n"));
    await work();
    expect(child.exitCode, "the watch went on to the end").toBeNull();
  } finally {
    child.kill();
  }
  const lines = seen.split("\n").filter((line) => line !== "");
  return {
    wanted: new Set(lines.map((line) => Number(line.split(" ")[0]))),
    ready: new Set(lines.map((line) => Number(line.split(" ")[1]))),
  };
}

test("installs, and the autoscaler takes over with the least number of pods", async () => {
  say(`installed in ${await world.deploy(images.current)} s`);
  await until(`${least} pods are ready`, 120, async () => await has(least));
  secret = (await world.get("secret", `${deployment}-session`)).data;
  client = await connect(world);
  for (const key of ["LOAD", "KILLED"]) {
    const made = await client.call("POST", "/projects", { key, name: key });
    expect(made).toMatchObject({ status: 201 });
  }
});

test("load scales up, and an upgrade under it keeps the autoscaler's number, without a failed request", async () => {
  const { load } = await underLoad(
    world,
    client,
    "LOAD",
    async () => {
      const took = await until(`${most} pods are ready`, 300, async () => await has(most));
      say(`scaled from ${least} to ${most} ready pods in ${took} s`);
      // Once with nothing new in it, once with new pods.
      for (const image of [images.current, images.next]) {
        const { wanted, ready } = await watched(async () => {
          say(`upgraded in ${await world.deploy(image)} s`);
        });
        expect(wanted).toEqual(new Set([most]));
        expect(Math.min(...ready)).toBeGreaterThanOrEqual(most);
      }
    },
    rate,
  );
  expect(load, load.complaints).toMatchObject({ failed: 0 });
});

test("a drain takes one pod, waits for the one in its place, and no request fails", async () => {
  const { load } = await underLoad(
    world,
    client,
    "LOAD",
    async () => {
      await until(`${most} pods are ready`, 120, async () => await has(most));
      const before = (await pods()).map(({ metadata }) => metadata.name);
      node = (await pods())[0]?.spec.nodeName as string;
      const { ready } = await watched(async () => {
        const started = performance.now();
        const drain = run("kubectl", [
          ...["drain", node, `--pod-selector=${ours}`, "--delete-emptydir-data", "--timeout=240s"],
        ]);
        try {
          await until("a pod is evicted", 30, async () =>
            (await pods()).some(({ spec }) => spec.nodeName === undefined),
          );
          // It tries again every five seconds, and there is no node for the pod in the place of the first.
          await pause(15_000);
          const now = await pods();
          const left = now.filter(({ metadata }) => before.includes(metadata.name));
          expect(left.filter(isReady)).toHaveLength(most - 1);
          expect(now.filter(({ spec }) => spec.nodeName === undefined)).toHaveLength(1);
        } finally {
          await must("kubectl", ["uncordon", node]);
        }
        // Now the one in its place has a node, and the drain goes on with the next pod.
        const { code, stdout, stderr } = await drain;
        say(`drained in ${seconds(started)} s`);
        expect(code, stderr).toBe(0);
        for (const name of before) expect(stdout).toContain(`pod/${name} evicted`);
        const refusals = stderr.match(/Cannot evict pod as it would violate the pod's disruption budget/g);
        say(`${refusals?.length ?? 0} evictions were refused`);
        // At least each of the others once while there was no node.
        expect(refusals?.length, stderr).toBeGreaterThanOrEqual(most - 1);
        await until(`${most} pods are ready`, 120, async () => await has(most));
      });
      expect(Math.min(...ready)).toBe(most - 1);
    },
    rate,
  );
  expect(load, load.complaints).toMatchObject({ failed: 0 });
});

test("quiet scales down to the least number, without a failed request", async () => {
  const quiet = async () => {
    const took = await until(`${least} pods are left`, 300, async () => await has(least));
    say(`scaled from ${most} to ${least} pods in ${took} s`);
  };
  const { load } = await underLoad(world, client, "LOAD", quiet, 2);
  expect(load, load.complaints).toMatchObject({ failed: 0 });
});

test("fifty pods are killed without grace while clients write: what was acknowledged is there, once", async () => {
  // By the autoscaler's bounds: one that is taken away may scale once more, after Helm has set a fixed number.
  await world.deploy(
    images.next,
    ...["--set", "autoscaling.minReplicas=3,autoscaling.maxReplicas=3"],
    // So that there is soon another one to be killed.
    ...["--set", "probes.startup.periodSeconds=1,probes.readiness.periodSeconds=1"],
  );
  await until("3 pods are ready", 120, async () => await has(3));
  const { acknowledged, outcomes, stop } = startWriters(client, "KILLED", 6);
  const started = performance.now();
  const killed = new Set<string>();
  try {
    while (killed.size < 50) {
      let name = "";
      await until("a pod is ready", 60, async () => {
        const one = (await pods()).find((pod) => isReady(pod) && !killed.has(pod.metadata.name));
        name = one?.metadata.name ?? "";
        return one !== undefined;
      });
      await world.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false");
      killed.add(name);
      // Others serve, or the next ones do soon.
      const moment = performance.now();
      await until("a write succeeds", 60, async () => outcomes.some(({ at, ok }) => ok && at > moment));
    }
  } finally {
    await stop();
  }
  const { refused, gap } = since(outcomes, started);
  say(`killed ${killed.size} pods in ${seconds(started)} s; the longest time without a write was ${gap} s`);
  say(`${acknowledged.length} writes were acknowledged, ${refused} refused and repeated`);

  const kept = await titlesOf(client, "KILLED");
  expect(acknowledged.filter((title) => !kept.includes(title))).toEqual([]);
  expect(kept.filter((title, i) => kept.indexOf(title) !== i)).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(killed.size);
});

test("through all of it the namespace refused no pod, and the session's secret is as it was", async () => {
  const { items } = await world.get("events");
  const refused = items.filter(
    ({ reason, message }: { reason: string; message: string }) =>
      reason === "FailedCreate" || message.includes("PodSecurity"),
  );
  expect(refused).toEqual([]);
  expect((await world.get("secret", `${deployment}-session`)).data).toEqual(secret);
});

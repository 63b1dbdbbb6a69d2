import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createObjectStore,
  createWorld,
  damageBackup,
  deployment,
  forward,
  images,
  must,
  type ObjectStore,
  pause,
  release,
  run,
  runJob,
  say,
  until,
  type World,
} from "./cluster.ts";

let store: ObjectStore;
let world: World;
let client: Client;
let prometheus: Awaited<ReturnType<typeof forward>>;

beforeAll(async () => {
  store = await createObjectStore("watched-store");
  // A name of its own each time: Prometheus remembers for hours what was broken under the last one.
  world = await createWorld(`watched-${Date.now().toString(36)}`, [
    ...["--set", "database.mode=bundled,replicaCount=2"],
    ...["--set", "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.interval=5s"],
    ...["--set", "metrics.prometheusRule.enabled=true,metrics.dashboards.enabled=true"],
    ...["--set-json", 'networkPolicy.metricsFrom=[{"namespaceSelector":{}}]'],
    // The least, as a test waits for it.
    ...["--set", "metrics.prometheusRule.backupMaxAgeSeconds=60"],
    ...["--set", "config.TASKMASTER_STATEMENT_TIMEOUT_SECONDS=2,tests.existingSecret=smoke"],
    // Only when they are asked for.
    ...["--set", "backup.enabled=true,backup.schedule=0 0 1 1 *,backup.drill.schedule=0 0 1 1 *"],
    ...["--set", `backup.s3.bucket=backups,backup.s3.endpoint=${store.endpoint},backup.s3.existingSecret=s3`],
  ]);
  await store.admit(world);
  prometheus = await forward("monitoring", "prometheus-operated", 9090);
});
afterAll(async () => {
  prometheus?.close();
  if (process.env.E2E_KEEP !== undefined) return;
  await world.close();
  await store.world.close();
});

async function ask(path: string): Promise<unknown> {
  const { status, data } = (await (await fetch(`${prometheus.url}/api/v1/${path}`)).json()) as {
    status: string;
    data: unknown;
  };
  expect(status, path).toBe("success");
  return data;
}

/** The value of each series that a query finds in the release's namespace. */
async function query(text: string): Promise<number[]> {
  const { result } = (await ask(`query?query=${encodeURIComponent(text)}`)) as {
    result: { value: [number, string] }[];
  };
  return result.map(({ value }) => Number(value[1]));
}

async function firing(): Promise<string[]> {
  const { alerts } = (await ask("alerts")) as {
    alerts: { labels: Record<string, string>; state: string }[];
  };
  return alerts
    .filter(({ labels, state }) => labels.namespace === world.namespace && state === "firing")
    .map(({ labels }) => labels.alertname ?? "");
}

/** Waits for the alert, and says how long after the fault that was. */
async function fires(name: string, fault: number, limit: number): Promise<void> {
  await until(`${name} fires`, limit, async () => (await firing()).includes(name));
  say(`${name} fired ${Math.round((performance.now() - fault) / 1000)} s after its cause`);
}
const ends = async (name: string, limit: number) =>
  await until(`${name} ends`, limit, async () => !(await firing()).includes(name));

const psql = (statements: string) => [
  ...["-n", world.namespace, "exec", `${deployment}-db-0`, "--"],
  ...["psql", "-U", "taskmaster", "-c", statements],
];
let damaged: number;

test("helm test goes a user's way, with a token out of a Secret", async () => {
  await world.deploy(images.current);
  client = await connect(world);
  await world.kubectl("create", "secret", "generic", "smoke", `--from-literal=token=${client.token}`);
  const tested = await world.helm("test", release, "--logs");
  expect(tested.code, tested.stdout + tested.stderr).toBe(0);
  expect(tested.stdout).toContain("All well");
});

test("Prometheus finds the servers and the backups, knows the rules, and no alert fires while all is well", async () => {
  expect(await client.call("POST", "/projects", { key: "WATCH", name: "Watched" })).toMatchObject({
    status: 201,
  });
  expect((await runJob(world, "backup", "backup-1")).ok).toBe(true);
  expect((await runJob(world, "drill", "drill-1")).ok).toBe(true);
  const here = `namespace="${world.namespace}"`;
  await until("both servers are scraped", 120, async () => {
    const up = await query(`up{${here},job="${deployment}-metrics"}`);
    return up.length === 2 && up.every((value) => value === 1);
  });
  await until("the drill is known", 120, async () => {
    const [success] = await query(`taskmaster_backup_drill_success{${here}}`);
    return success === 1;
  });
  await until("requests are counted, and the levels recorded", 120, async () => {
    // What there was before the first scrape is in no increase.
    await client.call("GET", "/projects");
    const availability = `${here},slo="availability"`;
    const [share] = await query(`job:taskmaster_slo_errors:ratio_rate5m{${availability}}`);
    return share === 0 && (await query(`job:taskmaster_slo_objective:ratio{${here}}`)).length === 4;
  });
  expect(await firing()).toEqual([]);
});

test("a backup is damaged, so that its drill fails, and then no backup succeeds", async () => {
  await damageBackup(store);
  damaged = performance.now();
  expect((await runJob(world, "drill", "drill-2")).ok).toBe(false);
  await world.kubectl(
    ...["patch", "secret", "s3", "-p", '{"stringData":{"AWS_SECRET_ACCESS_KEY":"one-that-opens-nothing"}}'],
  );
  expect((await runJob(world, "backup", "backup-2")).ok).toBe(false);
  // Both alerts wait some minutes; the other faults come meanwhile, and the last test looks.
});

test("a burst of 5xx burns the budget of errors, while the database answers", async () => {
  const fault = performance.now();
  // A table that somebody has locked: every write of a task waits for it until its time is over.
  const locked = run("kubectl", psql("BEGIN; LOCK TABLE tasks; SELECT pg_sleep(60); ROLLBACK;"));
  const statuses: number[] = [];
  const writers = Array.from({ length: 4 }, async () => {
    while (performance.now() - fault < 45_000) {
      const { status } = await client.call("POST", "/projects/WATCH/tags/master/tasks", { title: "Waits" });
      statuses.push(status);
    }
  });
  await fires("TaskmasterAvailabilityBurn", fault, 120);
  expect(await firing()).not.toContain("TaskmasterDatabaseUnreachable");
  await Promise.all([...writers, locked]);
  expect(statuses.filter((status) => status >= 500).length).toBeGreaterThan(10);
});

test("a server that starts again and again is told of, by its name", async () => {
  const { items } = await world.get("pods", "-l", "app.kubernetes.io/component=server");
  const pod = items[0].metadata.name as string;
  const restarts = async () => {
    const { status } = await world.get("pod", pod);
    return status.containerStatuses[0] as { restartCount: number; ready: boolean };
  };
  const fault = performance.now();
  for (let times = 1; times <= 2; times += 1) {
    await world.kubectl("exec", pod, "-c", "server", "--", "node", "-e", "process.kill(1, 'SIGTERM')");
    await until(`restart ${times}`, 120, async () => {
      const { restartCount, ready } = await restarts();
      return restartCount === times && ready;
    });
    // A start that nobody saw is none.
    await pause(7000);
  }
  await fires("TaskmasterCrashLooping", fault, 120);
});

test("a database that is stopped is told of, and that it is back as well", async () => {
  const fault = performance.now();
  await world.kubectl("scale", "statefulset", `${deployment}-db`, "--replicas=0");
  await fires("TaskmasterDatabaseUnreachable", fault, 240);
  await world.kubectl("scale", "statefulset", `${deployment}-db`, "--replicas=1");
  const back = performance.now();
  await ends("TaskmasterDatabaseUnreachable", 120);
  say(`and was over ${Math.round((performance.now() - back) / 1000)} s after the database's start`);
});

test("the alerts on backups have come, and no other than those that were caused", async () => {
  await fires("TaskmasterBackupDrillFailed", damaged, 600);
  await fires("TaskmasterBackupTooOld", damaged, 600);
  const caused = [
    "TaskmasterAvailabilityBurn",
    "TaskmasterBackupDrillFailed",
    "TaskmasterBackupTooOld",
    "TaskmasterCrashLooping",
  ];
  expect([...new Set(await firing())].sort()).toEqual(expect.arrayContaining(caused.slice(0, 3)));
  expect((await firing()).filter((name) => !caused.includes(name))).toEqual([]);
});

test("the report of the service levels has the burst in it, and the route that it was on", async () => {
  const cli = fileURLToPath(new URL("../../src/bin/cli.ts", import.meta.url));
  const report = JSON.parse(
    await must(process.execPath, [
      ...[cli, "slo", "--prometheus", prometheus.url, "--namespace", world.namespace],
      ...["--window", "30m", "--json"],
    ]),
  );
  const [availability] = report.levels;
  expect(availability).toMatchObject({ slo: "availability", objective: 0.999 });
  expect(availability.attained).toBeGreaterThan(0);
  expect(availability.attained).toBeLessThan(0.999);
  expect(availability.budgetRemaining).toBeLessThan(0);
  expect(report.worstRoutes[0]).toMatchObject({
    method: "POST",
    route: "/api/v1/projects/:key/tags/:tag/tasks",
  });
});

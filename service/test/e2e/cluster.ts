import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export const chart = fileURLToPath(new URL("../../../charts/task-master-pro", import.meta.url));
/**
 * The image under test; the one that comes after it, with a migration of its own that it needs; one that migrates and does
 * not start; one whose migration fails; one that is ready and does not do its work.
 */
export const images = {
  current: required("E2E_IMAGE"),
  next: required("E2E_NEXT_IMAGE"),
  broken: required("E2E_BROKEN_IMAGE"),
  failing: required("E2E_FAILING_IMAGE"),
  wrong: required("E2E_WRONG_IMAGE"),
};
export const nextMigration = "20990101000000_e2e";
/** Where the ingress controller listens. */
export const ingress = process.env.E2E_INGRESS ?? "http://127.0.0.1:8080";

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; run the suite by: make e2e`);
  return value;
}

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

export async function run(
  program: string,
  args: string[],
  input?: string,
  environment: Record<string, string> = {},
): Promise<Ran> {
  const child = spawn(program, args, {
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  const ended = collect(child);
  // A program that ends before it has read all breaks the pipe: what is asked is how it ended.
  child.stdin?.on("error", () => undefined).end(input);
  return await ended;
}

async function collect(child: ChildProcess): Promise<Ran> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** The output of a program that must succeed. */
export async function must(program: string, args: string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, input);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`);
  return stdout;
}

export function say(text: string): void {
  process.stdout.write(`      ${text}\n`);
}

/** A namespace with the restricted Pod Security Standard, and a release in it. */
export interface World {
  namespace: string;
  host: string;
  kubectl(...args: string[]): Promise<string>;
  /** The object, or list of objects, that kubectl gets. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever Kubernetes has
  get(...args: string[]): Promise<any>;
  apply(manifest: string): Promise<void>;
  helm(...args: string[]): Promise<Ran>;
  /** helm upgrade --install with the chart and the values. */
  upgrade(image: string, ...args: string[]): Promise<Ran>;
  /** The same, which must succeed; how many seconds it took. */
  deploy(image: string, ...args: string[]): Promise<number>;
  close(): Promise<void>;
}

export const release = "tm";
export const deployment = "tm-task-master-pro";

/** A namespace that is there, or that the test itself will have made; see createWorld. */
export function worldOf(name: string, values: string[]): World {
  const namespace = `e2e-${name}`;
  const host = `${name}.e2e.example`;
  const kubectl = async (...args: string[]) => await must("kubectl", ["-n", namespace, ...args]);
  const helm = async (...args: string[]) => await run("helm", ["-n", namespace, ...args]);
  const upgrade = async (image: string, ...args: string[]) =>
    await helm("upgrade", "--install", release, chart, ...valuesOf(image, host), ...values, ...args);
  return {
    namespace,
    host,
    kubectl,
    helm,
    upgrade,
    apply: async (manifest) => {
      await must("kubectl", ["-n", namespace, "apply", "-f", "-"], manifest);
    },
    get: async (...args) => JSON.parse(await kubectl("get", ...args, "-o", "json")),
    async deploy(image, ...args) {
      const started = performance.now();
      const { code, stderr } = await upgrade(image, ...args);
      if (code !== 0) throw new Error(`helm upgrade failed: ${stderr}`);
      // The server takes a Deployment whose pods it will refuse, and only warns.
      if (stderr.includes("would violate PodSecurity")) throw new Error(`helm upgrade warned: ${stderr}`);
      return seconds(started);
    },
    close: async () => {
      await must("kubectl", ["delete", "namespace", namespace, "--ignore-not-found", "--timeout=180s"]);
    },
  };
}

export async function createWorld(name: string, values: string[]): Promise<World> {
  const world = worldOf(name, values);
  await world.close();
  await world.apply(`
apiVersion: v1
kind: Namespace
metadata:
  name: ${world.namespace}
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/enforce-version: latest
    pod-security.kubernetes.io/warn: restricted
    pod-security.kubernetes.io/warn-version: latest
`);
  return world;
}

/** What every release here has: small, and with a limit that a load does not meet. */
export function valuesOf(image: string, host: string): string[] {
  const [repository, tag] = image.split(":");
  return [
    ...["--wait", "--timeout=5m"],
    ...["--set", `image.repository=${repository},image.tag=${tag}`],
    ...["--set", `ingress.enabled=true,ingress.hosts={${host}}`],
    ...["--set", "resources.requests.cpu=50m,config.TASKMASTER_RATE_LIMIT_MAX=1000000000"],
  ];
}

/** Where a Service can be reached from here, and how to end that. */
export async function forward(
  namespace: string,
  service: string,
  port: number,
): Promise<{ url: string; close(): void }> {
  const child = spawn("kubectl", ["-n", namespace, "port-forward", `service/${service}`, `:${port}`]);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  const address = () => /Forwarding from (127\.0\.0\.1:\d+)/.exec(said)?.[1];
  await until(`${service} is reached`, 30, async () => {
    if (child.exitCode !== null) throw new Error(`kubectl port-forward ended: ${said}`);
    return address() !== undefined;
  });
  return { url: `http://${address()}`, close: () => void child.kill() };
}

export interface ObjectStore {
  world: World;
  endpoint: string;
  /** Makes the Secret `s3` in a namespace, with the keys that open the bucket `backups`. */
  admit(to: World): Promise<void>;
}

/** A MinIO in a namespace of its own, which outlives the namespaces of those who keep something there. */
export async function createObjectStore(name: string): Promise<ObjectStore> {
  const world = await createWorld(name, []);
  await world.apply(await readFile(new URL("minio.yaml", import.meta.url), "utf8"));
  await world.kubectl("rollout", "status", "deployment/minio", "--timeout=120s");
  return {
    world,
    endpoint: `http://minio.${world.namespace}:9000`,
    async admit(to) {
      await to.kubectl(
        ...["create", "secret", "generic", "s3"],
        ...["--from-literal=AWS_ACCESS_KEY_ID=e2e", "--from-literal=AWS_SECRET_ACCESS_KEY=e2e-only-secret"],
      );
    },
  };
}

/** Runs a Job of one of the release's CronJobs to its end. */
export async function runJob(
  world: World,
  from: string,
  name: string,
): Promise<{ ok: boolean; log: string }> {
  await world.kubectl("create", "job", name, `--from=cronjob/${deployment}-${from}`);
  for (;;) {
    const { status } = await world.get("job", name);
    if (status.succeeded === 1 || (status.failed ?? 0) > 0) {
      // A container that comes after the one that failed has no log, and kubectl says so as its own failure.
      const { stdout } = await run("kubectl", [
        ...["-n", world.namespace, "logs", `job/${name}`, "--all-containers"],
      ]);
      return { ok: status.succeeded === 1, log: stdout };
    }
    await pause(1000);
  }
}

/** Takes a file out of the newest backup. */
export async function damageBackup({ world }: ObjectStore): Promise<void> {
  await world.kubectl(
    ...["exec", "deployment/minio", "--", "sh", "-c"],
    "rm -r $(ls -d /data/backups/2*/data/*.dat.gz | tail -n 1)",
  );
}

/** Rounded to tenths. */
export function seconds(since: number): number {
  return Math.round((performance.now() - since) / 100) / 10;
}

export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks again and again until it is so; how many seconds that took. */
export async function until(what: string, limit: number, isSo: () => Promise<boolean>): Promise<number> {
  const started = performance.now();
  while (!(await isSo())) {
    if (seconds(started) > limit) throw new Error(`${what}: not within ${limit} s`);
    await pause(500);
  }
  return seconds(started);
}

export interface Client {
  token: string;
  /** With further options of curl, if need be. */
  call(
    method: string,
    path: string,
    body?: unknown,
    ...options: string[]
  ): Promise<{ status: number; body: unknown }>;
}

/** An ingress controller learns of the first pod that is ready a moment later. */
export async function waitUntilServed(world: World): Promise<void> {
  await until(`${ingress} serves ${world.host}`, 30, async () => {
    const { stdout } = await run("curl", ["-sS", "-H", `Host: ${world.host}`, `${ingress}/readyz`]);
    return stdout.includes('"status":"ok"');
  });
}

/** A client of the release, through the ingress, as the first organization's owner. */
export async function connect(world: World): Promise<Client> {
  const said = await world.kubectl(
    ...["exec", `deployment/${deployment}`, "-c", "server", "--"],
    ...["task-master-pro", "token", "--email", "owner@example.com", "--json"],
  );
  const { token } = JSON.parse(said) as { token: string };
  await waitUntilServed(world);
  return clientOf(world, token);
}

/** A client of the release, through the ingress, with a token that is there already. */
export function clientOf(world: World, token: string): Client {
  return {
    token,
    async call(method, path, body, ...options) {
      // By curl: fetch does not let a client choose the Host.
      const out = await must(
        "curl",
        [
          ...["-sS", "-X", method, "-w", "\n%{http_code}", "-H", `Host: ${world.host}`],
          ...["-H", `Authorization: Bearer ${token}`, "-H", "Content-Type: application/json"],
          ...(body === undefined ? [] : ["--data-binary", "@-"]),
          ...options,
          `${ingress}/api/v1${path}`,
        ],
        body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
      );
      const cut = out.lastIndexOf("\n");
      const text = out.slice(0, cut);
      return { status: Number(out.slice(cut + 1)), body: text === "" ? null : JSON.parse(text) };
    },
  };
}

export interface Writers {
  /** The titles whose creation was acknowledged. */
  acknowledged: string[];
  outcomes: { at: number; ok: boolean }[];
  stop(): Promise<void>;
}

/** Clients that write one task after another, and repeat what was not acknowledged until it is. */
export function startWriters({ call }: Client, project: string, count: number): Writers {
  const acknowledged: string[] = [];
  const outcomes: Writers["outcomes"] = [];
  let on = true;
  const writers = Array.from({ length: count }, async (_, writer) => {
    for (let number = 0; on; number += 1) {
      const title = `${writer}-${number}`;
      // The same key says that it is the same write: it must not be done twice.
      const key = `Idempotency-Key: ${project}-${title}`;
      for (let ok = false; on && !ok; ) {
        const path = `/projects/${project}/tags/master/tasks`;
        const answer = await call("POST", path, { title }, "--max-time", "10", "-H", key).catch(() => null);
        ok = answer?.status === 201;
        outcomes.push({ at: performance.now(), ok });
        if (ok) acknowledged.push(title);
        else await pause(50);
      }
    }
  });
  return {
    acknowledged,
    outcomes,
    async stop() {
      on = false;
      await Promise.all(writers);
    },
  };
}

/** What came of the writes since a moment: how many were refused, and the longest time without one, in seconds. */
export function since(outcomes: Writers["outcomes"], moment: number): { refused: number; gap: number } {
  const later = outcomes.filter(({ at }) => at > moment);
  const times = later.filter(({ ok }) => ok).map(({ at }) => at);
  const gaps = times.map((at, i) => at - (times[i - 1] ?? moment));
  return {
    refused: later.length - times.length,
    gap: Math.round(Math.max(...gaps) / 100) / 10,
  };
}

/** Those of the project's tasks, as its export has them. */
export async function titlesOf(client: Client, project: string): Promise<string[]> {
  const exported = (await client.call("GET", `/projects/${project}/export`)).body as {
    master: { tasks: { title: string }[] };
  };
  return exported.master.tasks.map(({ title }) => title);
}

export interface Load {
  /** A second. */
  rate: number;
  requests: number;
  failed: number;
  dropped: number;
  p95: number;
  max: number;
  complaints: string;
}

/** Runs `work` while a constant rate of requests comes, some seconds before and after it. */
export async function underLoad<T>(
  world: World,
  { token }: Client,
  project: string,
  work: () => Promise<T>,
  rate = Number(process.env.E2E_RATE ?? 100),
): Promise<{ load: Load; result: T }> {
  const script = fileURLToPath(new URL("load.js", import.meta.url));
  const child = spawn("k6", ["run", "--quiet", "--no-usage-report", script], {
    // It is stopped when the work is done; this is the longest.
    env: {
      ...process.env,
      RATE: String(rate),
      SECONDS: "900",
      RUN: String(Date.now()),
      URL: ingress,
      HOST: world.host,
      TOKEN: token,
      PROJECT: project,
    },
    stdio: "pipe",
  });
  const ended = collect(child);
  let result: T;
  try {
    await pause(5000);
    result = await work();
    await pause(5000);
  } finally {
    child.kill("SIGINT");
  }
  const { stdout, stderr } = await ended;
  const line = stdout.split("\n").find((one) => one.startsWith("{"));
  if (line === undefined) throw new Error(`k6 gave no summary: ${stdout}${stderr}`);
  const metrics = JSON.parse(line);
  const load = {
    rate,
    requests: metrics.http_reqs.values.count,
    failed: metrics.checks.values.fails,
    dropped: metrics.dropped_iterations?.values.count ?? 0,
    p95: Math.round(metrics.http_req_duration.values["p(95)"]),
    max: Math.round(metrics.http_req_duration.values.max),
    complaints: stderr.slice(0, 2000),
  };
  say(
    `${load.requests} requests at ${rate} a second, ${load.failed} failed; p95 ${load.p95} ms, longest ${load.max} ms`,
  );
  return { load, result };
}

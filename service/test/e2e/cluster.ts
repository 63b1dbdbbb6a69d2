import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export const chart = fileURLToPath(new URL("../../../charts/task-master-pro", import.meta.url));
/**
 * The image under test; the one that comes after it, with a migration of its own that it needs; one that migrates and does
 * not start; one whose migration fails.
 */
export const images = {
  current: required("E2E_IMAGE"),
  next: required("E2E_NEXT_IMAGE"),
  broken: required("E2E_BROKEN_IMAGE"),
  failing: required("E2E_FAILING_IMAGE"),
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

export async function run(program: string, args: string[], input?: string): Promise<Ran> {
  const child = spawn(program, args, { stdio: "pipe" });
  const ended = collect(child);
  child.stdin.end(input ?? "");
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

export async function createWorld(name: string, values: string[]): Promise<World> {
  const namespace = `e2e-${name}`;
  const host = `${name}.e2e.example`;
  const kubectl = async (...args: string[]) => await must("kubectl", ["-n", namespace, ...args]);
  const apply = async (manifest: string) => {
    await must("kubectl", ["-n", namespace, "apply", "-f", "-"], manifest);
  };
  const remove = async () => {
    await must("kubectl", ["delete", "namespace", namespace, "--ignore-not-found", "--timeout=180s"]);
  };
  await remove();
  await apply(`
apiVersion: v1
kind: Namespace
metadata:
  name: ${namespace}
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/enforce-version: latest
`);
  const helm = async (...args: string[]) => await run("helm", ["-n", namespace, ...args]);
  const upgrade = async (image: string, ...args: string[]) =>
    await helm("upgrade", "--install", release, chart, ...valuesOf(image, host), ...values, ...args);
  return {
    namespace,
    host,
    kubectl,
    apply,
    helm,
    upgrade,
    get: async (...args) => JSON.parse(await kubectl("get", ...args, "-o", "json")),
    async deploy(image, ...args) {
      const started = performance.now();
      const { code, stderr } = await upgrade(image, ...args);
      if (code !== 0) throw new Error(`helm upgrade failed: ${stderr}`);
      return seconds(started);
    },
    close: remove,
  };
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

/** Rounded to tenths. */
export function seconds(since: number): number {
  return Math.round((performance.now() - since) / 100) / 10;
}

export interface Client {
  token: string;
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
}

/** An ingress controller learns of the first pod that is ready a moment later. */
export async function waitUntilServed(world: World): Promise<void> {
  for (let i = 0; i < 60; i += 1) {
    const { stdout } = await run("curl", ["-sS", "-H", `Host: ${world.host}`, `${ingress}/readyz`]);
    if (stdout.includes('"status":"ok"')) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`${world.host} is not served by ${ingress}`);
}

/** A client of the release, through the ingress, as the first organization's owner. */
export async function connect(world: World): Promise<Client> {
  const said = await world.kubectl(
    ...["exec", `deployment/${deployment}`, "-c", "server", "--"],
    ...["task-master-pro", "token", "--email", "owner@example.com", "--json"],
  );
  const { token } = JSON.parse(said) as { token: string };
  await waitUntilServed(world);
  return {
    token,
    async call(method, path, body) {
      // By curl: fetch does not let a client choose the Host.
      const out = await must(
        "curl",
        [
          ...["-sS", "-X", method, "-w", "\n%{http_code}", "-H", `Host: ${world.host}`],
          ...["-H", `Authorization: Bearer ${token}`, "-H", "Content-Type: application/json"],
          ...(body === undefined ? [] : ["--data-binary", "@-"]),
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
): Promise<{ load: Load; result: T }> {
  const rate = Number(process.env.E2E_RATE ?? 100);
  const script = fileURLToPath(new URL("load.js", import.meta.url));
  const child = spawn("k6", ["run", "--quiet", "--no-usage-report", script], {
    // It is stopped when the work is done; this is the longest.
    env: {
      ...process.env,
      RATE: String(rate),
      SECONDS: "900",
      URL: ingress,
      HOST: world.host,
      TOKEN: token,
      PROJECT: project,
    },
    stdio: "pipe",
  });
  const ended = collect(child);
  const wait = async (ms: number) => await new Promise((resolve) => setTimeout(resolve, ms));
  let result: T;
  try {
    await wait(5000);
    result = await work();
    await wait(5000);
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

import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  chart,
  connect,
  deployment,
  images,
  type Ran,
  release,
  run,
  say,
  seconds,
  worldOf,
} from "./cluster.ts";

/** The example for any cluster, from nothing to nothing. TERRAFORM names the program: tofu, unless it says otherwise. */
const program = process.env.TERRAFORM ?? "tofu";
const world = worldOf("terraform", []);
let folder: string;
let client: Client;

const example = () => path.join(folder, "terraform/examples/cluster");
async function terraform(...args: string[]): Promise<Ran> {
  return await run(program, [`-chdir=${example()}`, ...args], undefined, { TF_IN_AUTOMATION: "1" });
}
function variables(image: string): string[] {
  const [repository, tag] = image.split(":");
  const small = `
resources: { requests: { cpu: 50m } }
database: { cloudnativePg: { resources: { requests: { cpu: 50m, memory: 128Mi } } } }
`;
  return [
    ["kubeconfig", process.env.KUBECONFIG ?? path.join(homedir(), ".kube/config")],
    ["name", release],
    ["namespace", world.namespace],
    ["host", world.host],
    ["image", JSON.stringify({ repository, tag })],
    ["extra_values", JSON.stringify([small])],
  ].flatMap(([name, value]) => ["-var", `${name}=${value}`]);
}
async function apply(image: string): Promise<number> {
  const started = performance.now();
  const { code, stdout, stderr } = await terraform(
    ...["apply", "-auto-approve", "-input=false", "-no-color", ...variables(image)],
  );
  expect(code, `${stdout}${stderr}`).toBe(0);
  return seconds(started);
}

beforeAll(async () => {
  await world.close();
  folder = await mkdtemp(path.join(tmpdir(), "terraform-"));
  await cp(path.resolve(chart, "../../terraform"), path.join(folder, "terraform"), { recursive: true });
  await cp(chart, path.join(folder, "charts/task-master-pro"), { recursive: true });
  const { code, stderr } = await terraform("init", "-input=false", "-no-color");
  expect(code, stderr).toBe(0);
});
afterAll(async () => {
  if (process.env.E2E_KEEP !== undefined) return;
  await world.close();
  await rm(folder, { recursive: true });
});

test("an apply makes the namespace, the database and servers that work", async () => {
  say(`applied in ${await apply(images.current)} s`);
  client = await connect(world);
  expect(await client.call("POST", "/projects", { key: "TF", name: "Terraform" })).toMatchObject({
    status: 201,
  });
  const { metadata } = JSON.parse(
    (await run("kubectl", ["get", "ns", world.namespace, "-o", "json"])).stdout,
  );
  expect(metadata.labels["pod-security.kubernetes.io/enforce"]).toBe("restricted");
  const said = JSON.parse((await terraform("output", "-json")).stdout);
  expect(said.url.value).toBe(`https://${world.host}`);
  expect(said.deployment.value).toBe(deployment);
});

test("there is nothing to change after it, and no secret in the state", async () => {
  const plan = await terraform(
    ...["plan", "-detailed-exitcode", "-input=false", "-no-color", ...variables(images.current)],
  );
  expect(plan.code, plan.stdout).toBe(0);
  const state = await readFile(path.join(example(), "terraform.tfstate"), "utf8");
  for (const [secret, key] of [
    [`${deployment}-session`, "session-secret"],
    [`${deployment}-db-app`, "password"],
  ] as const) {
    const { data } = await world.get("secret", secret);
    expect(data[key].length).toBeGreaterThan(16);
    expect(state).not.toContain(data[key]);
    expect(state).not.toContain(Buffer.from(data[key], "base64").toString());
  }
});

test("another image is an upgrade of the same release, and what was there stays", async () => {
  say(`upgraded in ${await apply(images.next)} s`);
  expect((await client.call("GET", "/projects/TF")).status).toBe(200);
  const history = JSON.parse((await world.helm("history", release, "-o", "json")).stdout);
  expect(history.at(-1)).toMatchObject({ revision: 2, status: "deployed" });
});

test("destroy leaves nothing", async () => {
  const { code, stdout, stderr } = await terraform(
    ...["destroy", "-auto-approve", "-input=false", "-no-color", ...variables(images.next)],
  );
  expect(code, `${stdout}${stderr}`).toBe(0);
  expect((await run("kubectl", ["get", "namespace", world.namespace])).stderr).toContain("not found");
});

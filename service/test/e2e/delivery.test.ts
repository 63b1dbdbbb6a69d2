import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createWorld,
  deployment,
  images,
  ingress,
  pause,
  type Ran,
  release,
  run,
  say,
  seconds,
  startWriters,
  titlesOf,
  type World,
} from "./cluster.ts";

/** What the pipelines call, on two installations: scripts/ knows nothing of this suite. */
let staging: World;
let production: World;
let client: Client;

// A name that this machine knows without DNS, so that the smoke test goes through the ingress as from outside.
const url = ingress.replace("127.0.0.1", "localhost");
const values = ["--set", "database.mode=bundled,replicaCount=1,tests.existingSecret=smoke"];
const small = ["--set", "resources.requests.cpu=50m,config.TASKMASTER_RATE_LIMIT_MAX=1000000000"];
const throughIngress = ["--set", "ingress.enabled=true,ingress.hosts={localhost}"];

beforeAll(async () => {
  [staging, production] = await Promise.all([
    createWorld("staging", [...values, ...throughIngress]),
    createWorld("production", values),
  ]);
  // The token that the smoke test needs comes out of a server, so that the first installation is not the pipeline's.
  for (const world of [staging, production]) {
    await world.deploy(images.current, ...(world === staging ? throughIngress : []));
    const said = await world.kubectl(
      ...["exec", `deployment/${deployment}`, "-c", "server", "--"],
      ...["task-master-pro", "token", "--email", "owner@example.com", "--json"],
    );
    const { token } = JSON.parse(said) as { token: string };
    await world.kubectl("create", "secret", "generic", "smoke", `--from-literal=token=${token}`);
  }
  staging.host = "localhost";
  client = await connect(staging);
  const sample = await readFile(new URL("../../examples/tasks.json", import.meta.url), "utf8");
  expect(await client.call("POST", "/projects", { key: "SAMPLE", name: "Sample" })).toMatchObject({
    status: 201,
  });
  expect((await client.call("POST", "/projects/SAMPLE/import", sample)).status).toBeLessThan(300);
});
afterAll(async () => {
  if (process.env.E2E_KEEP === undefined) await Promise.all([staging.close(), production.close()]);
});

async function script(name: string, ...args: string[]): Promise<Ran & { took: number }> {
  const started = performance.now();
  const path = fileURLToPath(new URL(`../../../scripts/${name}.sh`, import.meta.url));
  const ran = await run(path, args, undefined, { TASKMASTER_TOKEN: client.token });
  for (const line of `${ran.stdout}${ran.stderr}`.split("\n"))
    if (/ \d+\.\d s/.test(line)) say(`${name}: ${line}`);
  return { ...ran, took: seconds(started) };
}
const at = (world: World) => ["--release", release, "--namespace", world.namespace];
const deploy = async (image: string, ...args: string[]) =>
  await script(
    "deploy",
    ...[...at(staging), "--image", image, "--url", url, ...args, "--"],
    ...[...values, ...small, ...throughIngress],
  );
const promote = async (...args: string[]) =>
  await script(
    "promote",
    ...["--from-namespace", staging.namespace, ...at(production), ...args, "--", ...values, ...small],
  );
const imageOf = async (world: World) => {
  await world.kubectl("rollout", "status", `deployment/${deployment}`, "--timeout=10s");
  return (await world.get("deployment", deployment)).spec.template.spec.containers[0].image;
};
const history = async (world: World) =>
  JSON.parse((await world.helm("history", release, "-o", "json")).stdout).map(
    ({ status, description }: { status: string; description: string }) => `${status}: ${description}`,
  );

test("staging is not promoted before a deployment there has passed the gate", async () => {
  const { code, stderr } = await promote();
  expect({ code, stderr }).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("helm test of its newest revision has not succeeded"),
  });
});

test("a good release is deployed to staging, passes both gates, and is promoted as it runs there", async () => {
  const deployed = await deploy(images.next);
  expect(deployed, deployed.stderr).toMatchObject({ code: 0 });
  expect(deployed.stdout).toContain("ok: no token, no entry");
  expect(deployed.stdout).toContain("All well, in");
  expect(await imageOf(staging)).toBe(images.next);

  const promoted = await promote();
  expect(promoted, promoted.stderr).toMatchObject({ code: 0 });
  expect(promoted.stdout).toContain(`promoting ${images.next}, which ${release} in e2e-staging runs`);
  expect(await imageOf(production)).toBe(images.next);
  say(`from a good image to production: ${Math.round(deployed.took + promoted.took)} s`);
});

test("a release that does not start goes back by itself, and is not promoted", async () => {
  const { code, stdout, stderr, took } = await deploy(images.broken, "--timeout", "40s");
  expect(code, stderr).toBe(1);
  expect(stderr).toContain("Helm went back to revision 2 by itself");
  expect(stdout).toContain("back on revision 2, which is well");
  expect(took).toBeLessThan(300);
  expect(await imageOf(staging)).toBe(images.next);
  expect((await history(staging)).slice(-2)).toEqual([
    expect.stringMatching(/^failed: /),
    "deployed: Rollback to 2",
  ]);
  const refused = await promote();
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("its newest revision is a rollback");
});

test("a release that starts and does not do its work goes back by itself, and no acknowledged write is lost", async () => {
  await client.call("POST", "/projects", { key: "WRITES", name: "Writes" });
  const writers = startWriters(client, "WRITES", 2);
  await pause(1000);
  const { code, stdout, stderr, took } = await deploy(images.wrong);
  await pause(1000);
  await writers.stop();
  expect(code, stderr).toBe(1);
  expect(stderr).toContain("not ok: ask for the next task");
  expect(stderr).toContain("going back to revision 4");
  expect(stdout).toContain("back on revision 4: every pod is ready");
  expect(took).toBeLessThan(300);
  expect(await imageOf(staging)).toBe(images.next);
  expect((await history(staging)).at(-1)).toBe("deployed: Rollback to 4");

  const kept = await titlesOf(client, "WRITES");
  expect(writers.acknowledged.length).toBeGreaterThan(20);
  expect(kept.toSorted()).toEqual(expect.arrayContaining(writers.acknowledged.toSorted()));
  say(
    `${writers.acknowledged.length} writes acknowledged, ${writers.outcomes.filter(({ ok }) => !ok).length} refused`,
  );
});

test("a person takes production back by one command, and is asked where to when that is not plain", async () => {
  const back = await script("rollback", ...at(production));
  expect(back, back.stderr).toMatchObject({ code: 0 });
  expect(back.took).toBeLessThan(300);
  expect(await imageOf(production)).toBe(images.current);
  const again = await script("rollback", ...at(production));
  expect(again.code).toBe(2);
  expect(again.stderr).toContain("Say by --to which one is meant");
  const forward = await script("rollback", ...at(production), "--to", "2");
  expect(forward, forward.stderr).toMatchObject({ code: 0 });
  expect(await imageOf(production)).toBe(images.next);
});

test("what cannot be done is refused with a reason, and nothing is touched", async () => {
  const before = await history(staging);
  for (const [args, reason] of [
    [["--image", "no-tag"], "neither REPOSITORY@sha256"],
    [["--image", images.next, "--url", "localhost"], "no URL"],
    [["--image", images.next, "--", "--set", "nonsense=1"], "helm refused, and changed nothing"],
    [["--image", images.next, "--values"], "what is for helm comes after --"],
  ] as const) {
    const { code, stderr } = await script("deploy", ...at(staging), ...args);
    expect({ args, code, stderr }).toMatchObject({
      code: reason.startsWith("helm") ? 1 : 2,
      stderr: expect.stringContaining(reason),
    });
  }
  const nowhere = await script("rollback", "--release", "other", "--namespace", staging.namespace);
  expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining("has no release other") });
  expect(await history(staging)).toEqual(before);
});

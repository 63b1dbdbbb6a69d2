import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  connect,
  createWorld,
  deployment,
  images,
  nextMigration,
  release,
  say,
  type World,
} from "./cluster.ts";

let world: World;
let client: Client;

beforeAll(async () => {
  world = await createWorld("bundled", ["--set", "database.mode=bundled,replicaCount=1"]);
});
afterAll(async () => {
  if (process.env.E2E_KEEP === undefined) await world.close();
});

const database = `${deployment}-db`;
const migrations = async () =>
  await world.kubectl(
    ...["exec", `${database}-0`, "--", "psql", "-U", "taskmaster", "-Atc"],
    "SELECT migration_name FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY 1",
  );
const secrets = async () => {
  const { items } = await world.get("secret", database, `${deployment}-session`);
  return items.map(({ data }: { data: unknown }) => data);
};
const sample = async () =>
  JSON.parse(await readFile(new URL("../../examples/tasks.json", import.meta.url), "utf8"));
let made: unknown;

test("installs with a database of its own, in a restricted namespace", async () => {
  say(`installed in ${await world.deploy(images.current)} s`);
  client = await connect(world);
  expect(await client.call("POST", "/projects", { key: "SAMPLE", name: "Sample" })).toMatchObject({
    status: 201,
  });
  expect((await client.call("POST", "/projects/SAMPLE/import", await sample())).status).toBeLessThan(300);
  const tested = await world.helm("test", release, "--logs");
  expect(tested.stdout, tested.stderr).toContain("ok: no token, no entry");
  made = await secrets();
});

test("an upgrade migrates once, by a Job of its own, and keeps secrets and data", async () => {
  say(`upgraded in ${await world.deploy(images.next)} s`);
  // The new pods wait for the schema, not for the Job, which ends a moment after.
  await world.kubectl("wait", "--for=condition=complete", `job/${deployment}-migrate-2`, "--timeout=60s");
  const { items } = await world.get("jobs", "-l", "app.kubernetes.io/component=migrate");
  expect(
    items.map((job: { metadata: { name: string }; status: unknown }) => [job.metadata.name, job.status]),
  ).toEqual([[`${deployment}-migrate-2`, expect.objectContaining({ succeeded: 1 })]]);
  expect(await migrations()).toContain(nextMigration);
  expect(await secrets()).toEqual(made);
  expect((await client.call("GET", "/projects/SAMPLE/export")).body).toEqual(await sample());
});

test("after a rollback the revert Job takes the schema back to what that release knows", async () => {
  const back = await world.helm("rollback", release, "1", "--wait", "--timeout=290s");
  expect(back.code, back.stderr).toBe(0);
  expect(await migrations()).toContain(nextMigration);
  await world.kubectl("create", "job", "revert-1", `--from=cronjob/${deployment}-revert`);
  await world.kubectl("wait", "--for=condition=complete", "job/revert-1", "--timeout=120s");
  expect(await world.kubectl("logs", "job/revert-1")).toContain(`reverted ${nextMigration}`);
  expect(await migrations()).not.toContain(nextMigration);
  expect((await client.call("GET", "/projects/SAMPLE/export")).body).toEqual(await sample());
  say(`upgraded again in ${await world.deploy(images.next)} s`);
  expect(await migrations()).toContain(nextMigration);
});

test("what was installed before is found by who installs again: data and password outlive an uninstall", async () => {
  const gone = await world.helm("uninstall", release, "--wait");
  expect(gone.code, gone.stderr).toBe(0);
  await world.deploy(images.next);
  client = await connect(world);
  expect((await client.call("GET", "/projects/SAMPLE/export")).body).toEqual(await sample());
});

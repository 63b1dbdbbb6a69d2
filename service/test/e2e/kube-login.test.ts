import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createWorld, must, run, type World } from "./cluster.ts";

/** Gives identity tokens as GitHub gives them to a job; they are the cluster's own, for a service account. */
let issuer: Server;
let world: World;
let directory: string;
let environment: Record<string, string>;
const asked: { url: string; authorization: string | undefined }[] = [];
const script = fileURLToPath(new URL("../../../scripts/kube-login.sh", import.meta.url));

beforeAll(async () => {
  world = await createWorld("login", []);
  directory = await mkdtemp(path.join(tmpdir(), "login-"));
  await world.kubectl("create", "serviceaccount", "pipeline");
  const token = (await world.kubectl("create", "token", "pipeline", "--duration=10m")).trim();
  issuer = createServer((request, response) => {
    asked.push({ url: request.url ?? "", authorization: request.headers.authorization });
    response.end(JSON.stringify({ count: 1, value: token }));
  });
  await new Promise<void>((resolve) => issuer.listen(0, "127.0.0.1", resolve));
  environment = {
    KUBECONFIG: path.join(directory, "config"),
    ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/token?api-version=2.0`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: "of the job",
  };
});
afterAll(async () => {
  issuer.close();
  await rm(directory, { recursive: true });
  await world.close();
});

test("a job's identity opens the cluster, and is asked for anew by kubectl itself", async () => {
  const own = JSON.parse(
    await must("kubectl", ["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]),
  );
  const { server, "certificate-authority-data": authority } = own.clusters[0].cluster;
  const done = await run(
    script,
    ["--context", "here", "--server", server, "--audience", "task-master-pro", "--ca-base64", authority],
    undefined,
    environment,
  );
  expect(done, done.stderr).toMatchObject({ code: 0 });
  expect(asked).toEqual([]);

  const who = await run("kubectl", ["--context", "here", "auth", "whoami"], undefined, environment);
  expect(who.stdout, who.stderr).toContain(`system:serviceaccount:${world.namespace}:pipeline`);
  expect(asked.length).toBeGreaterThan(0);
  expect(asked[0]).toEqual({
    url: "/token?api-version=2.0&audience=task-master-pro",
    authorization: "Bearer of the job",
  });
  // Nothing of it stays.
  const config = await must("cat", [path.join(directory, "config")]);
  expect(config).not.toMatch(/token:|of the job/);
});

test("without an identity it says what is missing", async () => {
  const { code, stderr } = await run(script, ["--token", "--audience", "any"], undefined, {
    ACTIONS_ID_TOKEN_REQUEST_URL: "",
  });
  expect(code).toBe(1);
  expect(stderr).toContain("lacks the permission id-token: write");
});

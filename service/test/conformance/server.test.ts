import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openTestApp, type TestApp } from "../integration/rest/harness.ts";
import { fixtures } from "./fixtures.ts";
import { type CredentialProxy, openProxy } from "./proxy.ts";

/** The revision of the protocol that the server speaks. */
const revision = "2025-11-25";

interface Check {
  id: string;
  status: "SUCCESS" | "FAILURE" | "WARNING" | "SKIPPED" | "INFO";
  errorMessage?: string;
}

const listed = execFileSync("conformance", ["list", "--server", "--spec-version", revision], {
  encoding: "utf8",
});
const scenarios = [...listed.matchAll(/^ {2}- (\S+)/gm)].map(([, name = ""]) => name);

let test: TestApp;
let proxy: CredentialProxy;
let results: string;
let passed = 0;

beforeAll(async () => {
  // The product's own app on a port, its transport, its credentials; only what it offers is more than usual.
  test = await openTestApp({}, { more: fixtures });
  proxy = await openProxy(await test.app.listen({ host: "127.0.0.1", port: 0 }), test.token);
  results = mkdtempSync(join(tmpdir(), "task-master-pro-conformance-"));
});
afterAll(async () => {
  process.stdout.write(
    `MCP conformance, ${revision}: ${passed} checks passed in ${scenarios.length} scenarios\n`,
  );
  rmSync(results, { recursive: true });
  await proxy.close();
  await test.close();
});

it("has scenarios to run", () => {
  expect(scenarios.length).toBeGreaterThanOrEqual(33);
  expect(scenarios).toEqual(
    expect.arrayContaining(["dns-rebinding-protection", "server-session-lifecycle", "server-sse-polling"]),
  );
});

it.each(scenarios)("%s", async (scenario) => {
  const output = join(results, scenario);
  const { stdout } = await promisify(execFile)("conformance", [
    "server",
    ...["--url", `${proxy.url}/mcp`, "--scenario", scenario, "--spec-version", revision, "-o", output],
  ]).catch((error: { stdout: string }) => error);
  const [folder] = readdirSync(output);
  const checks = JSON.parse(readFileSync(join(output, folder ?? "", "checks.json"), "utf8")) as Check[];
  // A warning is of something that a server should do; this one does.
  const wrong = checks.filter(({ status }) => !["SUCCESS", "INFO"].includes(status));
  expect(wrong, stdout).toEqual([]);
  const good = checks.filter(({ status }) => status === "SUCCESS").length;
  expect(good).toBeGreaterThan(0);
  passed += good;
});

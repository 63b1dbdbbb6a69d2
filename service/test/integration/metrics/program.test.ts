import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scrape } from "../../support/metrics.ts";
import { startCli } from "../../support/program.ts";

test("the program serves metrics where a port is set, from the start to the end, and its own of each claim", async () => {
  const folder = await mkdtemp(join(tmpdir(), "task-master-pro-metrics-"));
  // As root the database runs as another user.
  await chmod(folder, 0o711);
  const program = startCli(["serve", "--welcome"], {
    TASKMASTER_DATA_DIRECTORY: join(folder, "data"),
    PORT: "0",
    TASKMASTER_METRICS_PORT: "0",
  });
  try {
    const token = await program.until(/(tmp_[\w-]+)/);
    const url = await program.until(/Task Master Pro is ready at (\S+)/);
    const address = await program.until(/"address":"([^"]+\/metrics)"/);
    const call = async (method: string, path: string, body?: unknown) => {
      const response = await fetch(`${url}/api/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(body ?? {}),
      });
      return response.status;
    };
    expect(await call("POST", "/projects", { key: "DEMO", name: "Demo" })).toBe(201);
    expect(await call("POST", "/projects/DEMO/tags", { name: "work" })).toBe(201);
    const tag = "/projects/DEMO/tags/work";
    expect(await call("POST", `${tag}/tasks`, { title: "One" })).toBe(201);
    expect(await call("POST", `${tag}/claims`)).toBe(201);
    expect(await call("POST", `${tag}/claims`)).toBe(204);
    const found = await scrape(address);
    expect(found.find("taskmaster_claims_granted_total")).toBe(1);
    expect(found.find("taskmaster_claims_refused_total", { reason: "nothing_ready" })).toBe(1);
    expect(found.find("taskmaster_reading_success", { reading: "migration" })).toBe(1);
    expect(
      found.find("http_server_request_duration_seconds_count", {
        http_request_method: "POST",
        http_route: "/api/v1/projects/:key/tags/:tag/claims",
        http_response_status_code: "201",
      }),
    ).toBe(1);
    program.child.kill("SIGINT");
    expect((await program.ended).code).toBe(0);
    await expect(scrape(address)).rejects.toThrow();
  } finally {
    program.child.kill("SIGKILL");
    await program.ended;
    await rm(folder, { recursive: true });
  }
});

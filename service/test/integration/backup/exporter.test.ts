import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { scrape } from "../../support/metrics.ts";
import { runCli, startCli } from "../../support/program.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "task-master-pro-exporter-"));
  // As root the database runs as another user.
  await chmod(folder, 0o711);
});
afterAll(async () => await rm(folder, { recursive: true }));

async function exporting<T>(
  env: Record<string, string>,
  look: (address: string, said: (pattern: RegExp) => Promise<string>) => Promise<T>,
): Promise<T> {
  const program = startCli(["backup", "exporter"], { TASKMASTER_METRICS_PORT: "0", ...env });
  try {
    const result = await look(await program.until(/"address":"([^"]+\/metrics)"/), program.until);
    program.child.kill("SIGTERM");
    expect((await program.ended).code).toBe(0);
    return result;
  } finally {
    program.child.kill("SIGKILL");
    await program.ended;
  }
}

test("what the commands found of the backups is served to whoever scrapes, without the database", async () => {
  const target = join(folder, "backups");
  const started = Date.now() / 1000;
  for (const command of ["migrate up", "backup create"]) {
    const { code, stderr } = await runCli(command.split(" "), {
      TASKMASTER_DATA_DIRECTORY: join(folder, "data"),
      TASKMASTER_BACKUP_TARGET: target,
    });
    expect(code, stderr).toBe(0);
  }
  // No database is there to be started, nor may one be made.
  const found = await exporting(
    { TASKMASTER_BACKUP_TARGET: target, TASKMASTER_DATA_DIRECTORY: "/dev/null/none" },
    scrape,
  );
  expect(found.find("taskmaster_backup_last_success_timestamp_seconds")).toBeGreaterThanOrEqual(
    Math.floor(started),
  );
  expect(found.find("taskmaster_backup_backups")).toBe(1);
  expect(found.find("taskmaster_backup_drill_success")).toBeUndefined();
  expect(found.find("taskmaster_reading_success", { reading: "backups" })).toBe(1);
});

test("where there are no backups yet there is nothing of them, and that is no failure", async () => {
  const found = await exporting({ TASKMASTER_BACKUP_TARGET: join(folder, "empty") }, scrape);
  expect(found.find("taskmaster_reading_success", { reading: "backups" })).toBe(1);
  expect(found.find("taskmaster_backup_last_success_timestamp_seconds")).toBeUndefined();
});

test("a place that does not answer is told of, in the metrics and in the log", async () => {
  await exporting(
    {
      TASKMASTER_BACKUP_TARGET: "s3://bucket/prefix",
      TASKMASTER_BACKUP_S3_ENDPOINT: "http://127.0.0.1:1",
      AWS_ACCESS_KEY_ID: "nobody",
      AWS_SECRET_ACCESS_KEY: "nothing-at-all",
      AWS_REGION: "us-east-1",
    },
    async (address, said) => {
      const found = await scrape(address);
      expect(found.find("taskmaster_reading_success", { reading: "backups" })).toBe(0);
      expect(found.find("taskmaster_backup_backups")).toBeUndefined();
      await said(/"msg":"failed: backups read"/);
    },
  );
});

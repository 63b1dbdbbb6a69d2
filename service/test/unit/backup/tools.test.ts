import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findTools, runTool, ToolError, toolConnection } from "../../../src/backup/tools.ts";

// No release of PostgreSQL has this number, so that whatever this machine has is another one.
const major = 99;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "task-master-pro-tools-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function program(name: string, script: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return file;
}

test("the password goes by the environment, and what only other drivers understand is left out", () => {
  const { url, environment } = toolConnection(
    "postgresql://me:p%40ss@db.example:5433/tasks?sslmode=no-verify&schema=public&connection_limit=5&application_name=x",
    { PATH: "/bin" },
  );
  expect(url).toBe("postgresql://me@db.example:5433/tasks?sslmode=require&application_name=x");
  expect(environment).toEqual({ PATH: "/bin", PGPASSWORD: "p@ss" });
});

test("a password among the parameters goes the same way, and none at all is none", () => {
  const given = toolConnection("postgres://me@db/tasks?password=secret&sslmode=verify-full", {});
  expect(given.environment).toEqual({ PGPASSWORD: "secret" });
  expect(given.url).toBe("postgres://me@db/tasks?sslmode=verify-full");
  expect(toolConnection("postgres://me@db/tasks", { A: "1" }).environment).toEqual({ A: "1" });
});

test("programs of another version are named, with what to install", async () => {
  await program("pg_dump", "echo 'pg_dump (PostgreSQL) 12.3'");
  await program("pg_restore", "exit 0");
  await expect(findTools(major, { PATH: folder })).rejects.toThrow(
    new RegExp(`PostgreSQL 99, .*found: .*12\\.3 in ${folder}.*postgresql-client-99`),
  );
});

test("programs of the server's version are found in PATH", async () => {
  await program("pg_dump", "echo 'pg_dump (PostgreSQL) 99.1 (Debian 99.1-1)'");
  expect(await findTools(major, { PATH: folder })).toEqual({
    pgDump: path.join(folder, "pg_dump"),
    pgRestore: path.join(folder, "pg_restore"),
    version: "99.1",
  });
});

test("a program that fails says what it said of it; one that is aborted ends", async () => {
  const lines: string[] = [];
  const failing = await program(
    "failing",
    "echo 'reading' >&2; echo 'pg_dump: error: permission denied for table x' >&2; echo 'bye' >&2; exit 3",
  );
  const run = runTool(failing, [], { environment: {}, onLine: (line) => void lines.push(line) });
  await expect(run).rejects.toThrow(
    "failing ended with exit code 3: pg_dump: error: permission denied for table x",
  );
  await expect(run).rejects.toBeInstanceOf(ToolError);
  expect(lines).toEqual(["reading", "pg_dump: error: permission denied for table x", "bye"]);
  const silent = await program("silent", "exit 1");
  await expect(runTool(silent, [], { environment: {} })).rejects.toThrow("silent ended with exit code 1: ");
  const waiting = await program("waiting", "exec sleep 60");
  const controller = new AbortController();
  const aborted = runTool(waiting, [], { environment: { PATH: "/bin:/usr/bin" }, signal: controller.signal });
  controller.abort();
  await expect(aborted).rejects.toThrow(/abort/i);
  await expect(runTool(path.join(folder, "absent"), [], { environment: {} })).rejects.toThrow("ENOENT");
});

import { chmod, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStore } from "../../src/backup/open-store.ts";
import {
  ask,
  contentsOf,
  databasesLike,
  dropDatabases,
  nameOf,
  openTestRun,
  runCli,
  type TestRun,
} from "../support/backup.ts";
import { openTestCore, type TestCore } from "../support/core.ts";
import { createEmptyDatabase } from "../support/database.ts";
import { fill } from "../support/migrations.ts";

// The whole way, as an operator goes it: the command line, a real S3 server, encryption.
let core: TestCore;
let files: TestRun;
let env: Record<string, string>;
const bucket = process.env.TEST_S3_BUCKET ?? "";
const prefix = `command-${Date.now()}`;

beforeAll(async () => {
  core = await openTestCore();
  await fill(core);
  files = await openTestRun();
  // The embedded database may run as another user, who must be able to pass.
  await chmod(path.dirname(files.directory), 0o711);
  const identity = await generateIdentity();
  const keys = path.join(path.dirname(files.directory), "keys.txt");
  await writeFile(keys, `# a key for this test\n${identity}\n`);
  env = {
    DATABASE_URL: core.connectionString,
    TASKMASTER_BACKUP_TARGET: `s3://${bucket}/${prefix}`,
    TASKMASTER_BACKUP_S3_ENDPOINT: process.env.TEST_S3_ENDPOINT ?? "",
    TASKMASTER_BACKUP_AGE_RECIPIENTS: await identityToRecipient(identity),
    TASKMASTER_BACKUP_AGE_IDENTITY_FILE: keys,
    TASKMASTER_BACKUP_SCRATCH_DIRECTORY: path.dirname(files.directory),
    AWS_ACCESS_KEY_ID: process.env.AWS_ACCESS_KEY_ID ?? "",
    AWS_SECRET_ACCESS_KEY: process.env.AWS_SECRET_ACCESS_KEY ?? "",
    AWS_REGION: process.env.AWS_REGION ?? "",
  };
});
afterAll(async () => {
  await files.close();
  await core.close();
});

const backup = async (...args: string[]) => await runCli(["backup", ...args], env);

test("create, list, verify, drill, restore, replace and prune on S3, encrypted", {
  timeout: 180_000,
}, async () => {
  const empty = await backup("list");
  expect(empty).toMatchObject({ code: 0, out: expect.stringContaining("There is no backup yet") });

  const created = await backup("create", "--json");
  expect(created, created.err).toMatchObject({ code: 0 });
  const manifest = JSON.parse(created.out) as { id: string; data: object; encryption: object; bytes: number };
  expect(manifest).toMatchObject({
    data: { form: "pg_dump", client: expect.any(String) },
    encryption: { scheme: "age" },
  });
  // Where nobody watches, progress is a line of JSON now and then.
  for (const line of created.err.trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("time");

  expect(await backup("verify")).toMatchObject({ code: 0, out: `whole    ${manifest.id}\n` });

  const drilled = await backup("drill", "--json");
  expect(drilled, drilled.err).toMatchObject({ code: 0 });
  const report = JSON.parse(drilled.out) as {
    ok: boolean;
    smoke: { steps: { name: string; ok: boolean }[] };
  };
  expect(report.ok).toBe(true);
  expect(report.smoke.steps.length).toBeGreaterThan(8);
  expect(report.smoke.steps.filter(({ ok }) => !ok)).toEqual([]);
  expect(await databasesLike(`${nameOf(core.connectionString)}_`)).toEqual([]);

  const target = await createEmptyDatabase();
  const into = { ...env, DATABASE_URL: target.connectionString };
  const restored = await runCli(["backup", "restore"], into);
  expect(restored, restored.err).toMatchObject({
    code: 0,
    out: expect.stringContaining("every count and hash equal"),
  });
  expect(await contentsOf(target.connectionString)).toEqual(await contentsOf(core.connectionString));

  const again = await runCli(["backup", "restore"], into);
  expect(again).toMatchObject({ code: 1, err: expect.stringContaining("is not empty") });
  const unasked = await runCli(["backup", "restore", "--replace"], into);
  expect(unasked).toMatchObject({ code: 1, err: expect.stringContaining("--confirm") });
  await ask(target.connectionString, "DELETE FROM comments");
  const replaced = await runCli(
    ["backup", "restore", "--replace", "--confirm", nameOf(target.connectionString)],
    into,
  );
  expect(replaced, replaced.err).toMatchObject({ code: 0, out: expect.stringContaining("DROP DATABASE") });
  expect(await contentsOf(target.connectionString)).toEqual(await contentsOf(core.connectionString));
  await dropDatabases(await databasesLike(nameOf(target.connectionString)));

  const listed = JSON.parse((await backup("list", "--json")).out) as {
    backups: { id: string; restoredAt: string | null }[];
  };
  expect(listed.backups).toHaveLength(2);
  expect(listed.backups[0]?.restoredAt).toMatch(/^\d{4}-/);

  const dry = await backup(
    "prune",
    "--keep-daily",
    "0",
    "--keep-weekly",
    "0",
    "--keep-monthly",
    "0",
    "--dry-run",
  );
  // The one is the newest, the other the newest that is proven.
  expect(dry.out.match(/^keep /gm)).toHaveLength(2);

  const store = await openStore({
    kind: "s3",
    bucket,
    prefix,
    endpoint: env.TASKMASTER_BACKUP_S3_ENDPOINT ?? null,
  });
  expect(await store.readRoot("metrics.prom")).toMatch(/^taskmaster_backup_drill_success 1$/m);
  await store.close();
});

test("a wrong key, a wrong password, an absent bucket and a lost key file are each said in a sentence", async () => {
  const other = path.join(path.dirname(files.directory), "other.txt");
  await writeFile(other, `${await generateIdentity()}\n`);
  const say = async (args: string[], changes: Record<string, string>) => {
    const { code, err } = await runCli(["backup", ...args], { ...env, ...changes });
    const lines = err.trim().split("\n");
    expect(code).not.toBe(0);
    // One sentence, no stack.
    expect(lines.filter((line) => /^\s+at /.test(line))).toEqual([]);
    return lines.at(-1) ?? "";
  };
  expect(await say(["drill"], { TASKMASTER_BACKUP_AGE_IDENTITY_FILE: other })).toContain(
    "None of the given keys",
  );
  await rm(other);
  expect(await say(["drill"], { TASKMASTER_BACKUP_AGE_IDENTITY_FILE: other })).toContain(
    "TASKMASTER_BACKUP_AGE_IDENTITY_FILE cannot be read",
  );
  const secret = await say(["list"], { AWS_SECRET_ACCESS_KEY: "wrong-but-secret" });
  expect(secret).toMatch(/AWS_SECRET_ACCESS_KEY|credential|key/i);
  expect(secret).not.toContain("wrong-but-secret");
  expect(await say(["create"], { TASKMASTER_BACKUP_TARGET: "s3://no-such-bucket-here/x" })).toContain(
    "no-such-bucket-here",
  );
  expect(await say(["create"], { TASKMASTER_BACKUP_TARGET: "ftp://somewhere" })).toContain(
    "TASKMASTER_BACKUP_TARGET",
  );
  expect(await say(["restore", "../../etc"], {})).toContain("is no backup's name");
  expect(await say(["restore", "20200101T000000Z-abcdef"], {})).toContain(
    "There is no backup 20200101T000000Z-abcdef",
  );
  expect(await say(["create"], { TASKMASTER_BACKUP_AGE_RECIPIENTS: "age1nonsense" })).toMatch(/age1nonsense/);
});

test("the embedded database needs no pg_dump", { timeout: 120_000 }, async () => {
  const folder = path.dirname(files.directory);
  const embedded = {
    TASKMASTER_DATA_DIRECTORY: path.join(folder, "data"),
    TASKMASTER_BACKUP_TARGET: path.join(folder, "embedded"),
  };
  expect(await runCli(["migrate", "up"], embedded)).toMatchObject({ code: 0 });
  expect(await runCli(["token"], embedded)).toMatchObject({ code: 1 });
  const created = await runCli(["backup", "create", "--json"], embedded);
  expect(created, created.err).toMatchObject({ code: 0 });
  expect(JSON.parse(created.out)).toMatchObject({ data: { form: "copy", client: null } });
  expect(await runCli(["backup", "drill"], embedded)).toMatchObject({ code: 0 });
  // From a laptop into a server: that form goes into any version.
  const target = await createEmptyDatabase();
  const moved = await runCli(["backup", "restore"], { ...embedded, DATABASE_URL: target.connectionString });
  expect(moved, moved.err).toMatchObject({ code: 0 });
  await target.drop();
  expect(await readFile(path.join(folder, "embedded/metrics.prom"), "utf8")).toContain("drill_success 1");
});

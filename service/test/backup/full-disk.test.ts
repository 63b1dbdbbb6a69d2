import { randomBytes } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createBackup } from "../../src/backup/create.ts";
import { openStore } from "../../src/backup/open-store.ts";
import { restoreBackup } from "../../src/backup/restore.ts";
import { ask, contentsOf, openTestRun, type TestRun } from "../support/backup.ts";
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from "../support/database.ts";

// A file system of a megabyte, mounted by whoever runs this suite.
const small = process.env.TEST_SMALL_DIRECTORY ?? "";

let database: TestDatabase;
let run: TestRun;
beforeAll(async () => {
  expect(small, "TEST_SMALL_DIRECTORY names a small file system").not.toBe("");
  database = await createTestDatabase();
  // Random, so that it does not shrink.
  const name = randomBytes(4_000_000).toString("base64");
  await ask(
    database.connectionString,
    `INSERT INTO organizations (id, slug, name) VALUES (gen_random_uuid(), 'big', '${name}')`,
  );
  run = await openTestRun();
});
afterAll(async () => {
  await run.close();
  await database.drop();
  await clear();
});

const clear = async () => {
  for (const name of await readdir(small)) await rm(path.join(small, name), { recursive: true, force: true });
};

test.each([{ embedded: true }, { embedded: false }])(
  "a full disk is said, at the target and on the way, and nothing is left there: %o",
  async ({ embedded }) => {
    const source = { connectionString: database.connectionString, embedded };
    const store = await openStore({ kind: "folder", directory: path.join(small, "backups") });
    await expect(createBackup({ ...run.run, store }, source)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/no room left/i),
    });
    expect(await store.list()).toEqual([]);
    expect(await store.listIncomplete()).toEqual([]);
    await clear();

    await expect(createBackup({ ...run.run, scratchDirectory: small }, source)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/no room left.*TASKMASTER_BACKUP_SCRATCH_DIRECTORY/i),
    });
    expect(await readdir(small)).toEqual([]);
    expect(await run.run.store.listIncomplete()).toEqual([]);

    const { id } = await createBackup(run.run, source);
    const empty = await createEmptyDatabase();
    const options = { id, connectionString: empty.connectionString, embedded, replace: false, migrate: true };
    await expect(restoreBackup({ ...run.run, scratchDirectory: small }, options)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/no room left/i),
    });
    expect(await readdir(small)).toEqual([]);
    expect(Object.keys(await contentsOf(empty.connectionString))).toEqual(["schema"]);
    await restoreBackup(run.run, options);
    await empty.drop();
    await run.run.store.remove(id);
  },
);

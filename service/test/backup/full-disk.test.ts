import { randomBytes } from "node:crypto";
import { appendFile, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
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

test("a store on a full disk says so before a dump is begun, and keeps what it has", async () => {
  const id = "20261125T030000Z-1a2b3c";
  const store = await openStore({ kind: "folder", directory: small });
  await store.writeText(id, "small.txt", "x");
  const large = Readable.from(
    (function* () {
      for (let i = 0; i < 40; i += 1) yield Buffer.alloc(65_536, 7);
    })(),
    { objectMode: false },
  );
  await expect(store.write(id, "data/1.dat", large)).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringMatching(/no room left at .*; free some/),
  });
  expect(large.destroyed).toBe(true);
  expect(await readdir(path.join(small, id, "data"))).toEqual([]);
  expect(await store.files(id)).toEqual([{ name: "small.txt", bytes: 1 }]);
  await expect(
    (async () => {
      for (;;) await appendFile(path.join(small, "fill"), Buffer.alloc(4096));
    })(),
  ).rejects.toThrow("ENOSPC");
  await expect(store.check()).rejects.toThrow("no room left");
  await expect(store.writeText(id, "small.txt", "y".repeat(65_536))).rejects.toThrow("no room left");
  expect(await store.readText(id, "small.txt")).toBe("x");
  await clear();
});

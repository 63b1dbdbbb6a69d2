import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createMigration } from "../../../src/migrate/create.ts";
import { prismaFolder, readMigrations } from "../../../src/migrate/migrations.ts";

let root: string;
const name = "20270101000000_one";
const file = (part: string) => path.join(root, name, part);

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "task-master-pro-folder-"));
  const migrations = path.join(await prismaFolder(), "migrations");
  await cp(path.join(migrations, "20261123000000_init"), path.join(root, name), { recursive: true });
  await cp(path.join(migrations, "migration_lock.toml"), path.join(root, "migration_lock.toml"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const notes = { kind: "expand", reversible: true, transaction: true, loses: { up: [], down: [] } };

test.each([
  ["has no migration.sql.", async () => await rm(file("migration.sql"))],
  ["has no migration.json, which says what kind it is.", async () => await rm(file("migration.json"))],
  [
    'has no down.sql; write one, or say "reversible": false in its migration.json.',
    async () => await rm(file("down.sql")),
  ],
  [
    'has a down.sql, but its migration.json says "reversible": false.',
    async () => await writeFile(file("migration.json"), JSON.stringify({ ...notes, reversible: false })),
  ],
  ["has a migration.json that is no JSON", async () => await writeFile(file("migration.json"), "{")],
  [
    "has a migration.json that is not as it must be: /kind ",
    async () => await writeFile(file("migration.json"), JSON.stringify({ ...notes, kind: "other" })),
  ],
  [
    "has a migration.json that is not as it must be: /loses/up/0 ",
    async () =>
      await writeFile(
        file("migration.json"),
        JSON.stringify({ ...notes, loses: { up: ['tasks"; DROP'], down: [] } }),
      ),
  ],
])("a folder is refused when a migration %s", async (message, spoil) => {
  expect((await readMigrations(root)).migrations.map((one) => one.name)).toEqual([name]);
  await spoil();
  await expect(readMigrations(root)).rejects.toMatchObject({
    code: "invalid_input",
    message: expect.stringContaining(`The migration ${name} ${message}`),
  });
});

test("a new migration needs a good name, after all the others", async () => {
  const folder = await readMigrations(root);
  for (const bad of ["", "Add", "add column", "../up", "add-column", "1st", "x".repeat(70)]) {
    await expect(createMigration(bad, { folder, empty: true })).rejects.toMatchObject({
      code: "invalid_input",
      message: `${JSON.stringify(bad)} is no name for a migration; say in lower case what it does, such as add_task_due_date.`,
    });
  }
  const now = new Date("2026-12-31T23:59:59Z");
  await expect(createMigration("late", { folder, empty: true, now })).rejects.toMatchObject({
    code: "conflict",
    message: `20261231235959_late would come before ${name}, which is there already.`,
  });
  expect(await readMigrations(root)).toEqual(folder);
});

test("an empty migration is a folder that can be read and filled in", async () => {
  const now = new Date("2027-02-03T04:05:06.789Z");
  const folder = await readMigrations(root);
  expect(await createMigration("check_titles", { folder, empty: true, now })).toEqual([
    path.join(root, "20270203040506_check_titles"),
  ]);
  const [, written] = (await readMigrations(root)).migrations;
  expect(written).toMatchObject({ name: "20270203040506_check_titles", ...notes });
});

import { expect, test } from "vitest";
import { readMigrations } from "../../../src/migrate/migrations.ts";
import { schemaKnown, schemaMinimum } from "../../../src/storage/postgres/window.ts";

test("the window that the server accepts ends with the newest migration, and begins with one that exists", async () => {
  const names = (await readMigrations()).migrations.map(({ name }) => name);
  expect(schemaKnown).toBe(names.at(-1));
  expect(names).toContain(schemaMinimum);
});

import { afterAll, beforeAll, expect, test } from "vitest";
import { applyMigrations } from "../../../src/migrate/apply.ts";
import { revertMigrations } from "../../../src/migrate/revert.ts";
import { migrationStatus } from "../../../src/migrate/status.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";
import { createTestDatabase } from "../../support/database.ts";
import {
  contract,
  createFolder,
  dataHash,
  expand,
  fill,
  fingerprintOf,
  fixtures,
  head,
  query,
  shipped,
  type TestFolder,
} from "../../support/migrations.ts";

let core: TestCore;
let made: TestFolder;

beforeAll(async () => {
  made = await createFolder();
  core = await openTestCore();
  await fill(core);
});

afterAll(async () => {
  await core.close();
  await made.remove();
});

const allowed = { allowContract: true, allowDataLoss: true };

test("every table holds something, or the tests below would prove nothing", async () => {
  const hashes = await dataHash(core.connectionString);
  expect(Object.keys(hashes)).toHaveLength(20);
  expect(Object.entries(hashes).filter(([, hash]) => hash.startsWith("0 "))).toEqual([]);
  await query(core.connectionString, "UPDATE comments SET body = body || '!'");
  const changed = await dataHash(core.connectionString);
  expect(Object.keys(hashes).filter((name) => hashes[name] !== changed[name])).toEqual(["comments"]);
});

test.each(fixtures)(
  "$name on a filled database: up and down lead back to the same schema and the same data, and up goes again",
  async ({ name, loses }) => {
    const { connectionString } = core;
    const { folder } = made;
    const before = { data: await dataHash(connectionString), schema: await fingerprintOf(connectionString) };
    const kept = await dataHash(connectionString, loses.up);
    const previous = (await migrationStatus(connectionString, folder)).migrations
      .filter(({ state }) => state === "applied")
      .at(-1)?.name;

    expect(await applyMigrations(connectionString, { folder, to: name, ...allowed })).toEqual([name]);
    const after = {
      data: await dataHash(connectionString, loses.down),
      schema: await fingerprintOf(connectionString),
    };
    expect(after.schema).not.toEqual(before.schema);

    expect(await revertMigrations(connectionString, { to: previous ?? "", ...allowed })).toEqual([name]);
    expect(await fingerprintOf(connectionString)).toEqual(before.schema);
    expect(await dataHash(connectionString, loses.up)).toEqual(kept);
    if (loses.up.length === 0) expect(await dataHash(connectionString)).toEqual(before.data);
    else expect(await dataHash(connectionString)).not.toEqual(before.data);

    expect(await applyMigrations(connectionString, { folder, to: name, ...allowed })).toEqual([name]);
    expect(await fingerprintOf(connectionString)).toEqual(after.schema);
    expect(await dataHash(connectionString, loses.down)).toEqual(after.data);
    if (name === expand.name) {
      // So that the contract step has something to lose.
      await query(connectionString, "UPDATE tasks SET review_note = title");
      await query(
        connectionString,
        "INSERT INTO milestones VALUES (gen_random_uuid(), 'one'), (gen_random_uuid(), 'two')",
      );
    }
  },
);

test("a program that knows none of them takes them back, by the scripts in the database alone", async () => {
  const { connectionString } = core;
  const { migrations } = await migrationStatus(connectionString);
  expect(migrations.slice(shipped.length)).toEqual(
    fixtures.map(({ name, kind }) => ({
      name,
      state: "applied",
      kind,
      revertible: true,
      known: false,
      edited: false,
    })),
  );
  await made.remove();
  expect(await revertMigrations(connectionString, { to: head, allowDataLoss: true })).toEqual(
    fixtures.map(({ name }) => name).reverse(),
  );
  const untouched = await createTestDatabase();
  expect(await fingerprintOf(connectionString)).toEqual(await fingerprintOf(untouched.connectionString));
  await untouched.drop();
  expect(await migrationStatus(connectionString)).toMatchObject({
    applied: shipped.length,
    pending: 0,
    invalidIndexes: [],
  });
  expect(migrations.at(-1)?.name).toBe(contract.name);
});

import { readFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { checkMigrations } from "../../../src/migrate/check.ts";
import { createMigration } from "../../../src/migrate/create.ts";
import { prismaFolder, readMigrations } from "../../../src/migrate/migrations.ts";
import { createFolder, type Fixture, fixtures, shipped, type TestFolder } from "../../support/migrations.ts";

const made: TestFolder[] = [];
const folderOf = async (added: readonly Fixture[]) => {
  const one = await createFolder(added);
  made.push(one);
  return one.folder;
};
afterEach(async () => {
  for (const one of made.splice(0)) await one.remove();
});

const schemaText = async () => await readFile(path.join(await prismaFolder(), "schema.prisma"), "utf8");

/** The package's schema with lines of the model Task replaced or added. */
async function changed(...changes: [string | RegExp, string][]): Promise<string> {
  return changes.reduce(
    (text, [from, to]) => {
      const next = text.replace(from, to);
      if (next === text) throw new Error(`the schema has no ${from}`);
      return next;
    },
    await schemaText(),
  );
}

const plain = (number: number, fixture: Partial<Fixture>): Fixture => ({
  name: `2027020${number}000000_fault`,
  kind: "expand",
  reversible: true,
  transaction: true,
  loses: { up: [], down: [] },
  up: "",
  down: "",
  ...fixture,
});

test("the package's migrations have no fault, and neither have the fixtures", async () => {
  const steps: string[] = [];
  const schema = await changed(
    ["@@index([tagId, rank, id])", "@@index([estimate])\n  @@index([tagId, rank, id])"],
    ["/// The fence of the last claim", "estimate Int?\n  /// The fence of the last claim"],
  );
  const folder = await folderOf(fixtures);
  expect(await checkMigrations({ folder, schema, onStep: (step) => steps.push(step) })).toEqual([]);
  expect(steps).toEqual([...shipped, ...fixtures.map(({ name }) => name), "the Prisma schema"]);
}, 60_000);

test("everything that is wrong is found, a sentence a fault", async () => {
  const folder = await folderOf([
    plain(2, {
      kind: "contract",
      up: 'ALTER TABLE "tasks" DROP COLUMN "effort";',
      down: 'ALTER TABLE "tasks" ADD COLUMN "effort" DOUBLE PRECISION;',
      loses: { up: ["tasks.assignee"], down: [] },
    }),
    plain(3, {
      up: 'ALTER TABLE "tasks" ADD COLUMN "due" DATE;',
      down: 'ALTER TABLE "tasks" DROP COLUMN "due";',
    }),
    plain(4, {
      up: 'CREATE INDEX "tasks_title_idx" ON "tasks"("title");',
      down: 'DROP INDEX "tasks_title_idx";',
    }),
    plain(5, {
      up: 'ALTER TABLE "tasks" ADD COLUMN "owner" TEXT NOT NULL;',
      down: 'ALTER TABLE "tasks" DROP COLUMN "owner";',
      loses: { up: [], down: ["tasks.owner"] },
    }),
    plain(6, {
      transaction: false,
      up: 'ALTER TABLE "tasks" ADD COLUMN "again" TEXT;',
      down: 'ALTER TABLE "tasks" DROP COLUMN "again";',
      loses: { up: [], down: ["tasks.again"] },
    }),
    plain(7, {
      up: 'ALTER TABLE "tasks" ALTER COLUMN "assignee" TYPE VARCHAR(100);',
      down: 'ALTER TABLE "tasks" ALTER COLUMN "assignee" TYPE TEXT;',
    }),
  ]);
  const faults = await checkMigrations({ folder });
  const of = (number: number) => faults.filter((fault) => fault.startsWith(`2027020${number}`));

  expect(of(2)).toEqual([
    "20270202000000_fault/migration.json says that up loses tasks.assignee, but it loses tasks.effort.",
  ]);
  expect(of(3)).toEqual([
    "20270203000000_fault/migration.json says that down loses nothing, but it loses tasks.due.",
  ]);
  expect(of(4)).toEqual([
    expect.stringMatching(/migration\.sql, line 1: .*\(squawk: require-concurrent-index-creation\)/s),
    expect.stringMatching(/down\.sql, line 1: .*\(squawk: require-concurrent-index-deletion\)/s),
  ]);
  expect(of(5)).toEqual([
    expect.stringMatching(/migration\.sql, line 1: .*\(squawk: adding-required-field\)/s),
  ]);
  expect(of(6)).toHaveLength(2);
  for (const fault of of(6)) expect(fault).toContain("cannot be run again after it was cut off");
  expect(of(7).join("\n")).toMatch(/\(squawk: changing-column-type\)/);
  expect(faults.at(-1)).toMatch(
    /^The migrations do not make prisma\/schema\.prisma; what is missing comes from: task-master-pro migrate new NAME\n/,
  );
}, 60_000);

test("one that does not lead back or does not run is a fault like the others, and those after it are only read", async () => {
  const folder = await folderOf([
    plain(1, {
      up: 'BEGIN;\nALTER TABLE "tasks" ADD COLUMN "due" DATE;\nCOMMIT;',
      down: 'ALTER TABLE "tasks" DROP COLUMN "due";',
      loses: { up: [], down: ["tasks.due"] },
    }),
    plain(2, {
      up: 'CREATE TABLE "forgotten" ("id" UUID NOT NULL PRIMARY KEY);\nCREATE TABLE "taken" ("id" UUID NOT NULL PRIMARY KEY);',
      down: 'DROP TABLE "taken";',
      loses: { up: [], down: ["taken"] },
    }),
    plain(3, {
      up: 'CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_title_idx" ON "tasks"("title");',
      down: 'DROP INDEX CONCURRENTLY IF EXISTS "tasks_title_idx";',
    }),
    plain(4, { up: "SELECT 1;\nSELEC 1;" }),
  ]);
  const faults = await checkMigrations({ folder });
  const of = (number: number) => faults.filter((fault) => fault.startsWith(`2027020${number}`));
  expect(of(1)).toContain(
    "20270201000000_fault/migration.sql, statement 1: BEGIN and COMMIT are the migrator's; leave them out.",
  );
  expect(of(2)).toEqual([
    expect.stringMatching(
      /^20270202000000_fault\/down.sql does not lead back to the schema before:\n(.*\n)* {2}too much: table forgotten p$/,
    ),
    expect.stringMatching(
      /^20270202000000_fault\/migration.sql, statement 1 of 2: relation "forgotten" already exists/,
    ),
  ]);
  const moved = 'cannot run in a transaction; move it to a migration with "transaction": false.';
  expect(of(3)).toEqual(
    expect.arrayContaining([
      `20270203000000_fault/migration.sql, statement 1 ${moved}`,
      `20270203000000_fault/down.sql, statement 1 ${moved}`,
    ]),
  );
  expect(of(4)).toEqual([
    '20270204000000_fault/migration.sql: The SQL is not valid, line 2: syntax error at or near "SELEC".',
  ]);
}, 60_000);

test("a new migration is written in both directions from the Prisma schema, and has no fault", async () => {
  const folder = await folderOf([]);
  const schema = `${await changed(
    [/^ {2}complexity .*\n/m, ""],
    ["@@index([tagId, rank, id])", "@@index([dueAt])\n  @@index([tagId, rank, id])"],
    [
      "/// The fence of the last claim",
      'dueAt DateTime? @map("due_at") @db.Timestamptz(3)\n  /// The fence of the last claim',
    ],
  )}
model Milestone {
  id   String @id @db.Uuid
  name String @unique

  @@map("milestones")
}
`;
  const now = new Date("2027-02-03T04:05:06Z");
  const names = ["20270203040506_due_dates", "20270203040506_due_dates_indexes"];
  expect(await createMigration("due_dates", { folder, schema, now })).toEqual(
    names.map((name) => path.join(folder.path, name)),
  );
  const written = await readMigrations(folder.path);
  const [tables, indexes] = written.migrations.slice(shipped.length);
  expect(tables).toMatchObject({
    name: names[0],
    kind: "contract",
    reversible: true,
    transaction: true,
    loses: { up: ["tasks.complexity"], down: ["milestones", "tasks.due_at"] },
  });
  expect(tables?.sql).toContain('CREATE UNIQUE INDEX "milestones_name_key"');
  expect(tables?.down).toContain('DROP TABLE "milestones"');
  expect(indexes).toMatchObject({
    name: names[1],
    kind: "expand",
    reversible: true,
    transaction: false,
    loses: { up: [], down: [] },
  });
  expect(indexes?.sql).toMatch(
    /^(--.*\n)*CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_due_at_idx" ON "tasks"\("due_at"\);\n$/,
  );
  expect(indexes?.down).toBe('DROP INDEX CONCURRENTLY IF EXISTS "tasks_due_at_idx";\n');
  expect(await checkMigrations({ folder: written, schema })).toEqual([]);

  const later = { folder: written, schema, now: new Date("2027-02-04T00:00:00Z") };
  await expect(createMigration("more", later)).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringContaining("so there is nothing to write"),
  });
}, 90_000);

import { expect, test } from "vitest";
import { parseStatements } from "../../../src/migrate/parse.ts";
import { splitStatements } from "../../../src/migrate/statements.ts";

test("a script is cut where PostgreSQL's parser cuts it, whatever holds a semicolon", async () => {
  const script = `-- One; of them.
CREATE TABLE "a;b" ("x" TEXT DEFAULT 'it''s; ok');
/* Two; */ SELECT $tag$ ; $$ ; $tag$, ';', "a;b" FROM "a;b";
CREATE FUNCTION "f"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'x;y'; -- Three; four.
END
$$;
DO $x$ BEGIN PERFORM 1; END $x$`;
  const parsed = await parseStatements(script);
  expect(parsed.map(({ kind }) => kind)).toEqual([
    "CreateStmt",
    "SelectStmt",
    "CreateFunctionStmt",
    "DoStmt",
  ]);
  expect(splitStatements(script)).toHaveLength(4);
});

test.each([
  ["a comment inside a comment", "/* a; /* b; */ c; */ SELECT 1;"],
  ["a backslash before a quote", "SELECT E'a\\'; b'; SELECT 2"],
  ["BEGIN ATOMIC", "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END"],
])("%s, where the two differ, is refused before it is released", async (_what, script) => {
  await expect(parseStatements(script)).rejects.toThrow(/would cut statement 1 at another semicolon/);
});

test("what waits for others without making anybody wait is told apart, and so is the index that is built", () => {
  const [build, named, drop, validate, analyze, alter] = splitStatements(`
    -- Why.
    CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "Odd""Name" ON "tasks"("title");
    create index concurrently PLAIN on tasks (title);
    DROP INDEX CONCURRENTLY IF EXISTS "x";
    ALTER TABLE "tasks" VALIDATE CONSTRAINT "c";
    ANALYZE "tasks";
    ALTER TABLE "tasks" ADD COLUMN "x" TEXT;`);
  expect([build, named].map((one) => one?.concurrentIndex)).toEqual(['Odd"Name', "plain"]);
  expect([build, named, drop, validate, analyze].map((one) => one?.waitsQuietly)).toEqual([
    true,
    true,
    true,
    true,
    true,
  ]);
  expect(alter).toMatchObject({ waitsQuietly: false, concurrentIndex: null });
});

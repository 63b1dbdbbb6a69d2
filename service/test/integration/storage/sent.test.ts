import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { AppError } from "../../../src/core/errors.ts";
import { type Database, openDatabase } from "../../../src/storage/postgres/client.ts";
import { type Db, type Sql, sql } from "../../../src/storage/postgres/sql.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";

/** Statements of a transaction that nobody waits for: what becomes of it when one fails. */
let database: TestDatabase;
let db: Database;

beforeAll(async () => {
  database = await createTestDatabase();
  db = openDatabase({
    connectionString: database.connectionString,
    poolSize: 4,
    statementTimeoutMs: 20_000,
  });
  await db.execute(
    sql`CREATE TABLE numbers (number int PRIMARY KEY CHECK (number < 100), seen int DEFAULT 0)`,
  );
});
beforeEach(async () => {
  await db.execute(sql`TRUNCATE numbers`);
  await db.execute(sql`INSERT INTO numbers VALUES (1), (2)`);
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

const add = (number: number): Sql => sql`INSERT INTO numbers VALUES (${number})`;
const isThere = async (number: number) =>
  (await db.query(sql`SELECT FROM numbers WHERE number = ${number}`)).length > 0;
/** The code of the error, or what the transaction came to. */
const outcome = async (work: (tx: Db) => Promise<unknown>) =>
  await db.transaction(work).catch((error: unknown) => (error instanceof AppError ? error.code : error));

test("it fails with the transaction, and nothing of that stays", async () => {
  const work = async (tx: Db) => {
    await tx.execute(add(3));
    await tx.send(add(1));
    return "committed";
  };
  expect(await outcome(work)).toBe("already_exists");
  expect(await isThere(3)).toBe(false);
});

test("what is asked behind it fails for its reason, which is the one that is told", async () => {
  const work = async (tx: Db) => {
    await tx.send(add(1));
    return await tx.query(sql`SELECT 1`);
  };
  expect(await outcome(work)).toBe("already_exists");
});

test("where one before it failed, that one's reason is told", async () => {
  const work = async (tx: Db) => {
    await Promise.all([tx.execute(add(100)), tx.send(add(1))]);
  };
  expect(await outcome(work)).toBe("conflict");
});

test("it has run when the transaction is committed", async () => {
  expect(
    await outcome(async (tx) => {
      await tx.send(add(3));
      await tx.send(add(4));
      return "committed";
    }),
  ).toBe("committed");
  expect([await isThere(3), await isThere(4)]).toEqual([true, true]);
});

test("a deadlock over it has the transaction run again", async () => {
  const seen = (number: number) => sql`UPDATE numbers SET seen = seen + 1 WHERE number = ${number}`;
  let both = 0;
  let met: (() => void) | undefined;
  const meeting = new Promise<void>((resolve) => {
    met = resolve;
  });
  let attempts = 0;
  const crossing = async (first: number, second: number) =>
    await db.transaction(async (tx) => {
      attempts += 1;
      await tx.execute(seen(first));
      both += 1;
      if (both === 2) met?.();
      await meeting;
      await tx.send(seen(second));
    });
  await Promise.all([crossing(1, 2), crossing(2, 1)]);
  expect(attempts).toBeGreaterThan(2);
  expect(await db.query(sql`SELECT number, seen FROM numbers ORDER BY number`)).toEqual([
    { number: 1, seen: 2 },
    { number: 2, seen: 2 },
  ]);
});

import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";

export interface TestDatabase {
  connectionString: string;
  drop(): Promise<void>;
}

/** A migrated database of the caller's own. Make one a test file, and drop it in afterAll. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const { url, template } = inject("database");
  return await create(url, ` TEMPLATE ${template}`);
}

/** The same without any migration. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return await create(inject("database").url, "");
}

async function create(url: string, from: string): Promise<TestDatabase> {
  const name = `tmp_test_${randomBytes(6).toString("hex")}`;
  await run(url, `CREATE DATABASE ${name}${from}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return {
    connectionString: own.href,
    drop: async () => await run(url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function run(connectionString: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

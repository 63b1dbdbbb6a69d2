import { randomBytes } from "node:crypto";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { applyMigrations } from "../../src/migrate/apply.ts";
import { openDatabaseServer } from "./database-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    database: { url: string; template: string };
  }
}

/** Once a run: a server, and a database with the migrations applied, from which each test file gets a copy. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await openDatabaseServer();
  const template = `tmp_template_${randomBytes(4).toString("hex")}`;
  await run(server.url, `CREATE DATABASE ${template}`);
  const url = new URL(server.url);
  url.pathname = `/${template}`;
  await applyMigrations(url.href);
  project.provide("database", { url: server.url, template });
  return async () => {
    await run(server.url, `DROP DATABASE IF EXISTS ${template} WITH (FORCE)`);
    await server.stop();
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

import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { PrismaPg } from "@prisma/adapter-pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPostgres } from "../../../src/storage/postgres/open.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { createWorld } from "../../support/world.ts";

const root = path.join(import.meta.dirname, "../../../..");

interface Model {
  findMany(query: object): Promise<Record<string, unknown>[]>;
}
type Client = Record<string, Model> & { $disconnect(): Promise<void> };

let database: TestDatabase;
let client: Client;
let models: string[];

beforeAll(async () => {
  database = await createTestDatabase();
  // It asks for an engine that generating does not use; any file will do.
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: path.join(root, "package.json") };
  await promisify(execFile)("prisma", ["generate", "--no-hints"], { cwd: root, env });
  const generated = await import(path.join(root, "generated/client.ts"));
  client = new generated.PrismaClient({
    adapter: new PrismaPg({ connectionString: database.connectionString }),
  });
  models = Object.keys(generated.Prisma.ModelName);
});
afterAll(async () => {
  await client.$disconnect();
  await database.drop();
});

test("Prisma's client of this schema reads what the server writes, every model of it", async () => {
  const storage = await openPostgres({ ...database, poolSize: 2, statementTimeoutMs: 5_000 });
  const world = await createWorld(storage);
  const [first, second] = [await world.addTask(), await world.addTask()];
  await storage.close();

  expect(models.length).toBeGreaterThan(15);
  for (const model of models) {
    // It names every column, so that one that the database lacks, or has with another type, is refused.
    await client[`${model[0]?.toLowerCase()}${model.slice(1)}`]?.findMany({ take: 3 });
  }
  const tasks = await client.task?.findMany({ orderBy: { number: "asc" } });
  expect(tasks?.map(({ id, title, status, version }) => ({ id, title, status, version }))).toEqual(
    [first, second].map(({ id, title, status, version }) => ({ id, title, status, version })),
  );
});

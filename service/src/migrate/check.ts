import { readFile } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../core/errors.ts";
import { applyMigrations } from "./apply.ts";
import { connect } from "./connection.ts";
import { openEngine } from "./engine.ts";
import { findLosses, schemaFingerprint } from "./fingerprint.ts";
import { lintMigration } from "./lint.ts";
import { type Migration, type MigrationFolder, prismaFolder, readMigrations } from "./migrations.ts";
import { revertMigrations } from "./revert.ts";
import { openScratch } from "./scratch.ts";

export interface CheckOptions {
  /** Instead of the package's. */
  folder?: MigrationFolder;
  /** The text of the Prisma schema, instead of the package's. */
  schema?: string;
  onStep?: (text: string) => void;
}

/**
 * Whether the migrations are fit to be released, tried on a PostgreSQL of its own: every one applies, is taken back to
 * exactly the schema before it and applies again, loses what it says and nothing else, holds up no writer as far as
 * the linter sees, and together they make the Prisma schema. Returns what is wrong, a sentence a fault.
 */
export async function checkMigrations(options: CheckOptions = {}): Promise<string[]> {
  const folder = options.folder ?? (await readMigrations());
  const schema = options.schema ?? (await readFile(path.join(await prismaFolder(), "schema.prisma"), "utf8"));
  const step = options.onStep ?? (() => {});
  const faults: string[] = [];
  const scratch = await openScratch();
  try {
    const database = await scratch.database();
    let before = "none";
    let runs = true;
    for (const migration of folder.migrations) {
      step(migration.name);
      faults.push(...(await lintMigration(folder.path, migration)));
      // What comes after one that does not run cannot be tried, only read.
      if (!runs) continue;
      try {
        await tryMigration(database, folder, migration, before, faults);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        faults.push(error.message);
        runs = false;
      }
      before = migration.name;
    }
    if (!runs) return faults;
    step("the Prisma schema");
    faults.push(...(await compareSchema(database, schema)));
    return faults;
  } finally {
    await scratch.close();
  }
}

/** Adds what it finds to the faults, also when it throws because a script does not run. */
async function tryMigration(
  database: string,
  folder: MigrationFolder,
  migration: Migration,
  before: string,
  faults: string[],
): Promise<void> {
  const { name, loses } = migration;
  const up = async () =>
    await applyMigrations(database, { folder, to: name, allowContract: true, allowDataLoss: true });
  const start = await fingerprint(database);
  await up();
  const applied = await fingerprint(database);
  faults.push(...compareLosses(name, "up", loses.up, findLosses(start, applied)));
  if (migration.down === null) return;

  await revertMigrations(database, { to: before, allowDataLoss: true });
  const reverted = await fingerprint(database);
  faults.push(
    ...compareLosses(name, "down", loses.down, findLosses(applied, reverted)),
    ...difference(`${name}/down.sql does not lead back to the schema before`, start, reverted),
  );
  await up();
  const again = await fingerprint(database);
  faults.push(...difference(`${name} applies differently after it was taken back`, applied, again));
}

async function fingerprint(database: string): Promise<string[]> {
  const client = await connect(database);
  try {
    return await schemaFingerprint(client);
  } finally {
    await client.end();
  }
}

function compareLosses(name: string, direction: string, said: string[], found: string[]): string[] {
  const list = (names: string[]) => (names.length === 0 ? "nothing" : names.join(", "));
  if (list([...said].sort()) === list(found)) return [];
  return [
    `${name}/migration.json says that ${direction} loses ${list([...said].sort())}, but it loses ${list(found)}.`,
  ];
}

function difference(what: string, wanted: string[], found: string[]): string[] {
  const missing = wanted.filter((line) => !found.includes(line)).map((line) => `  missing: ${line}`);
  const extra = found.filter((line) => !wanted.includes(line)).map((line) => `  too much: ${line}`);
  const lines = [...missing, ...extra];
  return lines.length === 0 ? [] : [`${what}:\n${lines.join("\n")}`];
}

async function compareSchema(database: string, schema: string): Promise<string[]> {
  const engine = await openEngine(database);
  try {
    const script = await engine.scriptForward(schema);
    if (script === "") return [];
    return [
      `The migrations do not make prisma/schema.prisma; what is missing comes from: task-master-pro migrate new NAME\n${script.trim().replace(/^/gm, "  ")}`,
    ];
  } finally {
    await engine.close();
  }
}

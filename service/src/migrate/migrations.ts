import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import { AppError } from "../core/errors.ts";

const DataName = Type.String({ pattern: "^[a-z_][a-z0-9_]*(\\.[a-z_][a-z0-9_]*)?$" });

/** What migration.json says of the two scripts beside it. */
export const MigrationNotes = Type.Object(
  {
    kind: Type.Enum(["expand", "contract"], {
      type: "string",
      description:
        "expand: the release before it runs on the new schema too. contract: it does not, so that release must be gone.",
    }),
    reversible: Type.Boolean({ description: "Whether down.sql takes it back." }),
    transaction: Type.Boolean({
      description:
        "Whether each script runs in one transaction. If not, each of its statements must be one that can be run again.",
    }),
    loses: Type.Object(
      { up: Type.Array(DataName), down: Type.Array(DataName) },
      {
        additionalProperties: false,
        description: "The data that goes with each direction: tables, and columns as table.column.",
      },
    ),
  },
  { additionalProperties: false },
);
export type MigrationNotes = Static<typeof MigrationNotes>;
const notes = Compile(MigrationNotes);

export interface Migration extends MigrationNotes {
  /** The folder's name, `YYYYMMDDhhmmss_words`; migrations apply in the order of their names. */
  name: string;
  sql: string;
  /** Of migration.sql: SHA-256 in hexadecimal, as Prisma keeps it. */
  checksum: string;
  /** The text of down.sql; null for one that is not reversible. */
  down: string | null;
}

export interface MigrationFolder {
  path: string;
  /** Sorted by name, which is the order they apply in. */
  migrations: Migration[];
  /** The text of migration_lock.toml. */
  lockfile: string;
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The package's prisma folder: two folders above this one, from service/src as from dist, once its root is found. */
export async function prismaFolder(): Promise<string> {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = path.join(folder, "prisma");
    const entries = await readdir(candidate).catch((): string[] => []);
    if (entries.includes("schema.prisma")) return candidate;
    const above = path.dirname(folder);
    if (above === folder)
      throw new Error("The package's prisma folder is missing; install the package again.");
    folder = above;
  }
}

/** Reads a folder of migrations, by default the package's. Throws AppError for one that lacks a part, naming it. */
export async function readMigrations(folder?: string): Promise<MigrationFolder> {
  const root = folder ?? path.join(await prismaFolder(), "migrations");
  const entries = await readdir(root, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const migrations = await Promise.all(names.sort().map(async (name) => await readMigration(root, name)));
  return { path: root, migrations, lockfile: await readFile(path.join(root, "migration_lock.toml"), "utf8") };
}

async function readMigration(root: string, name: string): Promise<Migration> {
  const read = async (file: string) =>
    await readFile(path.join(root, name, file), "utf8").catch((error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    });
  const [sql, down, json] = await Promise.all([
    read("migration.sql"),
    read("down.sql"),
    read("migration.json"),
  ]);
  if (sql === undefined) throw faulty(name, "has no migration.sql");
  if (json === undefined) throw faulty(name, "has no migration.json, which says what kind it is");
  const said = parseNotes(name, json);
  if (said.reversible && down === undefined)
    throw faulty(name, 'has no down.sql; write one, or say "reversible": false in its migration.json');
  if (!said.reversible && down !== undefined)
    throw faulty(name, 'has a down.sql, but its migration.json says "reversible": false');
  return { name, sql, checksum: sha256(sql), down: down ?? null, ...said };
}

function parseNotes(name: string, json: string): MigrationNotes {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw faulty(name, `has a migration.json that is no JSON: ${String(error)}`);
  }
  if (notes.Check(value)) return value;
  const faults = notes.Errors(value).map((error) => `${error.instancePath || "/"} ${error.message}`);
  throw faulty(name, `has a migration.json that is not as it must be: ${faults.join("; ")}`);
}

function faulty(name: string, what: string): AppError {
  return new AppError("invalid_input", `The migration ${name} ${what}.`);
}

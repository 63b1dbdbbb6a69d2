import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

export interface Migration {
  name: string;
  sql: string;
}

export interface MigrationFolder {
  /** Sorted by name, which is the order they apply in. */
  migrations: Migration[];
  /** The text of migration_lock.toml. */
  lockfile: string;
}

/** The package's prisma folder: two folders above this one, from service/src as from dist, once its root is found. */
async function prismaFolder(): Promise<string> {
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

export async function readMigrations(): Promise<MigrationFolder> {
  const folder = path.join(await prismaFolder(), "migrations");
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const migrations = await Promise.all(
    names
      .sort()
      .map(async (name) => ({ name, sql: await readFile(path.join(folder, name, "migration.sql"), "utf8") })),
  );
  return { migrations, lockfile: await readFile(path.join(folder, "migration_lock.toml"), "utf8") };
}

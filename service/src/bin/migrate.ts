import { loadConfig } from "../config.ts";
import { applyMigrations } from "../migrate/apply.ts";
import { migrationStatus } from "../migrate/status.ts";

function databaseUrl(): string {
  const { database } = loadConfig(process.env);
  if (database.kind === "postgres") return database.url;
  throw new Error("Set DATABASE_URL: the embedded database is migrated by the server itself when it starts.");
}

export async function migrateStatus({ json }: { json: boolean }): Promise<void> {
  const status = await migrationStatus(databaseUrl());
  if (json) process.stdout.write(`${JSON.stringify(status, null, 2)}\n`);
  else {
    for (const name of status.applied) process.stdout.write(`applied  ${name}\n`);
    for (const name of status.pending) process.stdout.write(`pending  ${name}\n`);
    process.stdout.write(`${status.applied.length} applied, ${status.pending.length} pending\n`);
  }
  if (status.pending.length > 0) process.exitCode = 3;
}

export async function migrateUp(): Promise<void> {
  const applied = await applyMigrations(databaseUrl());
  for (const name of applied) process.stdout.write(`applied  ${name}\n`);
  process.stdout.write(
    applied.length === 0 ? "Nothing to do: the schema is up to date.\n" : "The schema is up to date.\n",
  );
}

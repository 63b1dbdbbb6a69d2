import type pg from "pg";
import { AppError } from "../core/errors.ts";
import { readVersion } from "../version.ts";
import { type Migrator, type MigratorOptions, withMigrator } from "./connection.ts";
import {
  adopt,
  ensureLedger,
  type Recorded,
  readRecorded,
  recordApplied,
  recordFailure,
  recordReverted,
  recordStart,
} from "./ledger.ts";
import { countLosses, describeLosses } from "./losses.ts";
import { type Migration, type MigrationFolder, readMigrations } from "./migrations.ts";
import { revertOne } from "./revert.ts";
import { runScript } from "./script.ts";

export interface ApplyOptions extends MigratorOptions {
  /** Instead of the package's. */
  folder?: MigrationFolder;
  /** The last migration to apply, by name; by default the newest. */
  to?: string;
  /** Whether to take steps that the release before cannot run on. */
  allowContract?: boolean;
  /** Whether to take steps that lose data. */
  allowDataLoss?: boolean;
}

/**
 * Applies the migrations that the database does not have yet, in order, and returns their names. Many processes may
 * call it at once: one applies, the others wait and find nothing left. What a killed run left half done is finished
 * or undone first. Throws AppError with the statement that failed, or with what a step that needs a flag would do.
 */
export async function applyMigrations(
  connectionString: string,
  options: ApplyOptions = {},
): Promise<string[]> {
  const folder = options.folder ?? (await readMigrations());
  return await withMigrator(
    connectionString,
    options,
    async (migrator) => await applyAll(migrator, folder, options),
  );
}

async function applyAll(
  migrator: Migrator,
  folder: MigrationFolder,
  options: ApplyOptions,
): Promise<string[]> {
  const { client } = migrator;
  const program = readVersion();
  await ensureLedger(client);
  await heal(migrator, folder, await readRecorded(client), program);
  const pending = await findPending(client, folder, options.to);
  await refuseUnasked(client, pending, options);
  for (const migration of pending) await applyOne(migrator, migration, program);
  return pending.map(({ name }) => name);
}

/** The migrations of the folder that are not wholly applied, up to the wanted one. */
export async function findPending(
  client: pg.Client,
  folder: MigrationFolder,
  to: string | undefined,
): Promise<Migration[]> {
  if (to !== undefined && !folder.migrations.some(({ name }) => name === to)) {
    const known = folder.migrations.map(({ name }) => name).join(", ");
    throw new AppError("not_found", `There is no migration ${to}. This program has: ${known}.`);
  }
  const applied = new Set(
    (await readRecorded(client)).filter(({ finished }) => finished).map(({ name }) => name),
  );
  return folder.migrations.filter(({ name }) => !applied.has(name) && (to === undefined || name <= to));
}

/** Leaves nothing half done that is not known to the folder as half done, and gives every known one its ledger row. */
async function heal(
  migrator: Migrator,
  folder: MigrationFolder,
  recorded: Recorded[],
  program: string,
): Promise<void> {
  const { client, progress } = migrator;
  const known = new Map(folder.migrations.map((migration) => [migration.name, migration]));
  for (const one of recorded) {
    const migration = known.get(one.name);
    if (one.ledger?.state === "reverting") {
      progress({ event: "note", migration: one.name, text: "its revert was cut off, and is finished first" });
      await revertOne(migrator, one);
    } else if (!one.finished && one.ledger === null) {
      await healForeign(migrator, one, migration);
    } else if (one.finished && one.ledger === null && migration?.checksum === one.checksum) {
      await adopt(client, migration, program);
    } else if (one.finished && migration !== undefined && migration.checksum !== one.checksum) {
      progress({
        event: "note",
        migration: one.name,
        text: "it was applied in another form than this program has; a migration must not be changed once it is released",
      });
    }
  }
}

/** Prisma's tools send a migration as one implicit transaction, so that a run of theirs that was cut off left nothing. */
async function healForeign(
  { client, progress }: Migrator,
  one: Recorded,
  migration: Migration | undefined,
): Promise<void> {
  if (migration?.transaction !== true) {
    throw new AppError(
      "conflict",
      `The migration ${one.name} was begun by another tool and did not end, and this program cannot know how far it came. ` +
        "Look at the schema, then say which it is: prisma migrate resolve --applied or --rolled-back.",
    );
  }
  progress({
    event: "note",
    migration: one.name,
    text: "another tool's run of it was cut off; it begins anew",
  });
  await recordReverted(client, one.name);
}

/** All refusals come before the first step, so that a refused run changes nothing. */
async function refuseUnasked(client: pg.Client, pending: Migration[], options: ApplyOptions): Promise<void> {
  const before = (migration: Migration) => {
    const index = pending.indexOf(migration);
    return index > 0 ? ` To stop before it: --to ${pending[index - 1]?.name}.` : "";
  };
  for (const migration of pending) {
    const losses = await countLosses(client, migration.loses.up);
    const loss = losses.length === 0 ? "" : ` It loses: ${describeLosses(losses)}.`;
    if (migration.kind === "contract" && options.allowContract !== true) {
      throw new AppError(
        "conflict",
        `The migration ${migration.name} is a contract step: releases that came before it cannot run on the schema after it.${loss} ` +
          `Once none of them runs any more: --allow-contract${losses.length > 0 ? " --allow-data-loss" : ""}.${before(migration)} Nothing was changed.`,
      );
    }
    if (losses.length > 0 && options.allowDataLoss !== true) {
      throw new AppError(
        "conflict",
        `The migration ${migration.name} loses data.${loss} If that may go: --allow-data-loss.${before(migration)} Nothing was changed.`,
      );
    }
  }
}

async function applyOne(migrator: Migrator, migration: Migration, program: string): Promise<void> {
  const { client } = migrator;
  const { name, sql, transaction } = migration;
  const done = transaction ? 0 : await begin(client, migration, program);
  try {
    await runScript(migrator, {
      migration: name,
      direction: "up",
      sql,
      transaction,
      done,
      finish: async () => await recordApplied(client, migration, program),
    });
  } catch (error) {
    if (!transaction && error instanceof Error)
      await recordFailure(client, name, error.message).catch(() => {});
    throw error;
  }
}

/** How many statements an earlier run has done already. */
async function begin(client: pg.Client, migration: Migration, program: string): Promise<number> {
  const earlier = (await readRecorded(client)).find(({ name }) => name === migration.name);
  if (earlier === undefined) {
    await recordStart(client, migration, program);
    return 0;
  }
  if (earlier.checksum !== migration.checksum) {
    throw new AppError(
      "conflict",
      `The migration ${migration.name} is half applied in another form than this program has. Finish it with the release that began it, ` +
        "or take it back by: task-master-pro migrate down.",
    );
  }
  return earlier.ledger?.statementsDone ?? 0;
}

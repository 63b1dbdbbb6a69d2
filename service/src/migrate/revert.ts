import { AppError } from "../core/errors.ts";
import { type Migrator, type MigratorOptions, withMigrator } from "./connection.ts";
import {
  ensureLedger,
  inTransaction,
  type Recorded,
  readRecorded,
  recordReverted,
  recordReverting,
} from "./ledger.ts";
import { countLosses, describeLosses, type Loss } from "./losses.ts";
import { sha256 } from "./migrations.ts";
import { runScript } from "./script.ts";

export interface RevertOptions extends MigratorOptions {
  /** The migration to go back to, which stays applied; "none" takes back all of them. */
  to: string;
  /** Whether to take steps that lose data. */
  allowDataLoss?: boolean;
}

/**
 * Takes back every migration after the wanted one, newest first, by the scripts that the database itself keeps: a
 * program of any release can revert what another applied. Returns their names. Throws AppError, with nothing changed,
 * for one that cannot be taken back or would lose data unasked.
 */
export async function revertMigrations(connectionString: string, options: RevertOptions): Promise<string[]> {
  return await withMigrator(connectionString, options, async (migrator) => {
    const { client } = migrator;
    await ensureLedger(client);
    const steps = planRevert(await readRecorded(client), options.to);
    if (options.allowDataLoss !== true) {
      const names = steps.flatMap(({ ledger }) => ledger?.loses.down ?? []);
      const losses = await countLosses(client, names);
      if (losses.length > 0) throw refusal(steps, losses);
    }
    for (const step of steps) await revertOne(migrator, step);
    return steps.map(({ name }) => name);
  });
}

function refusal(steps: Recorded[], losses: Loss[]): AppError {
  return new AppError(
    "conflict",
    `Taking back ${steps.map(({ name }) => name).join(", ")} loses: ${describeLosses(losses)}. ` +
      "Make a backup (task-master-pro backup create), then: --allow-data-loss. Nothing was changed.",
  );
}

/** What to revert, newest first; every refusal comes before the first step. */
export function planRevert(recorded: Recorded[], to: string): Recorded[] {
  if (to !== "none" && !recorded.some(({ name }) => name === to)) {
    const applied = recorded.map(({ name }) => name).join(", ") || "none";
    throw new AppError("not_found", `The migration ${to} is not applied. Applied: ${applied}.`);
  }
  const steps = recorded.filter(({ name }) => to === "none" || name > to).reverse();
  for (const { name, ledger } of steps) {
    if (ledger === null) {
      throw new AppError(
        "conflict",
        `The migration ${name} was applied by another tool, so the database keeps no down.sql of it. ` +
          "Run migrate up with the release that has it, which adds that, then this again.",
      );
    }
    if (ledger.down === null) {
      throw new AppError(
        "conflict",
        `The migration ${name} cannot be taken back. The way back is a backup: task-master-pro backup restore.`,
      );
    }
    checkScript(name, ledger);
  }
  return steps;
}

/** Whoever can write to the ledger must not thereby choose what a migrator, which may be another role, runs. */
function checkScript(name: string, { down, downSha256 }: NonNullable<Recorded["ledger"]>): void {
  if (down === null || sha256(down) === downSha256) return;
  throw new AppError(
    "conflict",
    `The down.sql of ${name} in the database is not what was stored there; somebody changed it. Nothing was changed.`,
  );
}

export async function revertOne(migrator: Migrator, { name, ledger }: Recorded): Promise<void> {
  const { client } = migrator;
  if (ledger === null || ledger.down === null) throw new Error(`${name} has no down.sql`);
  checkScript(name, ledger);
  const resumed = ledger.state === "reverting";
  if (!ledger.transaction && !resumed) await recordReverting(client, name);
  await runScript(migrator, {
    migration: name,
    direction: "down",
    sql: ledger.down,
    transaction: ledger.transaction,
    done: resumed ? ledger.statementsDone : 0,
    finish: async () =>
      ledger.transaction
        ? await recordReverted(client, name)
        : await inTransaction(client, async () => await recordReverted(client, name)),
  });
}

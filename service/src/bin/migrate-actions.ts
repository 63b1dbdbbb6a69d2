import { loadConfig } from "../config.ts";
import { AppError } from "../core/errors.ts";
import { applyMigrations, findPending } from "../migrate/apply.ts";
import { connect, type MigrateProgress } from "../migrate/connection.ts";
import { readRecorded } from "../migrate/ledger.ts";
import { readMigrations } from "../migrate/migrations.ts";
import { planRevert, revertMigrations } from "../migrate/revert.ts";
import { type MigrationState, migrationStatus } from "../migrate/status.ts";
import { onDatabase } from "./database.ts";
import { print } from "./print.ts";
import { openProgress, type Progress } from "./progress.ts";

interface Flags {
  json?: boolean;
  dryRun?: boolean;
  to?: string;
  allowContract?: boolean;
  allowDataLoss?: boolean;
  wait?: number;
  empty?: boolean;
}

/** A step as --dry-run shows it. */
interface Step {
  name: string;
  direction: "up" | "down";
  sql: string;
}

const settings = () => loadConfig(process.env, { session: false });

export async function status({ json }: Flags): Promise<void> {
  const found = await onDatabase(
    settings(),
    async ({ connectionString }) => await migrationStatus(connectionString),
  );
  const lines = found.migrations.map((one) =>
    `${one.state.padEnd(13)} ${one.name}  ${remarks(one)}`.trimEnd(),
  );
  for (const index of found.invalidIndexes) {
    lines.push(`invalid index ${index}: drop it (DROP INDEX CONCURRENTLY ${index}), then build it again`);
  }
  lines.push(`${found.applied} applied, ${found.pending} pending`);
  print(json, found, lines.join("\n"));
  if (found.pending > 0) process.exitCode = 3;
}

function remarks({ kind, state, revertible, known, edited }: MigrationState): string {
  const said = [kind === "contract" ? "contract" : "", known ? "" : "of another release"];
  if (state !== "pending" && revertible === false) said.push("cannot be taken back");
  if (edited) said.push("was changed after it was applied");
  return said.filter((one) => one !== "").join(", ");
}

export async function up(flags: Flags): Promise<void> {
  const to = flags.to === undefined ? {} : { to: flags.to };
  if (flags.dryRun === true) {
    await dryRun(flags, async (client) =>
      (await findPending(client, await readMigrations(), flags.to)).map(({ name, sql }) => ({
        name,
        direction: "up",
        sql,
      })),
    );
    return;
  }
  const applied = await run(
    flags,
    async (connectionString, options) => await applyMigrations(connectionString, { ...options, ...to }),
  );
  const last =
    applied.length === 0 ? "Nothing to do: the schema is up to date." : "The schema is up to date.";
  print(
    flags.json,
    { applied },
    [
      ...applied.map((name) => `applied  ${name}`),
      flags.to === undefined ? last : `The schema is at ${flags.to}.`,
    ].join("\n"),
  );
}

export async function down(flags: Flags): Promise<void> {
  const { to = "" } = flags;
  if (flags.dryRun === true) {
    await dryRun(flags, async (client) => planDown(await readRecorded(client), to));
    return;
  }
  const reverted = await run(
    flags,
    async (connectionString, options) => await revertMigrations(connectionString, { ...options, to }),
  );
  const last =
    reverted.length === 0
      ? `Nothing to do: nothing after ${to} is applied.`
      : to === "none"
        ? "The schema is empty."
        : `The schema is back at ${to}.`;
  print(flags.json, { reverted }, [...reverted.map((name) => `reverted ${name}`), last].join("\n"));
}

export async function redo(flags: Flags): Promise<void> {
  const newest = async (connectionString: string) => {
    const { migrations } = await migrationStatus(connectionString);
    const applied = migrations.filter(({ state }) => state !== "pending").map(({ name }) => name);
    if (applied.length === 0) {
      throw new AppError(
        "conflict",
        "No migration is applied, so there is none to do again. Run: migrate up",
      );
    }
    return { name: applied.at(-1) ?? "", before: applied.at(-2) ?? "none" };
  };
  if (flags.dryRun === true) {
    await dryRun(flags, async (client, connectionString) => {
      const { name, before } = await newest(connectionString);
      const again = (await readMigrations()).migrations.find((one) => one.name === name);
      return [
        ...planDown(await readRecorded(client), before),
        ...(again === undefined ? [] : [{ name, direction: "up" as const, sql: again.sql }]),
      ];
    });
    return;
  }
  const name = await run(flags, async (connectionString, options) => {
    const step = await newest(connectionString);
    await revertMigrations(connectionString, { ...options, to: step.before });
    await applyMigrations(connectionString, { ...options, allowContract: true, to: step.name });
    return step.name;
  });
  print(flags.json, { redone: name }, `Took back and applied ${name}.`);
}

function planDown(recorded: Awaited<ReturnType<typeof readRecorded>>, to: string): Step[] {
  return planRevert(recorded, to).map(({ name, ledger }) => ({
    name,
    direction: "down",
    sql: ledger?.down ?? "",
  }));
}

async function dryRun(
  flags: Flags,
  plan: (client: Awaited<ReturnType<typeof connect>>, connectionString: string) => Promise<Step[]>,
): Promise<void> {
  const found = await onDatabase(settings(), async ({ connectionString }) => {
    const client = await connect(connectionString);
    try {
      return await plan(client, connectionString);
    } finally {
      await client.end();
    }
  });
  const text = found
    .map(({ name, direction, sql }) => `-- ${name}, ${direction}\n${sql.trim()}\n`)
    .join("\n");
  print(flags.json, { steps: found }, text === "" ? "-- Nothing to do." : text);
}

async function run<T>(
  { wait = 300, allowContract = false, allowDataLoss = false }: Flags,
  work: (
    connectionString: string,
    options: {
      waitMs: number;
      onProgress: (progress: MigrateProgress) => void;
      allowContract: boolean;
      allowDataLoss: boolean;
    },
  ) => Promise<T>,
): Promise<T> {
  return await onDatabase(settings(), async ({ connectionString }) => {
    const progress = openProgress();
    try {
      return await work(connectionString, {
        waitMs: wait * 1000,
        onProgress: (one) => show(progress, one),
        allowContract,
        allowDataLoss,
      });
    } finally {
      progress.close();
    }
  });
}

function show(progress: Progress, one: MigrateProgress): void {
  if (one.event === "statement") {
    progress.step(`${one.direction} ${one.migration}`, one.statement, one.of);
  } else if (one.event === "waiting") {
    progress.say({ ...one }, `Waiting for ${one.for} (${one.seconds} s)…`);
  } else if (one.event === "retry") {
    progress.say({ ...one }, `${one.migration}: locks are in the way, trying again. ${one.because}`);
  } else {
    progress.say({ ...one }, `${one.migration}: ${one.text}`);
  }
}

export async function create(name: string, flags: Flags): Promise<void> {
  // Loaded here: Prisma's engine is large, and only who writes migrations needs it.
  const { createMigration } = await import("../migrate/create.ts");
  const folders = await createMigration(name, { empty: flags.empty === true });
  print(
    flags.json,
    { folders },
    [
      ...folders.map((folder) => `wrote ${folder}`),
      "Read both scripts and the .json, then: task-master-pro migrate check",
    ].join("\n"),
  );
}

export async function check({ json }: Flags): Promise<void> {
  const { checkMigrations } = await import("../migrate/check.ts");
  const progress = openProgress();
  let steps = 0;
  const faults = await checkMigrations({
    onStep(step) {
      steps += 1;
      progress.say({ event: "checking", step }, `checking ${step}`);
    },
  }).finally(() => progress.close());
  print(
    json,
    { checked: steps - 1, faults },
    faults.length === 0
      ? `${steps - 1} migration(s) apply, revert and apply again, and make prisma/schema.prisma.`
      : faults.map((fault) => `- ${fault}`).join("\n"),
  );
  if (faults.length > 0) process.exitCode = 1;
}

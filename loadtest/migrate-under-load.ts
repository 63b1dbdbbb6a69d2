import { randomBytes } from "node:crypto";
import { loadavg } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { applyMigrations } from "../service/src/migrate/apply.ts";
import type { MigrateProgress } from "../service/src/migrate/connection.ts";
import { type MigrationFolder, readMigrations } from "../service/src/migrate/migrations.ts";
import { revertMigrations } from "../service/src/migrate/revert.ts";
import { execute, openBench } from "./bench.ts";
import { type Figures, figuresOf, type Load, stallsOf, startLoad } from "./load.ts";
import { openProfile, type Profile } from "./profile.ts";
import { print, writeResult } from "./results.ts";
import { seedTasks } from "./seed.ts";
import { round } from "./statistics.ts";
import type { LoadRecord } from "./writers.ts";

const help = `Migrates a database of many tasks under a constant load of writes, up and down again, and measures what the
writers notice of it (P12: the longest stall is at most 50 ms, and no write fails).

  node loadtest/migrate-under-load.ts [options]

  --tasks N         rows in the table that is migrated (default 1000000; about three minutes to make, and 5 GB)
  --rate N          writes a second (default 500), each due at its own instant whether or not the last is done
  --seconds N       how long it measures before the migrations, and between up and down (default 30)
  --database URL    a PostgreSQL on this machine; the bench makes a database of its own there and drops it. The user
                    has to be a superuser. Default: a server of its own in a temporary folder, with the settings that
                    the embedded database is shipped with.
  --naive           afterwards the same change as one plain script, to see what the method prevents (writes fail)
  --profile         look every 10 ms what the writers wait for, and tell it of each stall; costs a little itself
  --help

What runs: loadtest/migrations, by the code that "task-master-pro migrate" runs. At the start of up, and of the plain
script, somebody who has read the table leaves a transaction open for 2 s.

The result is loadtest/results/migrate-under-load.json and a table here. Exit code 1 when a write failed, or one that was
acknowledged is missing; 2 for wrong options; 3 when the longest stall is more than 50 ms longer than the longest
without a migration. A run whose writers' thread was over 80 % busy says so: measure again.
`;

const goalMs = 50;
const warmUpSeconds = 5;
const connections = 20;
const readerSeconds = 2;
const maxSeconds = 3600;

interface Options {
  tasks: number;
  rate: number;
  seconds: number;
  database: string | undefined;
  naive: boolean;
  profile: boolean;
}

/** Instants are milliseconds since 1970. */
interface Phase {
  name: "before" | "up" | "between" | "down" | "after" | "naive";
  from: number;
  to: number;
}

interface Step {
  migration: string;
  direction: "up" | "down";
  from: number;
  ms: number;
  /** Attempts that gave up because of locks before one succeeded, as far as they were told. */
  retries: number;
}

/** One statement's end, or one attempt's. */
interface Mark {
  at: number;
  what: string;
}

const now = () => performance.timeOrigin + performance.now();
/** What has to be undone, last first, however this ends. */
const undo: (() => Promise<void>)[] = [];
let undoing: Promise<void> | undefined;
function cleanUp(): Promise<void> {
  undoing ??= (async () => {
    for (const step of undo.reverse()) {
      await step().catch((error: unknown) => process.stderr.write(`cleaning up: ${String(error)}\n`));
    }
  })();
  return undoing;
}

function parse(): Options {
  const { values } = parseArgs({
    options: {
      tasks: { type: "string", default: "1000000" },
      rate: { type: "string", default: "500" },
      seconds: { type: "string", default: "30" },
      database: { type: "string" },
      naive: { type: "boolean", default: false },
      profile: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    process.exit(0);
  }
  const count = (name: "tasks" | "rate" | "seconds", most: number) => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${name} takes a whole number from 1 to ${most}`);
  };
  const { database, naive, profile } = values;
  if (database !== undefined && !isLoopback(database))
    throw new Error("--database takes the URL of a PostgreSQL on this machine: 127.0.0.1, ::1 or localhost");
  return {
    // As many as the seed's ranks have room for.
    tasks: count("tasks", 16_000_000),
    rate: count("rate", 10_000),
    seconds: count("seconds", 600),
    database,
    naive,
    profile,
  };
}

function isLoopback(url: string): boolean {
  return URL.canParse(url) && ["127.0.0.1", "[::1]", "localhost"].includes(new URL(url).hostname);
}

/** A database of the bench's own, gone at the end. */
async function openDatabase(given: string | undefined): Promise<string> {
  if (given === undefined) {
    const bench = await openBench();
    undo.push(bench.close);
    return await bench.startDatabase();
  }
  const name = `tmp_bench_${randomBytes(4).toString("hex")}`;
  await execute(given, `CREATE DATABASE ${name}`);
  undo.push(async () => void (await execute(given, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)));
  const url = new URL(given);
  url.pathname = `/${name}`;
  return url.href;
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: "bench" });
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** The package's migrations and the bench's behind them. */
async function readAll(own: MigrationFolder): Promise<MigrationFolder> {
  const shipped = await readMigrations();
  return { ...shipped, migrations: [...shipped.migrations, ...own.migrations] };
}

async function main(): Promise<number> {
  const options = parse();
  const loadBefore = loadavg()[0] ?? 0;
  const url = await openDatabase(options.database);
  const own = await readMigrations(path.join(import.meta.dirname, "migrations"));
  const folder = await readAll(own);
  await applyMigrations(url);

  print(`making ${options.tasks.toLocaleString("en")} tasks…`);
  let told = now();
  const seeded = await seedTasks(url, options.tasks, {
    onProgress(done) {
      if (now() - told < 5_000) return;
      told = now();
      print(`  ${done.toLocaleString("en")}`);
    },
  });
  print(`  in ${seconds(seeded.ms)}; the database has ${(seeded.bytes / 1e9).toFixed(2)} GB`);

  const before = await countWrites(url);
  const load = await startLoad({
    connectionString: url,
    rate: options.rate,
    connections,
    tasks: options.tasks,
    organizationId: seeded.organizationId,
    projectId: seeded.projectId,
    maxSeconds,
  });
  undo.push(async () => await load.kill());
  print(
    `writing ${options.rate} times a second over ${connections} connections; ${warmUpSeconds} s to warm up`,
  );
  await sleep(warmUpSeconds * 1000);
  const profile = options.profile ? await openProfile(url) : undefined;
  if (profile !== undefined) undo.push(async () => await profile.close());

  const run = createRun(load);
  await run.phase("before", async () => await sleep(options.seconds * 1000));
  await run.phase("up", async () => {
    const reader = await openReader(url);
    for (const { name } of own.migrations) {
      await run.step(name, "up", async (onProgress) => {
        await applyMigrations(url, { folder, to: name, onProgress });
      });
    }
    await reader.closed;
  });
  await run.phase("between", async () => await sleep(options.seconds * 1000));
  await run.phase("down", async () => {
    for (const { name } of own.migrations.toReversed()) {
      const to =
        folder.migrations[folder.migrations.findIndex((one) => one.name === name) - 1]?.name ?? "none";
      await run.step(name, "down", async (onProgress) => {
        await revertMigrations(url, { to, allowDataLoss: true, onProgress });
      });
    }
  });
  await run.phase("after", async () => await sleep(5_000));
  const naive = options.naive ? await runNaive(run, url) : undefined;
  run.close();
  const record = await load.stop();
  await profile?.close();

  const written = (await countWrites(url)) - before;
  const result = report({ options, loadBefore, seeded, run, record, written, profile, naive });
  const resultFile = await writeResult("migrate-under-load", result);
  print(`\n${path.relative(process.cwd(), resultFile)} has it all.`);
  return result.exitCode;
}

/** Two counts of the same writes; what the writers were told has to be in both. */
async function countWrites(url: string): Promise<number> {
  const client = await connect(url);
  try {
    const { rows } = await client.query<{ versions: string; events: string }>(
      `SELECT (SELECT sum(version) FROM tasks) AS versions, (SELECT count(*) FROM events) AS events`,
    );
    const { versions, events } = rows[0] ?? {};
    // Every seeded task has the version 2, and two events.
    if (versions !== events) throw new Error(`${versions} changes of tasks, but ${events} events`);
    return Number(events);
  } finally {
    await client.end();
  }
}

/** Who has read the table and leaves the transaction open: a lock on the table has to wait for it. */
async function openReader(url: string): Promise<{ closed: Promise<void> }> {
  const client = await connect(url);
  await client.query("BEGIN");
  await client.query("SELECT id FROM tasks LIMIT 1");
  const close = async () => {
    await sleep(readerSeconds * 1000);
    await client.query("COMMIT").catch(() => {});
    await client.end().catch(() => {});
  };
  return { closed: close() };
}

interface Run {
  phases: Phase[];
  steps: Step[];
  marks: Mark[];
  phase(name: Phase["name"], work: () => Promise<void>): Promise<void>;
  step(
    migration: string,
    direction: "up" | "down",
    work: (onProgress: (progress: MigrateProgress) => void) => Promise<void>,
  ): Promise<void>;
  close(): void;
}

function createRun(load: Load): Run {
  const started = now();
  const phases: Phase[] = [];
  const steps: Step[] = [];
  const marks: Mark[] = [];
  let current = "";
  const say = (text: string) => print(`${((now() - started) / 1000).toFixed(0).padStart(5)} s  ${text}`);
  const timer = setInterval(() => {
    const last = load.latest();
    if (last === undefined) return;
    const { done, failed, waiting, worstMs } = last;
    const queue = waiting > 0 ? `, ${waiting} waiting` : "";
    say(
      `${current}: ${done} writes, ${failed} failed${queue}; the slowest of the last second ${Math.round(worstMs)} ms`,
    );
  }, 5_000);
  undo.push(async () => clearInterval(timer));
  return {
    phases,
    steps,
    marks,
    async phase(name, work) {
      const from = now();
      current = name;
      say(name);
      await work();
      // A write that the work held up ends a little after it, and belongs to it.
      await sleep(1_000);
      phases.push({ name, from, to: now() });
    },
    async step(migration, direction, work) {
      const begun = now();
      let retries = 0;
      marks.push({ at: begun, what: "between two migrations" });
      await work((progress) => {
        if (progress.event === "statement") {
          marks.push({
            at: now(),
            what: `${direction} ${migration}, statement ${progress.statement} of ${progress.of}`,
          });
          say(`${direction} ${migration}: statement ${progress.statement} of ${progress.of} is done`);
        } else if (progress.event === "retry") {
          retries = progress.attempt;
          say(`${direction} ${migration}: attempt ${progress.attempt}. ${progress.because}`);
        }
      });
      const ms = now() - begun;
      marks.push({ at: now(), what: `${direction} ${migration}, the end` });
      steps.push({ migration, direction, from: begun, ms: round(ms), retries });
      say(`${direction} ${migration} took ${seconds(ms)}`);
    },
    close: () => clearInterval(timer),
  };
}

/** As a tool does it that sends a script as it is: one transaction, which holds each lock until its end. */
const naiveScript = `
  ALTER TABLE tasks ADD COLUMN due_at timestamptz(3), ADD COLUMN reminder_hours integer NOT NULL DEFAULT 24;
  UPDATE tasks SET due_at = created_at + interval '14 days';
  ALTER TABLE tasks ADD CONSTRAINT tasks_due_at_check CHECK (due_at > created_at);
  CREATE INDEX tasks_tag_id_due_at_idx ON tasks (tag_id, due_at);
`;

async function runNaive(run: Run, url: string): Promise<{ ms: number }> {
  let ms = 0;
  await run.phase("naive", async () => {
    const reader = await openReader(url);
    const client = await connect(url);
    const begun = now();
    // What was measured before is not thrown away because of it.
    await client
      .query(naiveScript)
      .catch((error: unknown) => print(`the plain script failed: ${String(error)}`));
    ms = now() - begun;
    await client.end();
    await reader.closed;
    // Until the writers have worked off what waited for it.
    await sleep(5_000);
  });
  return { ms: round(ms) };
}

interface Seen {
  options: Options;
  loadBefore: number;
  seeded: { ms: number; bytes: number };
  run: Run;
  record: LoadRecord;
  written: number;
  profile: Profile | undefined;
  naive: { ms: number } | undefined;
}

function report({ options, loadBefore, seeded, run, record, written, profile, naive }: Seen) {
  const figures = new Map(run.phases.map(({ name, from, to }) => [name, figuresOf(record, from, to)]));
  const of = (name: Phase["name"]) => figures.get(name) ?? figuresOf(record, 0, 0);
  const migrating = [of("up"), of("down")];
  const quiet = [of("before"), of("between")];
  const stall = {
    baselineBefore: of("before").longestStall,
    baselineBetween: of("between").longestStall,
    up: of("up").longestStall,
    down: of("down").longestStall,
    excess: round(Math.max(...migrating.map((one) => one.longestStall)) - of("before").longestStall),
  };
  const latency = {
    baseline: Math.max(...quiet.map(({ max }) => max)),
    migrating: Math.max(...migrating.map(({ max }) => max)),
    excess: round(Math.max(...migrating.map(({ max }) => max)) - of("before").max),
  };
  // The plain script is there to fail.
  const from = run.phases.find(({ name }) => name === "naive")?.from ?? Number.POSITIVE_INFINITY;
  const failures = record.failures.filter(({ due }) => due < from);
  const lost = record.due.length - written;
  const busy = Math.max(...[...quiet, ...migrating].map(({ generatorBusy }) => generatorBusy));
  const exitCode = failures.length > 0 || lost > 0 ? 1 : stall.excess > goalMs ? 3 : 0;
  const slowest = worst(run, record, profile);
  const migrations = run.steps.map(({ from: begun, ...step }) => {
    const { max, longestStall } = figuresOf(record, begun, begun + step.ms);
    return { ...step, longestStall, slowestWrite: max };
  });

  print("");
  table(figures);
  print("");
  for (const { direction, migration, ms, retries, longestStall, slowestWrite } of migrations) {
    const tried = retries > 0 ? `, ${retries} attempts at its locks` : "";
    print(
      `${direction.padEnd(5)}${migration.padEnd(40)}${seconds(ms)}${tried}; stall ${longestStall} ms, slowest write ${slowestWrite} ms`,
    );
  }
  print("\nthe longest stalls under each migration:");
  for (const one of slowest)
    print(`  ${one.ms} ms: ${one.during}${one.waits === "" ? "" : ` (${one.waits})`}`);
  if (naive !== undefined) {
    const plain = of("naive");
    print(
      `\nthe same as a plain script, ${seconds(naive.ms)}: the longest stall is ${seconds(plain.longestStall)} and ${plain.failed} of ` +
        `${plain.attempted} writes failed; here it was ${Math.max(stall.up, stall.down)} ms, and ${failures.length} failed`,
    );
  }
  const messages = [...new Set(failures.map(({ message }) => message))].slice(0, 5);
  print(
    `\nlongest stall: ${Math.max(stall.up, stall.down)} ms under the migrations, ${stall.baselineBefore} ms before and ` +
      `${stall.baselineBetween} ms between them: ${stall.excess} ms more than before (goal: ${goalMs})`,
  );
  print(`slowest write: ${latency.migrating} ms under the migrations, ${latency.baseline} ms without`);
  print(`failed writes: ${failures.length}${messages.length > 0 ? ` (${messages.join("; ")})` : ""}`);
  print(`acknowledged and missing: ${Math.max(0, lost)}`);
  if (busy > 0.8)
    print(`The writers' own thread was ${Math.round(busy * 100)} % busy: this run counts for nothing.`);
  print(
    ["ok", "NOT ok: writes were lost", "", "NOT ok: the goal for the longest stall is missed"][exitCode] ??
      "",
  );
  return {
    exitCode,
    options: { ...options, database: options.database === undefined ? "embedded" : "given" },
    loadBefore,
    seed: { seconds: round(seeded.ms / 1000), bytes: seeded.bytes },
    goalMs,
    stall,
    latency,
    failed: failures.length,
    failures: messages,
    lost: Math.max(0, lost),
    generatorBusy: busy,
    phases: run.phases.map(({ name }) => ({ name, ...of(name) })),
    migrations,
    slowest,
    ...(profile === undefined ? {} : { waits: waitsOf(run, profile) }),
    ...(naive === undefined ? {} : { naive }),
  };
}

/** The longest stalls under each migration, and what went on meanwhile. */
function worst(run: Run, record: LoadRecord, profile: Profile | undefined) {
  return run.steps
    .flatMap(({ migration, direction, from, ms }) =>
      stallsOf(record, from, from + ms)
        .slice(0, 3)
        .map((stall) => ({
          ms: round(stall.to - stall.from),
          afterSeconds: round((stall.from - from) / 1000),
          // Marks are made at the end of what they name.
          during: run.marks.find(({ at }) => at >= stall.from)?.what ?? `${direction} ${migration}`,
          generatorLate: record.late.some(({ at }) => at >= stall.from && at <= stall.to + 5),
          waits:
            profile
              ?.waits(stall.from - 10, stall.to + 10)
              .slice(0, 4)
              .join(", ") ?? "",
        })),
    )
    .sort((a, b) => b.ms - a.ms);
}

function waitsOf(run: Run, profile: Profile) {
  return Object.fromEntries(
    run.phases.map(({ name, from, to }) => [name, profile.waits(from, to).slice(0, 10)]),
  );
}

function table(figures: Map<string, Figures>): void {
  const heads = [
    "",
    "seconds",
    "writes",
    "failed",
    "p50 ms",
    "p99 ms",
    "max ms",
    "stall ms",
    ">50/min",
    "busy",
  ];
  const rows = [...figures].map(([name, one]) => [
    name,
    one.seconds.toFixed(1),
    String(one.attempted),
    String(one.failed),
    one.p50.toFixed(1),
    one.p99.toFixed(1),
    one.max.toFixed(1),
    one.longestStall.toFixed(1),
    one.stallsAMinute.toFixed(1),
    `${Math.round(one.generatorBusy * 100)} %`,
  ]);
  for (const row of [heads, ...rows]) {
    print(row.map((cell, i) => (i === 0 ? cell.padEnd(9) : cell.padStart(9))).join(""));
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    process.stderr.write("\nstopping, and cleaning up…\n");
    void cleanUp().finally(() => process.exit(signal === "SIGINT" ? 130 : 143));
  });
}
try {
  process.exitCode = await main();
} catch (error) {
  // While it is cleaned up, whatever is under way fails, and that is no news.
  if (undoing === undefined) {
    const wrongOption = undo.length === 0 && error instanceof Error;
    const said = wrongOption
      ? `${error.message} (--help tells more)`
      : error instanceof Error
        ? error.stack
        : String(error);
    process.stderr.write(`migrate-under-load: ${said}\n`);
    process.exitCode = wrongOption ? 2 : 1;
  }
} finally {
  await cleanUp();
}

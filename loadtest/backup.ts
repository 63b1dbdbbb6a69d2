import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { DrillReport } from "../service/src/backup/drill.ts";
import type { Manifest } from "../service/src/backup/manifest.ts";
import { applyMigrations } from "../service/src/migrate/apply.ts";
import { openBench, root } from "./bench.ts";
import { readOptions } from "./options.ts";
import { print, writeResult } from "./results.ts";
import { seedTasks } from "./seed.ts";

const help = `Backs a large database up, verifies, drills and restores it, and measures time and memory of each.

  node loadtest/backup.ts [options]       needs the built program: make build

  --tasks N         how many tasks (default 1000000; about three minutes to make, and 5 GB)
  --database URL    an empty database on this machine, whose user is a superuser; backed up by pg_dump. Default: an
                    embedded one in a temporary folder, backed up without pg_dump.
  --help

Backups go to a temporary folder, or where TASKMASTER_BACKUP_TARGET says; encryption and S3 are as the environment says.
The result is loadtest/results/backup.json and a table here. Exit code 1 when a step fails, or when the program took more
than 150 MB of memory at any time.
`;

const goalMegabytes = 150;
const program = path.join(root, "dist/bin/cli.js");

interface Step {
  name: string;
  seconds: number;
  /** The most memory that the program had at once, without PostgreSQL's own programs. */
  megabytes: number;
  out: string;
}

async function run(name: string, args: string[], env: Record<string, string>): Promise<Step> {
  const started = performance.now();
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  let kilobytes = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err = (err + chunk.toString()).slice(-2_000);
  });
  // The kernel keeps the most that there ever was, so that looking now and then misses only the very end.
  const look = setInterval(() => {
    void readFile(`/proc/${child.pid}/status`, "utf8").then(
      (status) => {
        kilobytes = Math.max(kilobytes, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
      },
      () => {},
    );
  }, 50);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearInterval(look);
  if (code !== 0) throw new Error(`${name} ended with exit code ${code}: ${err}`);
  return { name, seconds: (performance.now() - started) / 1000, megabytes: (kilobytes * 1024) / 1e6, out };
}

const { numbers, texts } = readOptions(help, { tasks: { default: 1_000_000, from: 1 } }, ["database"]);
const { tasks } = numbers;

const bench = await openBench();
try {
  const { folder } = bench;
  const connectionString = texts.database ?? (await bench.startDatabase());
  const env: Record<string, string> = {
    TASKMASTER_BACKUP_SCRATCH_DIRECTORY: folder,
    ...(process.env.TASKMASTER_BACKUP_TARGET === undefined
      ? { TASKMASTER_BACKUP_TARGET: path.join(folder, "backups") }
      : {}),
    ...(texts.database === undefined
      ? { DATABASE_URL: "", TASKMASTER_DATA_DIRECTORY: path.join(folder, "data") }
      : { DATABASE_URL: texts.database }),
  };
  await applyMigrations(connectionString);
  print(`Making ${tasks} tasks…`);
  const seeded = await seedTasks(connectionString, tasks);
  print(`  ${(seeded.bytes / 1e9).toFixed(2)} GB in ${(seeded.ms / 1000).toFixed(0)} s`);

  const steps: Step[] = [];
  const step = async (name: string, ...args: string[]) => {
    const done = await run(name, args, env);
    steps.push(done);
    print(
      `  ${name.padEnd(8)} ${done.seconds.toFixed(1).padStart(7)} s ${done.megabytes.toFixed(0).padStart(5)} MB`,
    );
    return done.out;
  };
  const manifest = JSON.parse(await step("create", "backup", "create", "--json")) as Manifest;
  await step("verify", "backup", "verify");
  const drill = JSON.parse(await step("drill", "backup", "drill", "--json")) as DrillReport;
  const database = new URL(connectionString).pathname.slice(1);
  await step("restore", "backup", "restore", "--replace", "--confirm", database, manifest.id);

  const gigabytes = drill.databaseBytes / 1e9;
  const result = {
    tasks,
    rows: drill.rows,
    form: manifest.data.form,
    encrypted: manifest.encryption !== null,
    server: manifest.server.version,
    databaseBytes: drill.databaseBytes,
    backupBytes: manifest.bytes,
    rtoSeconds: drill.rtoSeconds,
    rtoSecondsPerGigabyte: drill.rtoSeconds / gigabytes,
    phases: drill.phases,
    steps: steps.map(({ name, seconds, megabytes }) => ({ name, seconds, megabytes })),
  };
  await writeResult("backup", result);
  print(
    `A database of ${gigabytes.toFixed(2)} GB, ${drill.rows} rows; as a backup ${(manifest.bytes / 1e9).toFixed(2)} GB (${manifest.data.form}).`,
  );
  print(`RTO ${drill.rtoSeconds.toFixed(1)} s: ${(drill.rtoSeconds / gigabytes).toFixed(1)} s a GB.`);
  const most = Math.max(...steps.map(({ megabytes }) => megabytes));
  if (most > goalMegabytes) {
    print(`It took ${most.toFixed(0)} MB of memory, more than ${goalMegabytes} MB.`);
    process.exitCode = 1;
  }
} finally {
  await bench.close();
}

import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import type pg from "pg";
import { from, to } from "pg-copy-streams";
import { AppError } from "../core/errors.ts";
import { applyMigrations } from "../migrate/apply.ts";
import { schemaFingerprint } from "../migrate/fingerprint.ts";
import { readRecorded } from "../migrate/ledger.ts";
import type { Migration } from "../migrate/migrations.ts";
import { columnList, qualified, type Sequence, type Table } from "./contents.ts";
import { connectForBackup, type Snapshot } from "./snapshot.ts";
import { letThrough } from "./streams.ts";
import { makeAside } from "./target.ts";
import { type Environment, findTools, runTool, ToolError, toolConnection } from "./tools.ts";

/** What a step has done so far, of how much. */
export type OnStep = (done: number, total: number) => void;

export interface LoadOptions {
  connectionString: string;
  /** Holds what `dump` made. */
  folder: string;
  sequences: readonly Sequence[];
  /** All or nothing, where the database that is loaded is the one that will be used. */
  atomic: boolean;
  /** Whether every role that was granted something exists on this server. */
  grants: boolean;
  onStep: OnStep;
  signal: AbortSignal;
}

/** A way to write a database into files and back. */
export interface Form {
  name: "pg_dump" | "copy";
  /** Finds what it needs for a server, or throws AppError with what is missing. */
  prepare(major: number): Promise<{ client: string | null }>;
  dump(snapshot: Snapshot, folder: string, onStep: OnStep, signal: AbortSignal): Promise<void>;
  load(major: number, options: LoadOptions): Promise<void>;
}

const jobs = "2";

/** The directory form of PostgreSQL's own pg_dump: restorable by anybody with PostgreSQL, without this program. */
function pgDumpForm(environment: Environment): Form {
  return {
    name: "pg_dump",
    prepare: async (major) => ({ client: (await findTools(major, environment)).version }),

    async dump(snapshot, folder, onStep, signal) {
      const { pgDump } = await findTools(snapshot.server.major, environment);
      const connection = toolConnection(snapshot.connectionString, environment);
      let done = 0;
      const args = ["--format=directory", `--file=${folder}`, `--jobs=${jobs}`, `--snapshot=${snapshot.id}`];
      await runTool(pgDump, [...args, "--no-owner", "--verbose", `--dbname=${connection.url}`], {
        environment: connection.environment,
        signal,
        onLine(line) {
          if (/dumping contents of table/.test(line)) onStep(++done, snapshot.tables.length);
        },
      }).catch((error: unknown) => {
        throw explain(error, folder);
      });
    },

    async load(major, { connectionString, folder, atomic, grants, onStep, signal }) {
      const { pgRestore } = await findTools(major, environment);
      const connection = toolConnection(connectionString, environment);
      const { output } = await runTool(pgRestore, ["--list", folder], { environment, signal });
      const total = output.split("\n").filter((line) => / TABLE DATA /.test(line)).length;
      let done = 0;
      const how = atomic ? ["--single-transaction"] : [`--jobs=${jobs}`];
      const args = [
        ...how,
        "--no-owner",
        ...(grants ? [] : ["--no-privileges"]),
        "--exit-on-error",
        "--verbose",
      ];
      await runTool(pgRestore, [...args, `--dbname=${connection.url}`, folder], {
        environment: connection.environment,
        signal,
        onLine(line) {
          if (/processing data for table/.test(line)) onStep(++done, total);
        },
      }).catch((error: unknown) => {
        throw explain(error, folder);
      });
    },
  };
}

function explain(error: unknown, folder: string): unknown {
  if (!(error instanceof ToolError)) return error;
  if (/no space left on device/i.test(error.said)) {
    return new AppError(
      "unavailable",
      `There is no room left in ${path.dirname(folder)}. Free some, or set TASKMASTER_BACKUP_SCRATCH_DIRECTORY to a folder with more.`,
      { cause: error },
    );
  }
  return new AppError("unavailable", `${error.message}.`, { cause: error });
}

/** What the schema is made of, in the copy form: the migrations that the database's own ledger keeps. */
interface SchemaFile {
  migrations: Migration[];
  tables: Table[];
}

/**
 * For the embedded database, whose package carries no pg_dump: every table by COPY, and the schema as the migrations
 * that make it. It goes back into any version of PostgreSQL that the program runs on.
 */
function copyForm(): Form {
  return {
    name: "copy",
    prepare: async () => ({ client: null }),

    async dump(snapshot, folder, onStep, signal) {
      await mkdir(folder);
      const recorded = await readRecorded(snapshot.client);
      const migrations = recorded.map(({ name, checksum, ledger }): Migration => {
        if (ledger === null) throw notInLedger(name);
        const { up, down, kind, transaction, loses } = ledger;
        return { name, checksum, sql: up, down, reversible: down !== null, kind, transaction, loses };
      });
      await refuseHandmade(snapshot, migrations);
      const schema: SchemaFile = { migrations, tables: snapshot.tables };
      await writeFile(path.join(folder, "schema.json"), `${JSON.stringify(schema, null, 1)}\n`);
      const client = await snapshot.connect();
      try {
        for (const [index, table] of snapshot.tables.entries()) {
          await pipeline(
            client.query(to(`COPY ${qualified(table)} (${columnList(table.columns)}) TO STDOUT`)),
            thrifty(),
            createGzip({ level: 6 }),
            createWriteStream(path.join(folder, fileOf(index, table)), { flags: "wx", mode: 0o600 }),
            { signal },
          );
          onStep(index + 1, snapshot.tables.length);
        }
      } catch (error) {
        throw withoutRoom(error, folder);
      } finally {
        await client.end().catch(() => {});
      }
    },

    async load(_major, { connectionString, folder, sequences, onStep, signal }) {
      const schema = JSON.parse(await readFile(path.join(folder, "schema.json"), "utf8")) as SchemaFile;
      await buildSchema(connectionString, schema.migrations);
      const client = await connectForBackup(connectionString);
      try {
        await client.query("SET maintenance_work_mem = '256MB'; BEGIN");
        const rebuild = await strip(client, schema.tables);
        // What migrating itself wrote is in the files, too.
        await client.query(`TRUNCATE ${schema.tables.map(qualified).join(", ")}`);
        for (const [index, table] of schema.tables.entries()) {
          await pipeline(
            createReadStream(path.join(folder, fileOf(index, table))),
            createGunzip(),
            thrifty(),
            client.query(from(`COPY ${qualified(table)} (${columnList(table.columns)}) FROM STDIN`)),
            { signal },
          );
          onStep(index + 1, schema.tables.length);
        }
        for (const { schema: namespace, name, value, called } of sequences) {
          await client.query("SELECT setval($1::regclass, $2::bigint, $3)", [
            qualified({ schema: namespace, name }),
            value,
            called,
          ]);
        }
        for (const statement of rebuild) {
          signal.throwIfAborted();
          await client.query(statement);
        }
        await client.query("COMMIT");
        await client.query("ANALYZE");
      } finally {
        await client.end().catch(() => {});
      }
    },
  };
}

/**
 * Whether the migrations make just the schema that is there, tried in a database aside: what somebody made by hand would
 * be missed only when it is too late.
 */
async function refuseHandmade(snapshot: Snapshot, migrations: Migration[]): Promise<void> {
  const aside = await makeAside(snapshot.connectionString, snapshot.database.name, "check");
  try {
    await buildSchema(aside.connectionString, migrations);
    const client = await connectForBackup(aside.connectionString);
    const made = await schemaFingerprint(client).finally(async () => await client.end());
    const present = await schemaFingerprint(snapshot.client);
    const odd = [
      ...present.filter((line) => !made.includes(line)).map((line) => `  there by hand: ${line}`),
      ...made.filter((line) => !present.includes(line)).map((line) => `  missing: ${line}`),
    ];
    if (odd.length === 0) return;
    throw new AppError(
      "conflict",
      `The schema of ${snapshot.database.name} is not what its migrations make, so a backup could not bring it back:\n${odd.join("\n")}\n` +
        "Put it right, or move the data to a PostgreSQL server, whose backups are made by pg_dump.",
    );
  } finally {
    await aside.drop();
  }
}

async function buildSchema(connectionString: string, migrations: Migration[]): Promise<void> {
  await applyMigrations(connectionString, {
    folder: { path: "", lockfile: "", migrations },
    allowContract: true,
    allowDataLoss: true,
  });
}

/**
 * Takes indexes, foreign keys and triggers off, and returns the statements that put them back, in order. One check of
 * the whole at the end takes a fraction of the time of one a row, and no table has to wait for another.
 */
async function strip(client: pg.Client, tables: readonly Table[]): Promise<string[]> {
  const names = tables.map(qualified);
  const keys = await client.query<{ drop: string; add: string }>(
    `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS drop,
            format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) AS add
     FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = ANY ($1::regclass[]) ORDER BY k.oid`,
    [names],
  );
  const indexes = await client.query<{ drop: string; add: string }>(
    `SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS drop, pg_get_indexdef(i.indexrelid) AS add
     FROM pg_index i
     WHERE i.indrelid = ANY ($1::regclass[])
       AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
     ORDER BY i.indexrelid`,
    [names],
  );
  for (const { drop } of [...keys.rows, ...indexes.rows]) await client.query(drop);
  for (const name of names) await client.query(`ALTER TABLE ${name} DISABLE TRIGGER USER`);
  return [
    ...names.map((name) => `ALTER TABLE ${name} ENABLE TRIGGER USER`),
    ...indexes.rows.map(({ add }) => add),
    ...keys.rows.map(({ add }) => add),
  ];
}

function thrifty(): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      letThrough(chunk.length);
      done(null, chunk);
    },
  });
}

/** The number makes it unique; the words are for people, with only the letters that every store takes. */
function fileOf(index: number, { schema, name }: Table): string {
  return `${String(index).padStart(4, "0")}-${`${schema}.${name}`.replace(/[^A-Za-z0-9._-]/g, "_")}.copy.gz`;
}

function notInLedger(name: string): AppError {
  return new AppError(
    "conflict",
    `The migration ${name} was applied by another tool, so the database does not know its script. Add it by: task-master-pro migrate up`,
  );
}

function withoutRoom(error: unknown, folder: string): unknown {
  if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) return error;
  return explain(new ToolError("copy", 1, null, "No space left on device"), folder);
}

/** The environment is the one that PostgreSQL's programs are looked for and run in. */
export function createForms(environment: Environment): Record<Form["name"], Form> {
  return { pg_dump: pgDumpForm(environment), copy: copyForm() };
}

import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { inject } from "vitest";
import { hashTable, listSequences, listTables } from "../../src/backup/contents.ts";
import { createForms } from "../../src/backup/forms.ts";
import { openStore } from "../../src/backup/open-store.ts";
import type { BackupRun } from "../../src/backup/run.ts";
import { connectForBackup } from "../../src/backup/snapshot.ts";
import { schemaFingerprint } from "../../src/migrate/fingerprint.ts";

export interface TestRun {
  run: BackupRun;
  /** Where the backups lie. */
  directory: string;
  /** Everything that was said of the progress. */
  said: Record<string, unknown>[];
  close(): Promise<void>;
}

/** Backups in a folder of the test's own. */
export async function openTestRun(changes: Partial<BackupRun> = {}): Promise<TestRun> {
  const root = await mkdtemp(path.join(tmpdir(), "task-master-pro-test-backups-"));
  const directory = path.join(root, "backups");
  const store = await openStore({ kind: "folder", directory });
  // Makes the folder: a process that is killed at once would not have.
  await store.check();
  const said: Record<string, unknown>[] = [];
  return {
    directory,
    said,
    run: {
      store,
      forms: createForms(process.env),
      encryption: null,
      decryption: null,
      scratchDirectory: root,
      program: "0.0.0-test",
      progress: {
        step: (name, done, total) => void said.push({ event: "progress", name, done, total }),
        say: (event) => void said.push(event),
      },
      signal: new AbortController().signal,
      ...changes,
    },
    async close() {
      await store.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** All of a database: its schema, and the rows, hash and sequences of every table. */
export async function contentsOf(connectionString: string): Promise<Record<string, string>> {
  const client = await connectForBackup(connectionString);
  try {
    const contents: Record<string, string> = { schema: (await schemaFingerprint(client)).join("\n") };
    for (const table of await listTables(client)) {
      const { schema, name, rows, hash } = await hashTable(client, table);
      contents[`${schema}.${name}`] = `${rows} ${hash}`;
    }
    for (const { schema, name, value } of await listSequences(client)) contents[`${schema}.${name}`] = value;
    return contents;
  } finally {
    await client.end();
  }
}

/** One statement, or several, on a database. */
export async function ask<Row extends object>(connectionString: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** The databases of the test server whose names begin so. */
export async function databasesLike(beginning: string): Promise<string[]> {
  const rows = await ask<{ name: string }>(
    inject("database").url,
    `SELECT datname AS name FROM pg_database WHERE datname LIKE '${beginning.replaceAll("_", "\\_")}%' ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

export async function dropDatabases(names: string[]): Promise<void> {
  for (const name of names) {
    await ask(inject("database").url, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
  }
}

export function nameOf(connectionString: string): string {
  return new URL(connectionString).pathname.slice(1);
}

/** Changes one byte in the middle of a file. */
export async function flip(file: string): Promise<void> {
  const bytes = await readFile(file);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(file, bytes);
}

/** The data files of a backup in a folder, largest first. */
export async function dataFiles(backup: string): Promise<string[]> {
  const names = await readdir(path.join(backup, "data"));
  const files = await Promise.all(
    names.map(async (name) => {
      const file = path.join(backup, "data", name);
      return { file, bytes: (await readFile(file)).length };
    }),
  );
  return files.sort((a, b) => b.bytes - a.bytes).map(({ file }) => file);
}

export async function copyFolder(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, { recursive: true });
}

export interface Exit {
  code: number | null;
  out: string;
  err: string;
}

/** A process of Node.js. */
export async function runNode(args: string[], env: Record<string, string> = {}): Promise<Exit> {
  return await new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      args,
      { env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "/", ...env }, maxBuffer: 1 << 26 },
      (_error, out, err) => resolve({ code: child.exitCode, out, err }),
    );
  });
}

const cli = new URL("../../src/bin/cli.ts", import.meta.url).pathname;

/** The program's command line as a process of its own. */
export async function runCli(args: string[], env: Record<string, string>): Promise<Exit> {
  return await runNode([cli, ...args], env);
}

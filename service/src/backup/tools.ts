import { spawn } from "node:child_process";
import { access } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../core/errors.ts";

/** The environment of a program that is started. */
export type Environment = Record<string, string | undefined>;

/** PostgreSQL's own client programs, of one major version. */
export interface Tools {
  pgDump: string;
  pgRestore: string;
  /** As pg_dump says it, such as 17.6. */
  version: string;
}

/**
 * Finds pg_dump and pg_restore of exactly the server's major version: an older pg_dump refuses the server, and what a
 * newer one writes an older server may not take. Throws AppError that says what to install.
 */
export async function findTools(major: number, environment: Environment): Promise<Tools> {
  const found: string[] = [];
  for (const folder of folders(major, environment.PATH ?? "")) {
    const pgDump = path.join(folder, "pg_dump");
    const pgRestore = path.join(folder, "pg_restore");
    if (!(await exists(pgDump)) || !(await exists(pgRestore))) continue;
    const version = await readToolVersion(pgDump, environment);
    if (Number.parseInt(version, 10) === major) return { pgDump, pgRestore, version };
    if (version !== "") found.push(`${version} in ${folder}`);
  }
  throw new AppError(
    "unavailable",
    `The database is PostgreSQL ${major}, whose pg_dump and pg_restore are not on this machine` +
      `${found.length === 0 ? "" : ` (found: ${[...new Set(found)].join(", ")})`}. Install them, such as Debian's package ` +
      `postgresql-client-${major}, or put their folder into PATH.`,
  );
}

/** Debian's own folders come first: its programs in PATH choose a version by rules of their own. */
function folders(major: number, searchPath: string): string[] {
  return [
    `/usr/lib/postgresql/${major}/bin`,
    `/usr/pgsql-${major}/bin`,
    ...searchPath.split(path.delimiter).filter((folder) => folder !== ""),
    `/opt/homebrew/opt/postgresql@${major}/bin`,
    `/usr/local/opt/postgresql@${major}/bin`,
    "/opt/homebrew/opt/libpq/bin",
    `/Applications/Postgres.app/Contents/Versions/${major}/bin`,
  ];
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}

async function readToolVersion(program: string, environment: Environment): Promise<string> {
  const { output } = await runTool(program, ["--version"], { environment }).catch(() => ({ output: "" }));
  return /\(PostgreSQL\) (\S+)/.exec(output)?.[1] ?? "";
}

export interface RunOptions {
  environment: Environment;
  onLine?: (line: string) => void;
  signal?: AbortSignal;
}

/** Runs one of the programs; rejects with what it said last when it fails. */
export async function runTool(
  program: string,
  args: readonly string[],
  { environment, onLine = () => {}, signal }: RunOptions,
): Promise<{ output: string }> {
  return await new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      // Its messages are read, so they must come in a language that is known.
      env: { ...environment, LC_ALL: "C" },
      ...(signal === undefined ? {} : { signal }),
    });
    let output = "";
    let line = "";
    const said: string[] = [];
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString("utf8");
    });
    child.stderr.on("data", (chunk: Buffer) => {
      const lines = (line + chunk.toString("utf8")).split("\n");
      line = lines.pop() ?? "";
      for (const one of lines) {
        onLine(one);
        said.push(one);
        if (said.length > 20) said.shift();
      }
    });
    child.once("error", reject);
    child.once("close", (code, killed) => {
      if (code === 0) resolve({ output });
      else reject(new ToolError(path.basename(program), code, killed, [...said, line].join("\n").trim()));
    });
  });
}

export class ToolError extends Error {
  readonly said: string;

  constructor(program: string, code: number | null, killed: string | null, said: string) {
    const complaints = said.split("\n").filter((line) => /error|fatal|denied|no space/i.test(line));
    const reason = complaints.at(-1) ?? said.split("\n").at(-1) ?? "";
    super(`${program} ended with ${killed ?? `exit code ${code}`}: ${reason}`);
    this.name = "ToolError";
    this.said = said;
  }
}

/** What libpq understands of the parameters that pg's driver and Prisma's URLs may have. */
const libpqParameters = new Set([
  "application_name",
  "channel_binding",
  "connect_timeout",
  "gssencmode",
  "host",
  "hostaddr",
  "keepalives",
  "keepalives_idle",
  "options",
  "passfile",
  "port",
  "sslcert",
  "sslcrl",
  "sslkey",
  "sslmode",
  "sslpassword",
  "sslrootcert",
  "target_session_attrs",
  "user",
]);

/** For PostgreSQL's programs: the password goes by the environment, since everybody can read a process's arguments. */
export function toolConnection(
  connectionString: string,
  environment: Environment,
): { url: string; environment: Environment } {
  const url = new URL(connectionString);
  const password = url.password === "" ? url.searchParams.get("password") : decodeURIComponent(url.password);
  url.password = "";
  for (const [name, value] of [...url.searchParams]) {
    if (!libpqParameters.has(name)) url.searchParams.delete(name);
    else if (name === "sslmode" && value === "no-verify") url.searchParams.set(name, "require");
  }
  return {
    url: url.href,
    environment: password === null ? environment : { ...environment, PGPASSWORD: password },
  };
}

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { type Bench, execute } from "../bench.ts";
import { createClient, tagPath } from "../driver.ts";
import { type Seeded, taskId } from "../seed.ts";

/**
 * What the server is compared with (P1 to P4): pgbench, which sends the very statements that the server sends for a request,
 * prepared, as fast as the database answers them. They are read from the database's own log, so that they are those of the
 * server as it is now.
 */

const run = promisify(execFile);
export const captured = ["get", "list", "create", "update"] as const;
export type Captured = (typeof captured)[number];

interface Statement {
  text: string;
  /** Of $1 and so on; null is SQL's. */
  parameters: (string | null)[];
}

/** A text that was sent or answered, and the expression that pgbench is to have in its place. */
type Known = [text: string, expression: string];

const seededTask = "('01980d7e-8f00-7000-8000-' || lpad(to_hex(:n::int), 12, '0'))";
const uniqueText = "md5(:client_id::text || '-' || :unique::text)";

export async function hasPgbench(): Promise<boolean> {
  return await run("pgbench", ["--version"]).then(
    () => true,
    () => false,
  );
}

/** Writes a script of each kind into the bench's folder; the path by kind. */
export async function captureScripts(
  bench: Bench,
  databaseUrl: string,
  seeded: Seeded,
): Promise<Record<Captured, string>> {
  const name = pg.escapeIdentifier(new URL(databaseUrl).pathname.slice(1));
  await execute(databaseUrl, "ALTER SYSTEM SET log_line_prefix = '@%p '");
  await execute(databaseUrl, "SELECT pg_reload_conf()");
  await execute(
    databaseUrl,
    `ALTER DATABASE ${name} SET log_min_messages = 'log'; ALTER DATABASE ${name} SET log_statement = 'all'`,
  );
  const program = await bench.serve({ name: "captured", databaseUrl, settings: { LOG_LEVEL: "silent" } });
  const client = createClient(program, seeded.token);
  const log = path.join(bench.folder, "data/postgres/server.log");

  /** Those of a request that come every time: what the server does beside it, now and then, is left out. */
  const capture = async (request: (i: number) => Promise<Known[]>) => {
    let statements: Statement[] | undefined;
    let known: Known[] = [];
    for (let i = 0; i < 6; i += 1) {
      await sleep(300);
      const from = (await readFile(log, "utf8")).length;
      known = await request(i);
      await sleep(100);
      const seen = readStatements((await readFile(log, "utf8")).slice(from));
      // The first prepares, and a new connection is set up.
      if (i === 0) continue;
      const texts = new Set(statements?.map(({ text }) => text));
      statements = statements === undefined ? seen : seen.filter(({ text }) => texts.has(text));
    }
    return { statements: statements ?? [], known };
  };

  const scripts = {} as Record<Captured, string>;
  const of: Record<Captured, (i: number) => Promise<Known[]>> = {
    async get(i) {
      await client.send("GET", `/tasks/${taskId(i)}`);
      return [[taskId(i), seededTask]];
    },
    async list() {
      await client.send("GET", `${tagPath}/tasks?limit=50`);
      return [];
    },
    async create(i) {
      const key = `capture-${i}`;
      const body = { title: "Made by the bench", description: "To be written and read", priority: "high" };
      const made = await client.send("POST", `${tagPath}/tasks`, JSON.stringify(body), {
        "idempotency-key": key,
      });
      const { id, localId } = JSON.parse(made) as { id: string; localId: string };
      return [
        [id, `${uniqueText}::uuid`],
        [localId, "nextval('bench_numbers')"],
        [sha256(key), uniqueText],
      ];
    },
    async update(i) {
      const key = `capture-update-${i}`;
      await client.send("PATCH", `/tasks/${taskId(i)}`, `{"title":"Changed by the bench ${i}"}`, {
        "idempotency-key": key,
        "if-match": '"2"',
      });
      return [
        [taskId(i), seededTask],
        ["2", `(SELECT version FROM tasks WHERE id = ${seededTask}::uuid)`],
        [sha256(key), uniqueText],
      ];
    },
  };
  for (const kind of captured) {
    const { statements, known } = await capture(of[kind]);
    if (statements.length === 0) throw new Error(`No statement of ${kind} was found in the database's log.`);
    const lines = [
      `\\set n random(0, ${seeded.tasks - 1})`,
      "\\set unique random(1, 1000000000000000)",
      ...statements.map((statement) => `${write(statement, known)};`),
    ];
    scripts[kind] = path.join(bench.folder, `${kind}.pgbench`);
    await writeFile(scripts[kind], `${lines.join("\n")}\n`);
  }
  await program.stop();
  return scripts;
}

/** Transactions a second. */
export async function runPgbench(
  databaseUrl: string,
  script: string,
  { seconds, clients }: { seconds: number; clients: number },
): Promise<number> {
  const { stdout } = await run("pgbench", [
    ...["-n", "-M", "prepared", "-c", String(clients), "-j", "1", "-T", String(seconds), "-f", script],
    databaseUrl,
  ]);
  const rate = Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1]);
  if (!(rate > 0) || !/number of failed transactions: 0 /.test(stdout))
    throw new Error(`pgbench did not do it: ${stdout}`);
  return rate;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A log entry begins with the prefix, and goes on in lines that begin with a tab. */
function readStatements(log: string): Statement[] {
  const statements: Statement[] = [];
  const last = new Map<string, Statement>();
  for (const entry of log.split(/^(?=@\d+ )/m)) {
    const [, process = "", kind, text = ""] =
      /^@(\d+) (LOG: {2}(?:execute [^:]+|statement)|DETAIL): +([\s\S]*)/.exec(entry) ?? [];
    if (kind === undefined) continue;
    const whole = text.replaceAll("\n\t", "\n").trimEnd();
    if (kind === "DETAIL") {
      const statement = last.get(process);
      if (statement !== undefined) statement.parameters = readParameters(whole);
    } else {
      const statement = { text: whole.replace(/;$/, ""), parameters: [] };
      last.set(process, statement);
      statements.push(statement);
    }
  }
  return statements;
}

function readParameters(text: string): (string | null)[] {
  return Array.from(text.matchAll(/\$\d+ = (?:NULL|'((?:[^']|'')*)')/g), ([, value]) =>
    value === undefined ? null : value.replaceAll("''", "'"),
  );
}

/** As pgbench takes it: what follows a colon is a variable to it, in a text as well. */
function literal(value: string): string {
  const body = value.replaceAll("\\", "\\\\").replaceAll("'", "''").replaceAll(":", "\\x3a");
  return body === value ? `'${value}'` : `E'${body}'`;
}

function write({ text, parameters }: Statement, known: Known[]): string {
  const written = parameters.map((value) => {
    if (value === null) return "NULL";
    const whole = known.find(([one]) => one === value);
    // A version is the one text so short that it may be something else as well.
    if (whole !== undefined && (whole[0].length > 1 || /^\s*(WITH|UPDATE)/i.test(text))) {
      return `(${whole[1]})::text`;
    }
    return known
      .filter(([one]) => one.length > 1)
      .reduce((expression, [one, other]) => {
        const isPart = new RegExp(`(?<![\\w-])${one}(?![\\w-])`).test(value);
        return isPart ? `replace(${expression}, ${literal(one)}, (${other})::text)` : expression;
      }, literal(value));
  });
  return text
    .replace(/'(?:[^']|'')*'/g, (quoted) =>
      quoted.includes(":") ? `E${quoted.replaceAll(":", "\\x3a")}` : quoted,
    )
    .replace(/\$(\d+)/g, (_, place: string) => written[Number(place) - 1] ?? "NULL");
}

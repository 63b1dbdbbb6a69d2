import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { AppError } from "../core/errors.ts";
import type { Migration } from "./migrations.ts";
import { type ParsedStatement, parseStatements } from "./parse.ts";

/** What is wrong with a migration's scripts as they are written; a sentence a fault. */
export async function lintMigration(folder: string, migration: Migration): Promise<string[]> {
  const faults: string[] = [];
  const scripts = [{ file: "migration.sql", sql: migration.sql }];
  if (migration.down !== null) scripts.push({ file: "down.sql", sql: migration.down });
  for (const { file, sql } of scripts) {
    let statements: ParsedStatement[];
    try {
      statements = await parseStatements(sql);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      faults.push(`${migration.name}/${file}: ${error.message}`);
      continue;
    }
    for (const [index, statement] of statements.entries()) {
      const where = `${migration.name}/${file}, statement ${index + 1}`;
      if (statement.kind === "TransactionStmt") {
        faults.push(`${where}: BEGIN and COMMIT are the migrator's; leave them out.`);
      } else if (migration.transaction && statement.refusesTransaction) {
        faults.push(
          `${where} cannot run in a transaction; move it to a migration with "transaction": false.`,
        );
      } else if (!migration.transaction && !statement.repeatable) {
        faults.push(
          `${where} cannot be run again after it was cut off. Outside a transaction take CREATE INDEX CONCURRENTLY IF NOT EXISTS, ` +
            "DROP INDEX CONCURRENTLY IF EXISTS, VALIDATE CONSTRAINT, ADD VALUE IF NOT EXISTS, ANALYZE, or DO with a block that can; " +
            'anything else belongs in a migration with "transaction": true.',
        );
      }
    }
    faults.push(...(await squawk(path.join(folder, migration.name, file), file, migration)));
  }
  return faults;
}

/**
 * What each of squawk's rules would be told is said here instead. The rules about down.sql are fewer: taking back is
 * meant to drop things, and asks before it loses data.
 */
const excluded = [
  // Counters of 2^31 and more are BIGINT already; an INTEGER here counts what a person makes.
  "prefer-bigint-over-int",
  // Prisma writes SERIAL for autoincrement().
  "prefer-identity",
  // The migrator sets both for every script.
  "require-lock-timeout",
  "require-statement-timeout",
  // A script in a transaction never runs twice, and outside of one the check above is stricter.
  "prefer-robust-stmts",
];
const excludedInDown = ["ban-drop-table", "ban-drop-column", "ban-drop-not-null"];

interface Finding {
  line: number;
  level: string;
  message: string;
  rule_name: string;
}

/** The linter for PostgreSQL migrations, https://squawkhq.com: what it finds makes writers wait, or breaks clients. */
async function squawk(file: string, kind: string, migration: Migration): Promise<string[]> {
  const exclude = kind === "down.sql" ? [...excluded, ...excludedInDown] : excluded;
  const args = ["--reporter", "json", "--pg-version", "15.0", "--exclude", exclude.join(",")];
  if (migration.transaction) args.push("--assume-in-transaction");
  const { code, output, problem } = await run(findSquawk(), [...args, file]);
  let findings: Finding[];
  try {
    findings = JSON.parse(output) as Finding[];
  } catch {
    throw new AppError("unavailable", `squawk did not run (exit code ${code}): ${problem || output}`);
  }
  // Dropping is what a contract step is for; it asks before it loses data, and the release before it is gone.
  const allowed = (rule: string) => migration.kind === "contract" && /^(ban-drop-|renaming-)/.test(rule);
  return findings
    .filter(({ rule_name }) => !allowed(rule_name))
    .map(
      (one) => `${migration.name}/${kind}, line ${one.line + 1}: ${one.message} (squawk: ${one.rule_name})`,
    );
}

function findSquawk(): string {
  const require = createRequire(import.meta.url);
  try {
    return path.join(path.dirname(require.resolve("squawk-cli/package.json")), "js/bin/squawk");
  } catch (error) {
    const message = "The linter squawk-cli is not installed; it is a development dependency: npm ci.";
    throw new AppError("unavailable", message, { cause: error });
  }
}

async function run(
  script: string,
  args: string[],
): Promise<{ code: number | null; output: string; problem: string }> {
  return await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let problem = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      problem += chunk.toString();
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output, problem: problem.trim() }));
  });
}

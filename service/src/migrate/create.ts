import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../core/errors.ts";
import { applyMigrations } from "./apply.ts";
import { connect } from "./connection.ts";
import { openEngine } from "./engine.ts";
import { findLosses, schemaFingerprint } from "./fingerprint.ts";
import { type MigrationFolder, type MigrationNotes, prismaFolder, readMigrations } from "./migrations.ts";
import { type ParsedStatement, parseStatements } from "./parse.ts";
import { openScratch } from "./scratch.ts";

export interface CreateOptions {
  /** Instead of the package's. */
  folder?: MigrationFolder;
  /** The text of the Prisma schema, instead of the package's. */
  schema?: string;
  /** Make a migration with nothing in it yet, for what Prisma's language cannot say. */
  empty?: boolean;
  now?: Date;
}

interface Draft extends MigrationNotes {
  name: string;
  up: string;
  down: string;
}

/**
 * Writes the migration that leads from the migrations so far to the Prisma schema, with its way back, and returns the
 * paths of the folders made: two where an index is added to a table that is there already, since that index is built
 * concurrently and so outside a transaction. Throws AppError when there is nothing to do.
 */
export async function createMigration(words: string, options: CreateOptions = {}): Promise<string[]> {
  const folder = options.folder ?? (await readMigrations());
  const schema = options.schema ?? (await readFile(path.join(await prismaFolder(), "schema.prisma"), "utf8"));
  if (!/^[a-z][a-z0-9_]{1,60}$/.test(words)) {
    throw new AppError(
      "invalid_input",
      `${JSON.stringify(words)} is no name for a migration; say in lower case what it does, such as add_task_due_date.`,
    );
  }
  const name = `${timestamp(options.now ?? new Date())}_${words}`;
  const last = folder.migrations.at(-1)?.name ?? "";
  if (name <= last)
    throw new AppError("conflict", `${name} would come before ${last}, which is there already.`);
  const drafts = options.empty === true ? [emptyDraft(name)] : await draft(name, folder, schema);
  return await Promise.all(drafts.map(async (one) => await write(folder.path, one)));
}

/** UTC, as Prisma writes it: YYYYMMDDhhmmss. */
function timestamp(now: Date): string {
  return now.toISOString().replace(/\D/g, "").slice(0, 14);
}

function emptyDraft(name: string): Draft {
  return {
    name,
    up: "-- What the migration does.\n",
    down: "-- What takes it back.\n",
    kind: "expand",
    reversible: true,
    transaction: true,
    loses: { up: [], down: [] },
  };
}

async function draft(name: string, folder: MigrationFolder, schema: string): Promise<Draft[]> {
  const scratch = await openScratch();
  try {
    const [old, next] = [await scratch.database(), await scratch.database()];
    for (const database of [old, next]) {
      await applyMigrations(database, { folder, allowContract: true, allowDataLoss: true });
    }
    const up = await withEngine(old, async (engine) => await engine.scriptForward(schema));
    if (up === "") {
      throw new AppError(
        "conflict",
        "The migrations make prisma/schema.prisma already, so there is nothing to write. Change the schema first, or use --empty for what its language cannot say.",
      );
    }
    const before = await inspect(next);
    await run(next, up);
    const after = await inspect(next);
    // What Prisma reads differently from how it is written, generated columns among it, is a change in every script back.
    const noise = new Set(
      (await cut(await withEngine(next, async (engine) => await engine.scriptBack(schema)))).flatMap(
        ({ text }) => takeApart(text).map(({ head, command }) => head + command),
      ),
    );
    const back = await withEngine(old, async (engine) => await engine.scriptBack(schema));
    const forth = await cut(up);
    const losses = { up: findLosses(before, after), down: findLosses(after, before) };
    return arrange(
      name,
      forth,
      (await cut(back)).flatMap((statement) => withoutNoise(statement, noise)),
      losses,
    );
  } finally {
    await scratch.close();
  }
}

/** Prisma puts all that it changes in a table into one statement, a line a command. */
function takeApart(text: string): { head: string; command: string }[] {
  const sql = text.replace(/^(?:--.*\n)+/, "");
  const head = /^ALTER TABLE (?:"[^"]+"\.)?"[^"]+" /.exec(sql)?.[0] ?? "";
  const commands = head === "" ? [sql] : sql.slice(head.length).split(/,\n(?=(?:ADD|ALTER|DROP|RENAME) )/);
  return commands.map((command) => ({ head, command }));
}

function withoutNoise(statement: ParsedStatement, noise: Set<string>): ParsedStatement[] {
  const all = takeApart(statement.text);
  const meant = all.filter(({ head, command }) => !noise.has(head + command));
  if (meant.length === all.length) return [statement];
  if (meant.length === 0) return [];
  return [{ ...statement, text: `${meant[0]?.head}${meant.map(({ command }) => command).join(",\n")}` }];
}

/** Indexes on tables that hold data already come last, by themselves; and go first on the way back. */
function arrange(
  name: string,
  up: ParsedStatement[],
  down: ParsedStatement[],
  loses: { up: string[]; down: string[] },
): Draft[] {
  const made = new Set(up.filter(({ kind }) => kind === "CreateStmt").map(({ table }) => table));
  const isLate = ({ kind, table }: ParsedStatement) => kind === "IndexStmt" && !made.has(table);
  const late = up.filter(isLate);
  const indexes = late.map(({ text }) => /INDEX "([^"]+)"/.exec(text)?.[1] ?? "");
  const isLateDrop = ({ text }: ParsedStatement) => {
    const dropped = /^(?:--.*\n)*DROP INDEX (?:"public"\.)?"([^"]+)"/.exec(text)?.[1];
    return dropped !== undefined && indexes.includes(dropped);
  };
  const rest = up.filter((statement) => !isLate(statement));
  const drafts: Draft[] = [];
  if (rest.length > 0) {
    drafts.push({
      name,
      up: join(rest),
      down: join(down.filter((statement) => !isLateDrop(statement))),
      kind: isContract(rest, loses.up) ? "contract" : "expand",
      reversible: true,
      transaction: true,
      loses,
    });
  }
  if (late.length > 0) {
    drafts.push({
      name: rest.length > 0 ? `${name}_indexes` : name,
      up: late
        .map(
          ({ text }) =>
            `${text.replace(/CREATE (UNIQUE )?INDEX /, (_, unique: string | undefined) => `CREATE ${unique ?? ""}INDEX CONCURRENTLY IF NOT EXISTS `)};\n`,
        )
        .join("\n"),
      down: indexes.map((index) => `DROP INDEX CONCURRENTLY IF EXISTS "${index}";\n`).join(""),
      kind: "expand",
      reversible: true,
      transaction: false,
      loses: { up: [], down: [] },
    });
  }
  return drafts;
}

/** Whether the release before would miss something or be refused. */
function isContract(up: ParsedStatement[], losses: string[]): boolean {
  const narrows =
    /\bSET NOT NULL\b|\bALTER COLUMN\s+\S+\s+(?:SET DATA )?TYPE\b|\bRENAME\b|\bADD COLUMN\s+(?!.*DEFAULT).*NOT NULL/i;
  return losses.length > 0 || up.some(({ text }) => narrows.test(text));
}

function join(statements: ParsedStatement[]): string {
  return statements.map(({ text }) => `${text.replaceAll('"public".', "")};\n`).join("\n");
}

async function cut(script: string): Promise<ParsedStatement[]> {
  return script === "" ? [] : await parseStatements(script);
}

async function withEngine<T>(
  database: string,
  work: (engine: Awaited<ReturnType<typeof openEngine>>) => Promise<T>,
): Promise<T> {
  const engine = await openEngine(database);
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

async function inspect(database: string): Promise<string[]> {
  const client = await connect(database);
  try {
    return await schemaFingerprint(client);
  } finally {
    await client.end();
  }
}

async function run(database: string, script: string): Promise<void> {
  const client = await connect(database);
  try {
    await client.query(script);
  } finally {
    await client.end();
  }
}

async function write(root: string, { name, up, down, ...notes }: Draft): Promise<string> {
  const folder = path.join(root, name);
  await mkdir(folder);
  await writeFile(path.join(folder, "migration.sql"), up);
  await writeFile(path.join(folder, "down.sql"), down);
  await writeFile(path.join(folder, "migration.json"), `${JSON.stringify(notes, null, 2)}\n`);
  return folder;
}

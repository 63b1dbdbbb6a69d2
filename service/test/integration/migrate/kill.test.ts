import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyMigrations } from "../../../src/migrate/apply.ts";
import { readMigrations } from "../../../src/migrate/migrations.ts";
import { revertMigrations } from "../../../src/migrate/revert.ts";
import { splitStatements } from "../../../src/migrate/statements.ts";
import { migrationStatus } from "../../../src/migrate/status.ts";
import { type Cutter, openCutter } from "../../support/cutter.ts";
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from "../../support/database.ts";
import {
  contract,
  createFolder,
  expand,
  fingerprintOf,
  fixtures,
  head,
  outside,
  prismaHistory,
  query,
  shipped,
  type TestFolder,
} from "../../support/migrations.ts";

let made: TestFolder;
/** The schemas of an undisturbed run: with all migrations, and with the package's alone. */
let whole: string[];
let bare: string[];
let points = 0;

beforeAll(async () => {
  made = await createFolder();
  const database = await createTestDatabase();
  bare = await fingerprintOf(database.connectionString);
  await applyMigrations(database.connectionString, { folder: made.folder, allowContract: true });
  whole = await fingerprintOf(database.connectionString);
  await database.drop();
});

afterAll(async () => {
  await made.remove();
  console.log(`kill points tried: ${points}`);
});

/** A few rows, so that the backfill commits in its middle. */
async function addTasks(connectionString: string): Promise<void> {
  await query(
    connectionString,
    `INSERT INTO organizations (id, slug, name) VALUES (gen_random_uuid(), 'kill', 'Kill');
     INSERT INTO projects (id, organization_id, key, name) SELECT gen_random_uuid(), id, 'KILL', 'Kill' FROM organizations;
     INSERT INTO tags (id, organization_id, project_id, name, position) SELECT gen_random_uuid(), organization_id, id, 'master', 1 FROM projects;
     INSERT INTO tasks (id, organization_id, project_id, tag_id, segment, title, status, rank)
     SELECT gen_random_uuid(), organization_id, project_id, id, n::text, 'Task', 'pending', 'a' || n FROM tags, generate_series(1, 12) n`,
  );
}

const rows = async (connectionString: string) =>
  Number(
    (await query<{ count: string }>(connectionString, "SELECT count(*) FROM tasks WHERE title = 'Task'"))[0]
      ?.count,
  );

/** Until the database has noticed that the migrator is gone, and ended what it was doing. */
async function untilGone(watcher: pg.Client): Promise<void> {
  for (const deadline = Date.now() + 15_000; Date.now() < deadline; ) {
    const { rows: left } = await watcher.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
       AND application_name = 'task-master-pro migrate'`,
    );
    if (left.length === 0) return;
    await sleep(3);
  }
  throw new Error("the database goes on for a migrator that is gone");
}

async function expectWhole(connectionString: string): Promise<void> {
  expect(await fingerprintOf(connectionString)).toEqual(whole);
  expect(await prismaHistory(connectionString)).not.toContainEqual(expect.stringContaining("unfinished"));
  const status = await migrationStatus(connectionString, made.folder);
  expect(status).toMatchObject({ applied: made.folder.migrations.length, pending: 0, invalidIndexes: [] });
  const [left] = await query<{ count: string }>(
    connectionString,
    "SELECT count(*) FROM tasks WHERE estimate IS NULL",
  );
  expect(left?.count).toBe("0");
}

async function expectBare(connectionString: string): Promise<void> {
  expect(await fingerprintOf(connectionString)).toEqual(bare);
  expect(await prismaHistory(connectionString)).not.toContainEqual(expect.stringContaining("unfinished"));
  const status = await migrationStatus(connectionString, made.folder);
  expect(status).toMatchObject({ applied: shipped.length, pending: 3, invalidIndexes: [] });
}

const allowed = { allowContract: true, allowDataLoss: true };
const up = async (connectionString: string) =>
  await applyMigrations(connectionString, { folder: made.folder, ...allowed });
const down = async (connectionString: string) =>
  await revertMigrations(connectionString, { to: head, ...allowed });

type Kill = (direction: "up" | "down", place: number) => Promise<boolean>;

/**
 * For every place where a run can be killed, until there is none any more: up killed and begun again; down killed, and
 * followed by up, or begun again, or both. `kill` answers whether it came to be killed.
 */
async function walk(
  { connectionString }: TestDatabase,
  places: Iterator<number, never>,
  afterDown: (place: number) => ("up" | "down")[],
  kill: Kill,
): Promise<{ up: number; down: number }> {
  const tried = { up: 0, down: 0 };
  for (;;) {
    const place = places.next().value;
    let killed = await kill("up", place);
    let goesOn = killed;
    if (killed) {
      tried.up += 1;
      await up(connectionString);
    }
    await expectWhole(connectionString);
    for (const next of afterDown(place)) {
      killed = await kill("down", place);
      goesOn ||= killed;
      if (killed) tried.down += 1;
      if (next === "up") {
        await up(connectionString);
        await expectWhole(connectionString);
      } else {
        await down(connectionString);
        await expectBare(connectionString);
      }
    }
    await down(connectionString);
    if (!goesOn) return tried;
  }
}

function* from(first: number): Generator<number, never> {
  for (let place = first; ; place += 1) yield place;
}

async function openFilled(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  await addTasks(database.connectionString);
  return database;
}

/** The migrator in a process of its own, that kills itself after its nth statement; 0 lets it live. */
function startMigrator(connectionString: string, direction: "up" | "down", nth: number) {
  const source = (file: string) =>
    JSON.stringify(new URL(`../../../src/migrate/${file}`, import.meta.url).href);
  const script = `
    import { applyMigrations } from ${source("apply.ts")};
    import { readMigrations } from ${source("migrations.ts")};
    import { revertMigrations } from ${source("revert.ts")};
    let seen = 0;
    const options = {
      allowContract: true,
      allowDataLoss: true,
      onProgress({ event }) {
        if (event === "statement" && ++seen === ${nth}) process.kill(process.pid, "SIGKILL");
      },
    };
    const url = ${JSON.stringify(connectionString)};
    if (${direction === "up"}) await applyMigrations(url, { ...options, folder: await readMigrations(${JSON.stringify(made.folder.path)}) });
    else await revertMigrations(url, { ...options, to: ${JSON.stringify(head)} });`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return { child, ended: once(child, "exit") as Promise<[number | null, string | null]> };
}

describe("a process that is killed by SIGKILL after a statement", () => {
  test("leaves nothing that the next run does not mend, for every statement in both directions", async () => {
    const counts = { up: 0, down: 0 };
    for (const { up: upSql, down: downSql } of fixtures) {
      counts.up += splitStatements(upSql).length;
      counts.down += splitStatements(downSql ?? "").length;
    }
    expect(counts).toEqual({ up: 11, down: 12 });
    const places = from(1);
    // Each is a process, so that only one of the two is tried; the connections below try both.
    const after = (place: number) => [place % 2 === 0 ? ("up" as const) : ("down" as const)];
    const lanes = await Promise.all(
      Array.from({ length: 2 }, async () => {
        const database = await openFilled();
        const tried = await walk(database, places, after, async (direction, place) => {
          const [code, signal] = await startMigrator(database.connectionString, direction, place).ended;
          expect([code, signal]).toEqual(place <= counts[direction] ? [null, "SIGKILL"] : [0, null]);
          return signal !== null;
        });
        expect(await rows(database.connectionString)).toBe(12);
        await database.drop();
        return tried;
      }),
    );
    const tried = {
      up: lanes.reduce((sum, one) => sum + one.up, 0),
      down: lanes.reduce((sum, one) => sum + one.down, 0),
    };
    expect(tried).toEqual({ up: counts.up, down: counts.down });
    points += tried.up + tried.down;
  }, 120_000);
});

describe("a connection that is cut off after a change was sent", () => {
  let cutter: Cutter;

  /** False when it ended before the place. */
  async function cut(watcher: pg.Client, place: number, work: () => Promise<unknown>): Promise<boolean> {
    cutter.cutAfter(place);
    const outcome = await work().then(
      () => "done",
      (error: unknown) => error,
    );
    const sent = cutter.changes();
    cutter.cutAfter(0);
    if (sent < place) {
      if (outcome !== "done") throw outcome;
      return false;
    }
    await untilGone(watcher);
    return true;
  }

  test("is mended by the next run, for every message of the fixtures' migrations in both directions", async () => {
    const database = await openFilled();
    cutter = await openCutter(database.connectionString);
    const watcher = new pg.Client({ connectionString: database.connectionString });
    await watcher.connect();
    const tried = await walk(
      database,
      from(1),
      () => ["up", "down"],
      async (direction, place) =>
        await cut(watcher, place, async () =>
          direction === "up" ? await up(cutter.connectionString) : await down(cutter.connectionString),
        ),
    );
    // Every statement, and what is written down of each migration.
    expect(tried.up).toBeGreaterThan(25);
    expect(tried.down).toBeGreaterThan(50);
    expect(await rows(database.connectionString)).toBe(12);
    points += tried.up + tried.down;
    await watcher.end();
    await cutter.close();
    await database.drop();
  }, 120_000);

  test("leaves nothing of the package's first migration, which is all or nothing, in both directions", async () => {
    const database = await createEmptyDatabase();
    const { connectionString } = database;
    cutter = await openCutter(connectionString);
    const watcher = new pg.Client({ connectionString });
    await watcher.connect();
    const first = shipped[0] ?? "";
    const count = splitStatements((await readMigrations()).migrations[0]?.sql ?? "").length;
    expect(count).toBeGreaterThan(70);

    let place = 1;
    for (; ; place += 1) {
      const killed = await cut(
        watcher,
        place,
        async () => await applyMigrations(cutter.connectionString, { to: first }),
      );
      const states = (await migrationStatus(connectionString)).migrations.map(({ state }) => state);
      // The last change is the COMMIT, which the database carries out though nobody hears of it.
      if (states[0] === "applied") {
        expect(killed).toBe(true);
        break;
      }
      expect(new Set(states)).toEqual(new Set(["pending"]));
      expect(await fingerprintOf(connectionString)).toEqual([]);
    }
    // BEGIN, every statement, both rows, COMMIT; the ledger's own tables stay once they are made.
    expect(place).toBe(1 + count + 2 + 1);
    const applied = await fingerprintOf(connectionString);
    expect(await prismaHistory(connectionString)).toEqual([`${first} applied`]);
    expect(await applyMigrations(connectionString, { to: first })).toEqual([]);
    points += place;

    for (place = 1; ; place += 1) {
      await cut(watcher, place, async () => await revertMigrations(cutter.connectionString, { to: "none" }));
      if ((await migrationStatus(connectionString)).migrations[0]?.state === "pending") break;
      expect(await fingerprintOf(connectionString)).toEqual(applied);
    }
    expect(place).toBeGreaterThan(4);
    expect(await fingerprintOf(connectionString)).toEqual([]);
    points += place;
    expect(await applyMigrations(connectionString)).toEqual(shipped);
    expect(await fingerprintOf(connectionString)).toEqual(bare);
    await watcher.end();
    await cutter.close();
    await database.drop();
  }, 60_000);
});

test("an index that was killed while it was built is found by the status and built again, with another migrator polling", async () => {
  const database = await openFilled();
  const { connectionString } = database;
  await applyMigrations(connectionString, { folder: made.folder, to: expand.name });
  const other = new pg.Client({ connectionString });
  const watcher = new pg.Client({ connectionString });
  await Promise.all([other.connect(), watcher.connect()]);
  const building = async () =>
    (await watcher.query("SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%'")).rows
      .length > 0;

  // The build waits for whoever has written to the table before it began.
  await other.query("BEGIN; UPDATE tasks SET title = title");
  const { child, ended } = startMigrator(connectionString, "up", 0);
  while (!(await building())) await sleep(20);
  expect((await migrationStatus(connectionString, made.folder)).invalidIndexes).toEqual([]);
  child.kill("SIGKILL");
  expect((await ended)[1]).toBe("SIGKILL");
  points += 1;
  // The database notices by itself that nobody waits for the index any more, though the build still could not go on.
  await untilGone(watcher);
  expect(await migrationStatus(connectionString, made.folder)).toMatchObject({
    invalidIndexes: ["tasks_estimate_idx"],
    migrations: [
      ...shipped.map(() => ({ state: "applied" })),
      { state: "applied" },
      { state: "half applied" },
      { state: "pending" },
    ],
  });

  const notes: string[] = [];
  const waits: string[] = [];
  const first = applyMigrations(connectionString, {
    folder: made.folder,
    allowContract: true,
    onProgress: (one) => {
      if (one.event === "note") notes.push(one.text);
    },
  });
  while (notes.length === 0) await sleep(20);
  const second = applyMigrations(connectionString, {
    folder: made.folder,
    allowContract: true,
    onProgress: (one) => {
      if (one.event === "waiting") waits.push(one.for);
    },
  });
  await sleep(500);
  await other.query("COMMIT");
  expect(await Promise.all([first, second])).toEqual([[outside.name, contract.name], []]);
  expect(notes).toEqual([expect.stringContaining("tasks_estimate_idx was left unfinished")]);
  expect(waits[0]).toMatch(/^task-master-pro migrate in the database's process \d+$/);
  await expectWhole(connectionString);
  await Promise.all([other.end(), watcher.end()]);
  await database.drop();
}, 60_000);

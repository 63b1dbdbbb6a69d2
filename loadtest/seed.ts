import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { scopes } from "../service/src/core/index.ts";
import { createRandom } from "./statistics.ts";

export interface Seeded {
  organizationId: string;
  projectId: string;
  tagId: string;
  /** Of an owner, with every scope. */
  token: string;
  tasks: number;
  edges: number;
  /** Of the rows and their indexes, milliseconds. */
  ms: number;
  /** Of the whole database, with the indexes. */
  bytes: number;
}

export const organizationId = "01980d7e-8f00-7000-9000-000000000001";
const projectId = "01980d7e-8f00-7000-9000-000000000002";
const tagId = "01980d7e-8f00-7000-9000-000000000003";
export const userId = "01980d7e-8f00-7000-9000-000000000004";
const membershipId = "01980d7e-8f00-7000-9000-000000000005";
const tokenId = "01980d7e-8f00-7000-9000-000000000006";
/** Of no secret: it is in the source, and the database is gone after the bench. */
const token = `tmp_${"5eed".repeat(16)}`;

const id = (n: number, kind: string) => `01980d7e-8f00-7000-${kind}-${n.toString(16).padStart(12, "0")}`;

/** The id of the seeded task that was made as the n-th, from 0; they sort as they were made, as UUIDv7 do. */
export function taskId(n: number): string {
  return id(n, "8000");
}

/** What the n-th task of a database looks like. */
interface Shape {
  tasks: number;
  task(n: number): {
    /** The n of the task that it is a subtask of. */
    parent: number | null;
    number: number;
    subtasks: number;
    status: string;
    description: string;
    details: string;
    testStrategy: string;
  };
  dependsOn(n: number): number[];
}

const chunk = 20_000;
const piece = 500;
const phrases = writePhrases();

/**
 * Fills a migrated database that holds no organization with one project of so many tasks, the same at every call: three
 * of ten are subtasks, one of five waits for another, and two events each. The texts of a task are about a kilobyte, or
 * short ones where a database of a million tasks has to be there soon.
 */
export async function seedTasks(
  connectionString: string,
  tasks: number,
  { short = false, onProgress = () => {} }: { short?: boolean; onProgress?: (done: number) => void } = {},
): Promise<Seeded> {
  const statuses = ["pending", "pending", "pending", "done", "in-progress", "done", "pending"];
  return await seed(
    connectionString,
    {
      tasks,
      // The n-th is a subtask of the one at the last multiple of ten when its last digit is 7, 8 or 9.
      task: (n) => ({
        parent: n % 10 > 6 ? n - (n % 10) : null,
        number: n % 10 > 6 ? (n % 10) - 6 : n + 1,
        subtasks: n % 10 === 0 ? 3 : 0,
        status: statuses[n % 7] ?? "pending",
        description: short ? phrase(n, 37, 11) : text(n, 2, 37, 11),
        details: short ? "" : text(n, 8, 41, 13),
        testStrategy: short ? "" : text(n, 2, 43, 17),
      }),
      dependsOn: (n) => (n % 5 === 3 && n % 10 < 7 ? [n - 2] : []),
    },
    onProgress,
  );
}

/** The same, of tasks that are all ready to be worked on. */
export async function seedReady(connectionString: string, tasks: number): Promise<Seeded> {
  return await seed(connectionString, {
    tasks,
    task: (n) => ({ ...plain(n), status: "pending" }),
    dependsOn: () => [],
  });
}

/**
 * The same, of one graph with so many edges: each task waits for two of the five hundred before it, and the first two
 * fifths are done, as in a large project that is on its way.
 */
export async function seedGraph(connectionString: string, edges: number): Promise<Seeded> {
  const tasks = Math.ceil(edges / 2) + 2;
  return await seed(connectionString, {
    tasks,
    task: (n) => ({ ...plain(n), status: n < tasks * 0.4 ? "done" : "pending" }),
    dependsOn(n) {
      if (n < 2) return [];
      const far = 1 + Math.floor(createRandom(n)() * Math.min(n, 500));
      return far === 1 ? [n - 1, n - 2] : [n - 1, n - far];
    },
  });
}

/** A task of its own with a short text. */
function plain(n: number) {
  return {
    parent: null,
    number: n + 1,
    subtasks: 0,
    description: phrase(n, 37, 11),
    details: "",
    testStrategy: "",
  };
}

function phrase(n: number, factor: number, shift: number): string {
  return phrases[(n * factor + shift) % phrases.length] ?? "";
}

function text(n: number, count: number, factor: number, shift: number): string {
  return Array.from({ length: count }, (_, i) => phrase(n, factor + 2 * i, shift + 97 * i)).join(". ");
}

/**
 * By COPY, and with the checks of foreign keys and the indexes that are not unique away meanwhile, so it needs a
 * superuser.
 */
async function seed(
  connectionString: string,
  shape: Shape,
  onProgress: (done: number) => void = () => {},
): Promise<Seeded> {
  const started = performance.now();
  const client = await connect(connectionString);
  try {
    await insertProject(client, shape.tasks);
    const indexes = await dropIndexes(client);
    const edges = await copyAll(connectionString, shape, onProgress);
    for (const index of indexes) await client.query(index);
    await client.query("VACUUM (ANALYZE)");
    // Or what was just written would be flushed in the middle of what is measured.
    await client.query("CHECKPOINT");
    const { rows } = await client.query<{ bytes: string }>(
      "SELECT pg_database_size(current_database()) AS bytes",
    );
    const ms = performance.now() - started;
    const { tasks } = shape;
    return { organizationId, projectId, tagId, token, tasks, edges, ms, bytes: Number(rows[0]?.bytes) };
  } finally {
    await client.end().catch(() => {});
  }
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString, application_name: "bench seed" });
  client.on("error", () => {});
  await client.connect();
  await client.query(
    "SET synchronous_commit = off; SET session_replication_role = replica; SET maintenance_work_mem = '512MB'",
  );
  return client;
}

async function insertProject(client: pg.Client, tasks: number): Promise<void> {
  await client.query("INSERT INTO organizations (id, slug, name) VALUES ($1, 'bench', 'Bench')", [
    organizationId,
  ]);
  await client.query("INSERT INTO users (id, email, name) VALUES ($1, 'bench@localhost', 'Bench')", [userId]);
  await client.query(
    "INSERT INTO memberships (id, organization_id, user_id, role) VALUES ($1, $2, $3, 'owner')",
    [membershipId, organizationId, userId],
  );
  await client.query(
    `INSERT INTO access_tokens (id, organization_id, membership_id, name, hash, hint, scopes)
     VALUES ($1, $2, $3, 'bench', $4, 'bench', $5)`,
    [tokenId, organizationId, membershipId, createHash("sha256").update(token).digest("hex"), scopes],
  );
  await client.query(
    "INSERT INTO projects (id, organization_id, key, name, event_sequence) VALUES ($1, $2, 'BENCH', 'Bench', $3)",
    [projectId, organizationId, tasks * 2],
  );
  await client.query(
    `INSERT INTO tags (id, organization_id, project_id, name, position, next_local_number)
     VALUES ($1, $2, $3, 'master', 0, $4)`,
    [tagId, organizationId, projectId, tasks + 1],
  );
}

/** Returns the statements that make them again: to build an index once is quicker than to keep it up row by row. */
async function dropIndexes(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string; definition: string }>(
    `SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
     FROM pg_index i WHERE NOT i.indisunique AND i.indrelid IN ('tasks'::regclass, 'dependencies'::regclass, 'events'::regclass)`,
  );
  for (const { name } of rows) await client.query(`DROP INDEX ${name}`);
  return rows.map(({ definition }) => definition);
}

/** Returns how many edges there are. */
async function copyAll(
  connectionString: string,
  shape: Shape,
  onProgress: (done: number) => void,
): Promise<number> {
  let next = 0;
  let done = 0;
  let edges = 0;
  const work = async () => {
    const client = await connect(connectionString);
    try {
      while (next < shape.tasks) {
        const from = next;
        next = Math.min(from + chunk, shape.tasks);
        const to = next;
        await copy(client, taskColumns, from, to, (n) => [taskRow(n, shape)]);
        await copy(client, dependencyColumns, from, to, (n) => {
          const rows = shape.dependsOn(n).map((on, position) => dependencyRow(n, on, position));
          edges += rows.length;
          return rows;
        });
        await copy(client, eventColumns, from, to, (n) => eventRows(n));
        done += to - from;
        onProgress(done);
      }
    } finally {
      await client.end().catch(() => {});
    }
  };
  const workers = Math.min(4, availableParallelism());
  await Promise.all(Array.from({ length: workers }, work));
  return edges;
}

async function copy(
  client: pg.Client,
  columns: string,
  from: number,
  to: number,
  rowsOf: (n: number) => string[],
): Promise<void> {
  function* pieces() {
    for (let start = from; start < to; start += piece) {
      let lines = "";
      for (let n = start; n < Math.min(start + piece, to); n += 1) {
        for (const row of rowsOf(n)) lines += `${row}\n`;
      }
      if (lines !== "") yield lines;
    }
  }
  await pipeline(Readable.from(pieces()), client.query(copyFrom(`COPY ${columns} FROM STDIN`)));
}

const taskColumns = `tasks (id, organization_id, project_id, tag_id, parent_id, segment, number, title, description,
  details, test_strategy, status, priority, rank, assignee, effort, labels, metadata, version, next_local_number,
  created_at, updated_at, dependency_count, waiting)`;
const dependencyColumns = "dependencies (id, organization_id, tag_id, task_id, depends_on_id, position)";
const eventColumns = `events (organization_id, project_id, sequence, type, task_id, actor_id, actor_kind, actor_name,
  request_id, data, created_at)`;
const none = "\\N";
const firstInstant = Date.parse("2026-01-01T00:00:00Z");
const created = (n: number) => new Date(firstInstant + n * 1000).toISOString();

/** No text of the seed holds what COPY would have to be told of: a tab, a line's end or a backslash. */
function taskRow(n: number, shape: Shape): string {
  const task = shape.task(n);
  const title = phrase(n, 31, 7).slice(0, 60);
  const dependsOn = shape.dependsOn(n);
  return [
    taskId(n),
    organizationId,
    projectId,
    tagId,
    task.parent === null ? none : taskId(task.parent),
    task.number,
    task.number,
    title.charAt(0).toUpperCase() + title.slice(1),
    task.description,
    task.details,
    task.testStrategy,
    task.status,
    ["high", "medium", "low", none][n % 4],
    `f${n.toString(16).padStart(6, "0")}`,
    n % 3 === 0 ? `person-${n % 40}` : none,
    (n % 16) + 1,
    `{area-${n % 20},team-${n % 7}}`,
    `{"source":"bench","place":${n}}`,
    2,
    1 + task.subtasks,
    created(n),
    created(n),
    // Triggers keep these, which are away as the checks are.
    dependsOn.length,
    dependsOn.some((on) => shape.task(on).status !== "done"),
  ].join("\t");
}

function dependencyRow(n: number, on: number, position: number): string {
  return [id(n * 2 + position, "a000"), organizationId, tagId, taskId(n), taskId(on), position].join("\t");
}

function eventRows(n: number): string[] {
  const row = (step: number, type: string, data: string) =>
    [
      organizationId,
      projectId,
      n * 2 + step,
      type,
      taskId(n),
      userId,
      "agent",
      `agent-${n % 16}`,
      `seed-${n}`,
      data,
      created(n),
    ].join("\t");
  return [
    row(1, "task.created", `{"localId":"${n + 1}","title":"${phrase(n, 31, 7)}"}`),
    row(2, "task.updated", `{"version":2,"changes":{"status":["pending","done"]}}`),
  ];
}

/** Made-up words of which a few are frequent and most are rare, as in a language: what an index of words depends on. */
function writePhrases(): string[] {
  const random = createRandom(20_261_123);
  const starts = [
    "b",
    "br",
    "c",
    "d",
    "f",
    "g",
    "gr",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
  ];
  const vowels = ["a", "e", "i", "o", "u", "ea", "ou"];
  const pick = (from: readonly string[]) => from[Math.floor(random() * from.length)] ?? "";
  const word = () =>
    Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(starts) + pick(vowels)).join("") +
    pick(["", "n", "r", "s", "t"]);
  const words = Array.from({ length: 5_000 }, word);
  return Array.from({ length: 2_000 }, () =>
    Array.from(
      { length: 9 + Math.floor(random() * 6) },
      () => words[Math.floor(words.length * random() ** 3)],
    ).join(" "),
  );
}

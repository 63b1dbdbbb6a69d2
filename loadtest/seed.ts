import { availableParallelism } from "node:os";
import pg from "pg";

export interface Seeded {
  organizationId: string;
  projectId: string;
  tagId: string;
  tasks: number;
  /** Of the rows, milliseconds. */
  ms: number;
  /** Of the whole database, with the indexes. */
  bytes: number;
}

const organizationId = "01980d7e-8f00-7000-9000-000000000001";
const projectId = "01980d7e-8f00-7000-9000-000000000002";
const tagId = "01980d7e-8f00-7000-9000-000000000003";
const userId = "01980d7e-8f00-7000-9000-000000000004";
const membershipId = "01980d7e-8f00-7000-9000-000000000005";

/** The id of the seeded task that was made as the n-th, from 0; they sort as they were made, as UUIDv7 do. */
export function taskId(n: number): string {
  return `01980d7e-8f00-7000-8000-${n.toString(16).padStart(12, "0")}`;
}

const chunk = 20_000;
const phrases = 2_000;

/**
 * Fills a migrated database that holds no organization with one project of so many tasks, the same at every call: texts
 * of about a kilobyte, three of ten are subtasks, one of five waits for another, and two events each. It takes the
 * checks of foreign keys and the indexes that are not unique away while it writes, so it needs a superuser.
 */
export async function seedTasks(
  connectionString: string,
  tasks: number,
  onProgress: (done: number) => void = () => {},
): Promise<Seeded> {
  const started = performance.now();
  const client = await connect(connectionString);
  try {
    await client.query("CREATE SCHEMA loadtest");
    await client.query("CREATE UNLOGGED TABLE loadtest.phrases (place int PRIMARY KEY, text text NOT NULL)");
    await client.query(
      "INSERT INTO loadtest.phrases SELECT n - 1, text FROM unnest($1::text[]) WITH ORDINALITY AS x(text, n)",
      [writePhrases()],
    );
    await client.query("ANALYZE loadtest.phrases");
    await insertProject(client, tasks);
    const indexes = await dropIndexes(client);
    await insertTasks(connectionString, tasks, onProgress);
    for (const index of indexes) await client.query(index);
    await client.query("DROP SCHEMA loadtest CASCADE");
    await client.query("VACUUM (ANALYZE)");
    // Or what was just written would be flushed in the middle of what is measured.
    await client.query("CHECKPOINT");
    const { rows } = await client.query<{ bytes: string }>(
      "SELECT pg_database_size(current_database()) AS bytes",
    );
    const ms = performance.now() - started;
    return { organizationId, projectId, tagId, tasks, ms, bytes: Number(rows[0]?.bytes) };
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
  // Somebody whose token a client of the server can work with.
  await client.query("INSERT INTO users (id, email, name) VALUES ($1, 'bench@localhost', 'Bench')", [userId]);
  await client.query(
    "INSERT INTO memberships (id, organization_id, user_id, role) VALUES ($1, $2, $3, 'owner')",
    [membershipId, organizationId, userId],
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

async function insertTasks(
  connectionString: string,
  tasks: number,
  onProgress: (done: number) => void,
): Promise<void> {
  let next = 0;
  let done = 0;
  const work = async () => {
    const client = await connect(connectionString);
    try {
      for (;;) {
        const from = next;
        if (from >= tasks) return;
        next = Math.min(from + chunk, tasks);
        const to = next - 1;
        await insertChunk(client, from, to);
        done += to - from + 1;
        onProgress(done);
      }
    } finally {
      await client.end().catch(() => {});
    }
  };
  const workers = Math.min(4, availableParallelism());
  await Promise.all(Array.from({ length: workers }, work));
}

const id = (n: string) => `('01980d7e-8f00-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`;
const phrase = (factor: number, shift: number) =>
  `(SELECT text FROM loadtest.phrases p WHERE p.place = (n::bigint * ${factor} + ${shift}) % ${phrases})`;
const text = (count: number, factor: number, shift: number) =>
  Array.from({ length: count }, (_, i) => phrase(factor + 2 * i, shift + 97 * i)).join(" || '. ' || ");
const created = "timestamptz '2026-01-01' + n * interval '1 second'";

/** The n-th task is a subtask of the one at the last multiple of ten when its last digit is 7, 8 or 9. */
async function insertChunk(client: pg.Client, from: number, to: number): Promise<void> {
  const given = [from, to, organizationId, projectId, tagId];
  await client.query(
    `INSERT INTO tasks (id, organization_id, project_id, tag_id, parent_id, segment, number, title, description, details,
       test_strategy, status, priority, rank, assignee, effort, labels, metadata, version, next_local_number, created_at,
       updated_at)
     SELECT ${id("n")}, $3, $4, $5, CASE WHEN n % 10 > 6 THEN ${id("n - n % 10")} END,
       CASE WHEN n % 10 > 6 THEN n % 10 - 6 ELSE n + 1 END::text, CASE WHEN n % 10 > 6 THEN n % 10 - 6 ELSE n + 1 END,
       initcap(left(${phrase(31, 7)}, 60)), ${text(2, 37, 11)}, ${text(8, 41, 13)}, ${text(2, 43, 17)},
       (ARRAY['pending', 'pending', 'pending', 'done', 'in-progress', 'done', 'pending'])[n % 7 + 1],
       (ARRAY['high', 'medium', 'low', NULL])[n % 4 + 1], 'f' || lpad(to_hex(n), 6, '0'),
       CASE WHEN n % 3 = 0 THEN 'person-' || n % 40 END, n % 16 + 1, ARRAY['area-' || n % 20, 'team-' || n % 7],
       jsonb_build_object('source', 'bench', 'place', n), 2, CASE WHEN n % 10 = 0 THEN 4 ELSE 1 END, ${created}, ${created}
     FROM generate_series($1::int, $2::int) n`,
    given,
  );
  await client.query(
    `INSERT INTO dependencies (id, organization_id, tag_id, task_id, depends_on_id, position)
     SELECT gen_random_uuid(), $3, $4, ${id("n")}, ${id("n - 2")}, 0
     FROM generate_series($1::int, $2::int) n WHERE n % 5 = 3 AND n % 10 < 7`,
    [from, to, organizationId, tagId],
  );
  await client.query(
    `INSERT INTO events (organization_id, project_id, sequence, type, task_id, actor_id, actor_kind, actor_name,
       request_id, data, created_at)
     SELECT $3, $4, n::bigint * 2 + step, CASE step WHEN 1 THEN 'task.created' ELSE 'task.updated' END, ${id("n")}, $5,
       'agent', 'agent-' || n % 16, 'seed-' || n, CASE step
         WHEN 1 THEN jsonb_build_object('localId', n + 1, 'title', ${phrase(31, 7)})
         ELSE jsonb_build_object('version', 2, 'changes', jsonb_build_object('status', jsonb_build_array('pending', 'done')))
       END, ${created}
     FROM generate_series($1::int, $2::int) n, generate_series(1, 2) step`,
    given,
  );
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
  return Array.from({ length: phrases }, () =>
    Array.from(
      { length: 9 + Math.floor(random() * 6) },
      () => words[Math.floor(words.length * random() ** 3)],
    ).join(" "),
  );
}

/** Mulberry32: the same numbers at every run, so that two runs measure on the same rows. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

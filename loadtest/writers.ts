import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import pg from "pg";
import { taskId } from "./seed.ts";

/**
 * A thread of its own that writes at a constant rate whether or not the database keeps up (an open model): each write is
 * due at an instant that was fixed beforehand, and its latency counts from then, so that a stall shows in all the writes
 * that were due during it. Started and stopped by load.ts.
 */

export interface LoadOptions {
  connectionString: string;
  /** Writes a second. */
  rate: number;
  connections: number;
  /** How many tasks were seeded. */
  tasks: number;
  organizationId: string;
  projectId: string;
  /** It ends by itself after so long, whatever becomes of who started it. */
  maxSeconds: number;
}

/** Instants are milliseconds since 1970, with fractions. */
export interface LoadRecord {
  /** Of each write that succeeded: when it was due, and how long after that it was done. */
  due: number[];
  latency: number[];
  failures: { due: number; at: number; message: string }[];
  /** Times of more than 5 ms in which a write was due and none was done. */
  stalls: { from: number; to: number }[];
  /** Times by which this thread itself came too late, more than 10 ms: what it measured then is its own fault. */
  late: { at: number; ms: number }[];
  /** The share of its time that this thread was busy, a second each. */
  busy: { at: number; share: number }[];
}

export type LoadMessage =
  | { type: "ready" }
  | { type: "progress"; done: number; failed: number; waiting: number; worstMs: number }
  | { type: "done"; record: LoadRecord };

/** As long as the server lets a statement run, and a client wait. */
const patienceMs = 15_000;

const port = parentPort;
const options = workerData as LoadOptions;
if (port === null) throw new Error("This is a part of a bench; run migrate-under-load.ts.");
const say = (message: LoadMessage) => port.postMessage(message);
const now = () => performance.timeOrigin + performance.now();

const record: LoadRecord = { due: [], latency: [], failures: [], stalls: [], late: [], busy: [] };
const idle: pg.Client[] = [];
const waiting: number[] = [];
let running = 0;
let stopped = false;
let worstMs = 0;
/** Since when a write has been due and none was done; undefined while none is due. */
let stallFrom: number | undefined;

const statuses = ["pending", "in-progress", "review", "done"];

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: options.connectionString,
    application_name: "bench writer",
    statement_timeout: patienceMs,
  });
  // A connection that breaks while idle fails its next write, which is counted.
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** What the server does for a change of a status: the row by its id, and the event, in one transaction. */
async function write(client: pg.Client): Promise<void> {
  const task = taskId(Math.floor(Math.random() * options.tasks));
  const status = statuses[Math.floor(Math.random() * statuses.length)] ?? "pending";
  await client.query("BEGIN");
  const updated = await client.query({
    name: "update",
    text: `UPDATE tasks t SET status = $3, version = version + 1, updated_at = clock_timestamp()
           WHERE t.organization_id = $2 AND id = $1 RETURNING version`,
    values: [task, options.organizationId, status],
  });
  if (updated.rowCount !== 1) throw new Error(`the task ${task} is not there`);
  await client.query({
    name: "event",
    text: `INSERT INTO events (organization_id, project_id, type, task_id, actor_id, actor_kind, actor_name, request_id, data)
           VALUES ($1, $2, 'task.updated', $3, $1, 'agent', 'bench', 'bench', $4)`,
    values: [
      options.organizationId,
      options.projectId,
      task,
      JSON.stringify({ changes: { status: [null, status] } }),
    ],
  });
  await client.query("COMMIT");
}

function settle(due: number): number {
  const at = now();
  if (stallFrom !== undefined && at - stallFrom > 5) record.stalls.push({ from: stallFrom, to: at });
  stallFrom = running + waiting.length > 0 ? at : undefined;
  worstMs = Math.max(worstMs, at - due);
  return at;
}

async function run(client: pg.Client, due: number): Promise<void> {
  let usable = true;
  try {
    await write(client);
    running -= 1;
    record.latency.push(settle(due) - due);
    record.due.push(due);
  } catch (error) {
    running -= 1;
    record.failures.push({ due, at: now(), message: error instanceof Error ? error.message : String(error) });
    usable = await client.query("ROLLBACK").then(
      () => true,
      () => false,
    );
  }
  const next = usable ? client : await reconnect(client);
  if (next !== undefined) idle.push(next);
  dispatch();
}

async function reconnect(broken: pg.Client): Promise<pg.Client | undefined> {
  await broken.end().catch(() => {});
  while (!stopped) {
    const client = await connect().catch(() => undefined);
    if (client !== undefined) return client;
    await sleep(100);
  }
  return undefined;
}

function dispatch(): void {
  while (waiting.length > 0) {
    const due = waiting[0] ?? 0;
    // A client gives up in the end, and does not wait for a server that has long been behind.
    if (now() - due > patienceMs) {
      waiting.shift();
      record.failures.push({ due, at: now(), message: `no connection was free within ${patienceMs} ms` });
      continue;
    }
    const client = idle.pop();
    if (client === undefined) return;
    waiting.shift();
    running += 1;
    void run(client, due);
  }
}

async function main(): Promise<void> {
  for (let i = 0; i < options.connections; i += 1) idle.push(await connect());
  say({ type: "ready" });
  const interval = 1000 / options.rate;
  const started = now();
  let count = 0;
  let expected = started;
  let spoken = started;
  let utilization = performance.eventLoopUtilization();
  while (!stopped && now() - started < options.maxSeconds * 1000) {
    const at = now();
    if (at - expected > 10) record.late.push({ at, ms: at - expected });
    for (let due = started + count * interval; due <= at; due = started + count * interval) {
      if (stallFrom === undefined) stallFrom = due;
      waiting.push(due);
      count += 1;
    }
    dispatch();
    if (at - spoken >= 1000) {
      const next = performance.eventLoopUtilization();
      record.busy.push({ at, share: performance.eventLoopUtilization(next, utilization).utilization });
      utilization = next;
      spoken = at;
      if (stallFrom !== undefined) worstMs = Math.max(worstMs, at - stallFrom);
      const { length: failed } = record.failures;
      say({ type: "progress", done: record.due.length, failed, waiting: waiting.length, worstMs });
      worstMs = 0;
    }
    expected = now() + 1;
    await sleep(1);
  }
  // What is under way is waited for: a write that never came back has to be seen.
  const deadline = now() + patienceMs * 2;
  while (running + waiting.length > 0 && now() < deadline) await sleep(10);
  for (const due of waiting) record.failures.push({ due, at: now(), message: "it was never begun" });
  for (let i = 0; i < running; i += 1) {
    record.failures.push({ due: now(), at: now(), message: "it never came back" });
  }
  stopped = true;
  await Promise.all(idle.map(async (client) => await client.end().catch(() => {})));
  say({ type: "done", record });
  port?.close();
}

port.on("message", () => {
  stopped = true;
});
await main();

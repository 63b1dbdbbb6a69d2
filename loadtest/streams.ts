import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execute, openBench } from "./bench.ts";
import { readOptions } from "./options.ts";
import { type Goal, print, writeResult } from "./results.ts";
import { rank, round } from "./statistics.ts";
import type { ReadersOptions, ReadersReport } from "./stream-readers.ts";

const help = `Opens many event streams of one server, writes events, and measures how soon each stream has each event, and the
memory of the server.

  node loadtest/streams.ts [options]       needs the built program: make build

  --streams N       how many streams that read (default 1980)
  --slow N          how many more that take nothing (default 20)
  --events N        how many events to write (default 200), one each --every milliseconds (default 100)
  --help

The server, the readers and the database are processes of their own; the readers' clock is that of the writer, since all are
on this machine. The result is loadtest/results/streams.json and a table here. Exit code 1 when a reader lacks an event, has
one twice or out of order, when a slow one is not cut off, or when the server took 300 MB of memory or more.
`;

const goalMegabytes = 300;

const { streams, slow, events, every } = readOptions(help, {
  streams: { default: 1980, from: 0 },
  slow: { default: 20, from: 0 },
  events: { default: 200, from: 0 },
  every: { default: 100, from: 0 },
}).numbers;

async function fillLog(connectionString: string, count: number, size: number): Promise<void> {
  await execute(
    connectionString,
    `INSERT INTO events (organization_id, project_id, type, actor_id, actor_kind, actor_name, request_id, data)
     SELECT organization_id, id, 'task.updated', id, 'agent', 'bench', 'bench', jsonb_build_object('text', repeat('x', ${size}))
     FROM projects, generate_series(1, ${count})`,
  );
}

const bench = await openBench();
const children: ChildProcess[] = [];
try {
  const databaseUrl = await bench.createDatabase("streams");
  const server = await bench.serve({
    name: "server",
    databaseUrl,
    settings: {
      MALLOC_ARENA_MAX: process.env.MALLOC_ARENA_MAX ?? "",
      TASKMASTER_STREAMS_PER_TOKEN_MAX: "100000",
      TASKMASTER_STREAMS_MAX: "100000",
    },
  });
  const { url } = server;
  const token = /tmp_[0-9a-f]{64}/.exec(await server.output())?.[0] ?? "";
  // Who takes nothing does not notice either that it is cut off; the server's log says it.
  const cut = async () => (await server.output()).match(/"why":"stalled"/g)?.length ?? 0;

  const call = async (
    method: string,
    address: string,
    body: object,
    headers: Record<string, string> = {},
  ) => {
    const answer = await fetch(`${url}/api/v1${address}`, {
      method,
      body: JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${address} was answered ${answer.status}: ${text}`);
    return JSON.parse(text) as { id: string; version: number };
  };
  await call("POST", "/projects", { key: "BENCH", name: "Bench" });
  const task = await call("POST", "/projects/BENCH/tags/master/tasks", { title: "streamed" });
  let { version } = task;
  const change = async (values: object) => {
    ({ version } = await call("PATCH", `/tasks/${task.id}`, values, { "if-match": `"${version}"` }));
  };
  // A log of more than what the kernel takes for a reader, so that one who takes nothing shows.
  const filled = slow > 0 ? 300 : 0;
  await fillLog(databaseUrl, filled, 100_000);
  const before = await server.memory();

  const readers = fork(path.join(import.meta.dirname, "stream-readers.ts"), {
    stdio: ["ignore", 1, 2, "ipc"],
  });
  children.push(readers);
  const ask = async <T>(message: object): Promise<T> => {
    const answered = once(readers, "message");
    readers.send(message);
    const [answer] = (await answered) as [T | { failed: string }];
    if (typeof answer === "object" && answer !== null && "failed" in answer) throw new Error(answer.failed);
    return answer as T;
  };
  const options: ReadersOptions = {
    url: `${url}/api/v1/projects/BENCH/events/stream`,
    token,
    streams,
    slow,
  };
  print(`Opening ${streams} streams, and ${slow} that take nothing…`);
  const opening = performance.now();
  await ask({ open: options });
  const openSeconds = (performance.now() - opening) / 1000;
  await sleep(2_000);
  const idle = await server.memory();

  print(`Writing ${events} events, one each ${every} ms…`);
  const answers: number[] = [];
  const writing = performance.now();
  for (let i = 0; i < events; i += 1) {
    const due = writing + i * every;
    if (performance.now() < due) await sleep(due - performance.now());
    const sent = performance.now();
    await change({ title: `streamed ${i}` });
    answers.push(performance.now() - sent);
  }
  const seconds = (performance.now() - writing) / 1000;
  const loaded = await server.memory();

  for (let i = 0; i < 360 && (await cut()) < slow; i += 1) await sleep(500);
  const { report } = await ask<{ report: ReadersReport }>({ finish: filled + 2 + events });
  const memory = await server.memory();
  const cutOff = await cut();

  const latency = report.latency.sort((a, b) => a - b);
  const untilAll = report.untilAll.sort((a, b) => a - b);
  const answer = answers.sort((a, b) => a - b);
  const ranks = (sorted: number[]) => ({
    p50: round(rank(sorted, 0.5)),
    p99: round(rank(sorted, 0.99)),
    max: round(rank(sorted, 1)),
  });
  const result = {
    streams,
    slow,
    events,
    everyMs: every,
    openSeconds: round(openSeconds),
    writeSeconds: round(seconds),
    deliveries: latency.length,
    latencyMs: ranks(latency),
    untilAllMs: ranks(untilAll),
    answerMs: ranks(answer),
    faulty: report.faulty,
    lost: report.lost,
    cut: cutOff,
    readersBusy: round(report.busy),
    megabytes: {
      before: round(before.now),
      idle: round(idle.now),
      loaded: round(loaded.now),
      end: round(memory.now),
      most: round(memory.most),
    },
  };
  const complete = report.faulty === 0 && report.lost === 0 && latency.length === streams * events;
  const goals: Goal[] = [
    {
      id: "streams",
      what: `each of ${events} events on each of ${streams} streams, once and in order`,
      value: `${latency.length} of ${streams * events}; p99 ${result.latencyMs.p99.toFixed(1)} ms`,
      goal: "all",
      met: complete,
    },
    {
      id: "streams",
      what: "memory of the server, at the most",
      value: `${memory.most.toFixed(0)} MB`,
      goal: `< ${goalMegabytes} MB`,
      met: memory.most < goalMegabytes,
    },
  ];
  await writeResult("streams", { ...result, goals });
  const row = (name: string, { p50, p99, max }: { p50: number; p99: number; max: number }) =>
    print(`  ${name.padEnd(32)} ${[p50, p99, max].map((ms) => `${ms.toFixed(1)} ms`.padStart(11)).join("")}`);
  print(`  ${"".padEnd(32)} ${["p50", "p99", "most"].map((name) => name.padStart(11)).join("")}`);
  row("an event on a stream after", result.latencyMs);
  row("an event on all streams after", result.untilAllMs);
  row("a write answered after", result.answerMs);
  print(
    `  memory: ${before.now.toFixed(0)} MB before, ${idle.now.toFixed(0)} MB with all open, ${loaded.now.toFixed(0)} MB behind the events, ${memory.most.toFixed(0)} MB at most`,
  );
  print(
    `  ${latency.length} deliveries; ${report.faulty} faulty and ${report.lost} lost streams; ${cutOff} of ${slow} slow ones cut off; readers busy ${(report.busy * 100).toFixed(0)} %`,
  );
  if (!complete || cutOff < slow || memory.most >= goalMegabytes) {
    print("That is not what it should be.");
    process.exitCode = 1;
  }
} finally {
  for (const child of children) {
    if (child.exitCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  await bench.close();
}

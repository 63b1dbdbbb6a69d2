import pg from "pg";
import { openBench } from "./bench.ts";
import { createClient, tagPath } from "./driver.ts";
import { readOptions } from "./options.ts";
import { type Goal, print, writeResult } from "./results.ts";
import { seedGraph, taskId } from "./seed.ts";
import { createRandom, median, quantile, round } from "./statistics.ts";

const help = `Measures a graph of 100,000 edges in one tag (P10): what is next, and one edge more, which may not close a cycle; beside it the same
question about a cycle as a recursive query.

  node loadtest/graph.ts [options]       needs the built program: make build

  --edges N         how many (default 100000)
  --rate N          requests a second, each due at its own instant (default 5)
  --seconds N       for how long, each (default 20)
  --help

The result is loadtest/results/graph.json and a table here. Exit code 1 when p99 of next is over 5 ms, or that of an edge over 10 ms.
`;

const { edges, rate, seconds } = readOptions(help, {
  edges: { default: 100_000, from: 10 },
  rate: { default: 5, above: 0, fraction: true },
  seconds: { default: 20, above: 0, fraction: true },
}).numbers;

/** Whether the first task can be reached from the second along what each waits for. */
const cycleQuery = `WITH RECURSIVE reached(id) AS (
    SELECT $2::uuid
    UNION
    SELECT d.depends_on_id FROM reached r JOIN dependencies d ON d.task_id = r.id WHERE d.depends_on_id IS NOT NULL
  ) SELECT EXISTS (SELECT FROM reached WHERE id = $1::uuid) AS closes`;

const bench = await openBench();
try {
  const databaseUrl = await bench.createDatabase("graph");
  const seeded = await seedGraph(databaseUrl, edges);
  print(`${seeded.tasks} tasks with ${seeded.edges} edges, made in ${(seeded.ms / 1000).toFixed(1)} s`);
  const program = await bench.serve({ name: "server", databaseUrl, settings: { LOG_LEVEL: "silent" } });
  const client = createClient(program, seeded.token);

  // Each pair once: a later task waits for an earlier one that it does not wait for yet.
  const random = createRandom(10);
  const pairs = Array.from({ length: Math.ceil(rate * seconds) + 5 }, () => {
    const from = Math.floor(seeded.tasks * (0.5 + random() / 2));
    return [taskId(from), taskId(Math.floor(random() * (from - 600)))] as const;
  });
  let pair = 0;
  const add = async () => {
    const [from = "", to = ""] = pairs[pair] ?? [];
    pair += 1;
    await client.send("PUT", `/tasks/${from}/dependencies/${to}`);
  };
  const next = async () => await client.send("GET", `${tagPath}/next`);
  for (let i = 0; i < 5; i += 1) {
    await next();
    await add();
  }
  const nextTurn = await client.open({ seconds, rate }, next);
  const addTurn = await client.open({ seconds, rate }, add);

  const database = new pg.Client({ connectionString: databaseUrl });
  await database.connect();
  const times: number[] = [];
  for (const [from, to] of pairs.slice(0, 100)) {
    const started = performance.now();
    await database.query({ name: "cycle", text: cycleQuery, values: [from, to] });
    times.push(performance.now() - started);
  }
  await database.end();
  const recursive = { p50: round(median(times)), p99: round(quantile(times, 0.99)) };

  print(`P10 next: p50 ${nextTurn.p50} ms, p99 ${nextTurn.p99} ms; goal 5 ms`);
  print(`P10 one edge more: p50 ${addTurn.p50} ms, p99 ${addTurn.p99} ms; goal 10 ms`);
  print(`    the recursive query alone: p50 ${recursive.p50} ms, p99 ${recursive.p99} ms`);
  const goals: Goal[] = [
    {
      id: "P10",
      what: `next in a graph of ${seeded.edges} edges`,
      value: `p99 ${nextTurn.p99} ms`,
      goal: "≤ 5 ms",
      met: nextTurn.p99 <= 5,
    },
    {
      id: "P10",
      what: `one edge more; a recursive query for the cycle alone takes ${recursive.p99} ms`,
      value: `p99 ${addTurn.p99} ms`,
      goal: "≤ 10 ms",
      met: addTurn.p99 <= 10,
    },
  ];
  await writeResult("graph", {
    edges: seeded.edges,
    tasks: seeded.tasks,
    rate,
    seconds,
    nextTurn,
    addTurn,
    recursive,
    goals,
  });
  if (goals.some(({ met }) => !met)) process.exitCode = 1;
} finally {
  await bench.close();
}

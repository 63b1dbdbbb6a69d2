import path from "node:path";
import { execute, forTurns, openBench, root } from "./bench.ts";
import { type Captured, captured, captureScripts, hasPgbench, runPgbench } from "./comparators/pgbench.ts";
import { createDriver, type Kind } from "./driver.ts";
import { asRatio, interleave, ratioOf } from "./interleave.ts";
import { readOptions, refuse } from "./options.ts";
import { type Goal, print, writeResult } from "./results.ts";
import { seedTasks } from "./seed.ts";
import { type Estimate, median, round } from "./statistics.ts";

const help = `Measures the server against the least that its requests can cost here (P1 to P5, P8): pgbench with the same
statements, and the same handlers by hand on Fastify and pg.

  node loadtest/ratios.ts [options] [KIND…]       needs the built program (make build), and pgbench of PostgreSQL

  --rounds N        how often each has its turn (default 7)
  --seconds N       how long a turn is (default 1.5)
  --clients N       how many requests are under way (default 8)
  --help

KIND is get, list, create, update or mixed; by default all. Each has a database of its own with 10,000 tasks, and they take
turns, there and back again. The server takes each turn twice, which says what the machine does by itself. For mixed, p99 at half of
the rate at which the server is busy, an open model. The result is loadtest/results/ratios.json and a table here. Exit code 1 when a
goal is missed.
`;

const kinds: Kind[] = ["get", "list", "create", "update", "mixed"];
const goals = {
  get: { id: "P1", against: "pgbench", least: 0.5 },
  list: { id: "P2", against: "pgbench", least: 0.7 },
  create: { id: "P3", against: "pgbench", least: 0.85 },
  update: { id: "P4", against: "pgbench", least: 0.8 },
  mixed: { id: "P5", against: "byHand", least: 1.2 },
} as const;

const { numbers, positionals } = readOptions(
  help,
  {
    rounds: { default: 7, from: 1 },
    seconds: { default: 1.5, above: 0, fraction: true },
    clients: { default: 8, from: 1 },
  },
  [],
  true,
);
const { rounds, seconds, clients } = numbers;
const chosen = positionals.length === 0 ? kinds : kinds.filter((kind) => positionals.includes(kind));
if (chosen.length < positionals.length) refuse("KIND is one of those that --help names, each once.");
if (!(await hasPgbench()))
  refuse("pgbench is not in PATH: it comes with PostgreSQL (Debian: the package postgresql).");

const isCaptured = (kind: Kind): kind is Captured => captured.some((one) => one === kind);
const bench = await openBench();
try {
  await bench.quietDatabase();
  const seeded = await seedTasks(await bench.createDatabase("seeded"), 10_000, { short: true });
  const silent = { LOG_LEVEL: "silent" };
  const scripts = await captureScripts(bench, await bench.createDatabase("logged", "seeded"), seeded);
  const pgbenchUrl = await bench.createDatabase("pgbench", "seeded");
  await execute(pgbenchUrl, "CREATE SEQUENCE bench_numbers START 1000000");
  const ours = createDriver(
    await bench.serve({
      name: "ours",
      databaseUrl: await bench.createDatabase("ours", "seeded"),
      settings: silent,
      nodeOptions: forTurns,
    }),
    seeded,
  );
  const byHand = createDriver(
    await bench.start("by-hand", [...forTurns, path.join(root, "loadtest/comparators/by-hand.ts")], {
      DATABASE_URL: await bench.createDatabase("by-hand", "seeded"),
      NODE_ENV: "production",
    }),
    seeded,
  );
  print("Warming up…");
  await ours.warmUp("mixed");
  await byHand.warmUp("mixed");

  const found: Record<string, object> = {};
  const shown: Goal[] = [];
  for (const kind of chosen) {
    for (const one of [ours, byHand]) await one.closed(kind, { seconds: 2, clients });
    const rateOf = (driver: typeof ours) => async () => {
      const turn = await driver.closed(kind, { seconds, clients });
      if (turn.generator > 0.8) throw new Error(`the load generator took ${turn.generator} of a core`);
      return turn.rate;
    };
    const turns = await interleave(
      {
        ours: rateOf(ours),
        again: rateOf(ours),
        byHand: rateOf(byHand),
        ...(isCaptured(kind)
          ? { pgbench: () => runPgbench(pgbenchUrl, scripts[kind], { seconds: Math.ceil(seconds), clients }) }
          : {}),
      } as Record<"ours" | "again" | "byHand" | "pgbench", () => Promise<number>>,
      (_, done) => done >= rounds,
    );
    const of = (rate: number) => rate;
    const ratios: Partial<Record<"itself" | "byHand" | "pgbench", Estimate>> = {
      itself: ratioOf(turns.ours, turns.again, of),
      byHand: ratioOf(turns.byHand, turns.ours, of),
      ...(isCaptured(kind) ? { pgbench: ratioOf(turns.pgbench, turns.ours, of) } : {}),
    };
    found[kind] = { ratios, turns };
    const goal = goals[kind];
    const against = ratios[goal.against];
    if (against === undefined || ratios.itself === undefined || ratios.byHand === undefined) continue;
    const rates = Object.entries(turns).map(([name, some]) => `${name} ${round(median(some)).toFixed(0)}`);
    print(`${goal.id} ${kind}: ${rates.join(", ")} a second`);
    print(
      `   times ${goal.against === "byHand" ? "by hand" : "pgbench"} ${asRatio(against)}, goal ${goal.least}${isCaptured(kind) ? `; times by hand ${asRatio(ratios.byHand)}` : ""}; itself ${asRatio(ratios.itself)}`,
    );
    shown.push({
      id: goal.id,
      what: `${kind}: requests a second, times ${goal.against === "byHand" ? "the same by hand on Fastify and pg" : "pgbench with the same statements"}`,
      value: asRatio(against),
      goal: `≥ ${goal.least}`,
      met: against.median >= goal.least,
    });
    if (kind !== "mixed") continue;
    const rate = Math.floor(median(turns.ours) / 2);
    const p99 = await interleave(
      {
        ours: async () => (await ours.open(kind, { seconds: 5, rate })).p99,
        byHand: async () => (await byHand.open(kind, { seconds: 5, rate })).p99,
      },
      (_, done) => done >= rounds,
    );
    const ratio = ratioOf(p99.byHand, p99.ours, of);
    found.p99 = { rate, turns: p99, ratio };
    print(
      `P8 p99 at ${rate} a second: ours ${median(p99.ours).toFixed(1)} ms, by hand ${median(p99.byHand).toFixed(1)} ms; ${asRatio(ratio)} times, goal 1.2`,
    );
    shown.push({
      id: "P8",
      what: `p99 of mixed at ${rate} a second, half of what it can do, times that of the same by hand`,
      value: asRatio(ratio),
      goal: "≤ 1.2",
      met: ratio.median <= 1.2,
    });
  }
  await writeResult("ratios", { rounds, seconds, clients, found, goals: shown });
  if (shown.some(({ met }) => !met)) process.exitCode = 1;
} finally {
  await bench.close();
}

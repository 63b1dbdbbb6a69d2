import { forTurns, openBench } from "./bench.ts";
import { createDriver } from "./driver.ts";
import { asRatio, interleave, ratioOf } from "./interleave.ts";
import { readOptions, refuse } from "./options.ts";
import { type Chart, type Goal, print, writeResult } from "./results.ts";
import { seedTasks } from "./seed.ts";
import { median } from "./statistics.ts";

const help = `Measures what a project's size costs (P9): get, list and update in a project of 1,000 tasks and in larger ones.

  node loadtest/growth.ts [options]       needs the built program: make build

  --sizes A,B,…     how many tasks the projects have (default 1000,100000,1000000; a million take a minute or two to make)
  --rounds N        how often each has its turn (default 7)
  --seconds N       how long a turn is (default 1.5)
  --clients N       how many requests are under way (default 4)
  --help

A server for each, on a database of its own; they take turns, there and back again. The figure is the time of a request (one divided by
the rate) times that in the smallest. The result is loadtest/results/growth.json and a table here. Exit code 1 when the largest
takes more than 1.15 times as long.
`;

const goal = 1.15;
const kinds = ["get", "list", "update"] as const;
const { numbers, texts } = readOptions(
  help,
  {
    rounds: { default: 7, from: 1 },
    seconds: { default: 1.5, above: 0, fraction: true },
    clients: { default: 4, from: 1 },
  },
  ["sizes"],
);
const { rounds, seconds, clients } = numbers;
const sizes = (texts.sizes ?? "1000,100000,1000000").split(",").map(Number);
if (!(sizes.length > 1 && sizes.every((size) => size >= 100)))
  refuse("--sizes takes at least two numbers from 100.");

const bench = await openBench();
try {
  await bench.quietDatabase();
  const drivers: Record<string, ReturnType<typeof createDriver>> = {};
  const seeding: Record<string, number> = {};
  for (const size of sizes) {
    const databaseUrl = await bench.createDatabase(`size-${size}`);
    const seeded = await seedTasks(databaseUrl, size, { short: true });
    seeding[size] = seeded.ms / 1000;
    print(`${size} tasks: made in ${(seeded.ms / 1000).toFixed(1)} s, ${(seeded.bytes / 1e9).toFixed(2)} GB`);
    const program = await bench.serve({
      name: `server-${size}`,
      databaseUrl,
      settings: { LOG_LEVEL: "silent" },
      nodeOptions: forTurns,
    });
    drivers[size] = createDriver(program, seeded);
  }
  for (const driver of Object.values(drivers)) await driver.warmUp("mixed");

  const [smallest = "", ...larger] = sizes.map(String);
  const found: Record<string, object> = {};
  const goals: Goal[] = [];
  const charts: Chart[] = [];
  for (const kind of kinds) {
    const sides = Object.entries(drivers).map(
      ([size, driver]) => [size, () => driver.closed(kind, { seconds, clients })] as const,
    );
    for (const [, turn] of sides) await turn();
    const turns = await interleave(Object.fromEntries(sides), (_, done) => done >= rounds);
    const timeOf = ({ rate }: { rate: number }) => 1000 / rate;
    const ratios = Object.fromEntries(
      larger.map((size) => [size, ratioOf(turns[smallest] ?? [], turns[size] ?? [], timeOf)]),
    );
    found[kind] = { ratios, turns };
    for (const [size, ratio] of Object.entries(ratios)) {
      print(`P9 ${kind}: ${size} tasks take ${asRatio(ratio)} times as long as ${smallest}, goal ${goal}`);
    }
    const [last, ratio] = Object.entries(ratios).at(-1) ?? [];
    if (ratio === undefined) continue;
    goals.push({
      id: "P9",
      what: `${kind}: time with ${last} tasks, times that with ${smallest}`,
      value: asRatio(ratio),
      goal: `≤ ${goal}`,
      met: ratio.median <= goal,
    });
    charts.push({
      title: `${kind}: time of a request by the project's size`,
      x: "tasks",
      y: "ms",
      logX: true,
      lines: [
        {
          name: kind,
          points: sizes.map((size) => [size, median((turns[size] ?? []).map(timeOf)) * clients]),
        },
      ],
    });
  }
  await writeResult("growth", { sizes, rounds, seconds, clients, seeding, found, goals, charts });
  if (goals.some(({ met }) => !met)) process.exitCode = 1;
} finally {
  await bench.close();
}

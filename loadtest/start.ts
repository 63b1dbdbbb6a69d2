import { setTimeout as sleep } from "node:timers/promises";
import { openBench } from "./bench.ts";
import { createDriver } from "./driver.ts";
import { readOptions } from "./options.ts";
import { type Goal, print, writeResult } from "./results.ts";
import { seedTasks } from "./seed.ts";
import { estimate } from "./statistics.ts";

const help = `Measures how soon a server is ready, and the memory that it holds at rest and under load (P11).

  node loadtest/start.ts [options]       needs the built program: make build

  --starts N        how many (default 10)
  --seconds N       how long the load is (default 15)
  --help

On a database that is migrated and has 10,000 tasks. The image's size is told by make image-suite. The result is
loadtest/results/start.json and a table here. Exit code 1 when a goal is missed: 300 ms, 80 MB at rest, 140 MB under load.
`;

const { starts, seconds } = readOptions(help, {
  starts: { default: 10, from: 1 },
  seconds: { default: 15, above: 0, fraction: true },
}).numbers;

const bench = await openBench();
try {
  const databaseUrl = await bench.createDatabase("start");
  const seeded = await seedTasks(databaseUrl, 10_000, { short: true });
  const start = async (i: number) =>
    await bench.serve({ name: `server-${i}`, databaseUrl, settings: { LOG_LEVEL: "silent" } });
  const times: number[] = [];
  const cpu: number[] = [];
  for (let i = 0; i < starts; i += 1) {
    const program = await start(i);
    times.push(program.readyMs);
    cpu.push(await program.cpuMs());
    await program.stop();
  }
  const program = await start(starts);
  await sleep(5_000);
  const idle = (await program.memory()).now;
  const driver = createDriver(program, seeded);
  await driver.closed("mixed", { seconds, clients: 16 });
  const { most } = await program.memory();
  const ready = estimate(times);
  const goal = (what: string, value: number, unit: string, limit: number): Goal => ({
    id: "P11",
    what,
    value: `${value.toFixed(0)} ${unit}`,
    goal: `≤ ${limit} ${unit}`,
    met: value <= limit,
  });
  const goals = [
    goal(`start to ready, median of ${starts}`, ready.median, "ms", 300),
    goal("memory at rest", idle, "MB", 80),
    goal("memory under load, at the most", most, "MB", 140),
  ];
  for (const one of goals) print(`P11 ${one.what}: ${one.value}, goal ${one.goal}`);
  await writeResult("start", { ready, times, processorMs: estimate(cpu), idle, most, goals });
  if (goals.some(({ met }) => !met)) process.exitCode = 1;
} finally {
  await bench.close();
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { openBench, type Program, watch } from "./bench.ts";
import { writePage } from "./page.ts";
import { type Chart, type Distribution, type Goal, print, writeResult } from "./results.ts";
import { type Seeded, seedTasks } from "./seed.ts";
import { round } from "./statistics.ts";

const help = `Sends requests at constant rates, which are due whether or not the last one is done (k6, an open model), to one server on a
database of 10,000 tasks, and says how long they took.

  node loadtest/scenarios.ts [options] [NAME…]       needs the built program (make build), and k6

  --full            each for a minute, with a spike and a soak of fifteen minutes; by default 15 s each, and neither of these
  --factor F        F times the rates
  --help

NAME is get, list, create, update, mixed, claim, mcp, spike or soak; by default those of the set. Streams of events are in
loadtest/streams.ts: k6 does not tell of an answer before it has ended. The result is loadtest/results/scenarios.json, with
the other results a page, loadtest/results/index.html, and a table here. Exit code 1 when a request failed, or was not sent in time,
or one of a hundred took longer than promised.
`;

interface Scenario {
  name: string;
  script: string;
  /** Requests a second, or what a spike begins with. */
  rate: number;
  /** Of the quick set, and of the full one; 0 where it is not in it. */
  seconds: [quick: number, full: number];
}

const scenarios: Scenario[] = [
  { name: "get", script: "get", rate: 200, seconds: [15, 60] },
  { name: "list", script: "list", rate: 50, seconds: [15, 60] },
  { name: "create", script: "create", rate: 50, seconds: [15, 60] },
  { name: "update", script: "update", rate: 50, seconds: [15, 60] },
  { name: "mixed", script: "mixed", rate: 100, seconds: [15, 60] },
  { name: "claim", script: "claim", rate: 10, seconds: [15, 60] },
  { name: "mcp", script: "mcp", rate: 50, seconds: [15, 60] },
  { name: "spike", script: "spike", rate: 200, seconds: [0, 15] },
  { name: "soak", script: "mixed", rate: 50, seconds: [0, 900] },
];

/** The parts of k6's summary that are read here. */
interface Summary {
  metrics: Record<string, { values: Record<string, number>; thresholds?: Record<string, { ok: boolean }> }>;
}

interface Outcome {
  name: string;
  rate: number;
  seconds: number;
  requests: number;
  failed: number;
  dropped: number;
  p50: number;
  p99: number;
  max: number;
  /** Thresholds that were missed. */
  missed: string[];
  /** The server's processor time for a request, milliseconds. */
  cpuMs: number;
  /** The cores that k6 itself took. */
  generator: number;
  percentiles: number[];
  /** Megabytes that the server held, by the second. */
  memory: [number, number][];
}

const k6 = process.env.K6 ?? "k6";

async function hasK6(): Promise<boolean> {
  const child = spawn(k6, ["version"], { stdio: "ignore" });
  return await new Promise((resolve) => {
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });
}

async function run(
  { name, script, rate }: Scenario,
  seconds: number,
  folder: string,
  program: Program,
  seeded: Seeded,
): Promise<Outcome> {
  const out = path.join(folder, `${name}.json`);
  const memory: [number, number][] = [];
  const [cpu, started] = [await program.cpuMs(), performance.now()];
  const child = spawn(
    k6,
    ["run", "--quiet", "--no-usage-report", path.join(import.meta.dirname, "k6", `${script}.ts`)],
    {
      env: {
        ...process.env,
        URL: program.url,
        TOKEN: seeded.token,
        TASKS: String(seeded.tasks),
        RATE: String(rate),
        SECONDS: String(seconds),
        RUN: name,
        OUT: out,
      },
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
  const { cpuMs } = watch(child);
  let generatorMs = 0;
  const look = setInterval(async () => {
    const at = (performance.now() - started) / 1000;
    memory.push([round(at), round((await program.memory()).now)]);
    generatorMs = await cpuMs().catch(() => generatorMs);
  }, 1_000);
  await once(child, "exit");
  clearInterval(look);
  const wall = performance.now() - started;
  const { metrics } = JSON.parse(await readFile(out, "utf8")) as Summary;
  const durations = metrics.http_req_duration?.values ?? {};
  const count = metrics.http_reqs?.values.count ?? 0;
  return {
    name,
    rate,
    seconds,
    requests: count,
    failed: metrics.http_req_failed?.values.passes ?? 0,
    dropped: metrics.dropped_iterations?.values.count ?? 0,
    p50: round(durations.med ?? 0),
    p99: round(durations["p(99)"] ?? 0),
    max: round(durations.max ?? 0),
    missed: Object.entries(metrics).flatMap(([metric, { thresholds = {} }]) =>
      Object.entries(thresholds).flatMap(([text, { ok }]) => (ok ? [] : [`${metric} ${text}`])),
    ),
    cpuMs: round(((await program.cpuMs()) - cpu) / count),
    generator: round(generatorMs / wall),
    percentiles: [
      durations.min ?? 0,
      ...Array.from({ length: 99 }, (_, i) => durations[`p(${i + 1})`] ?? 0),
      durations.max ?? 0,
    ],
    memory,
  };
}

/** Megabytes an hour, by least squares, of what came behind the first tenth. */
function slopeOf(memory: [number, number][]): number {
  const points = memory.slice(Math.floor(memory.length / 10));
  const mean = (of: (point: [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean(([at]) => at), mean(([, held]) => held)];
  const sums = points.reduce(
    (sum, [at, held]) => ({ xy: sum.xy + (at - x) * (held - y), xx: sum.xx + (at - x) ** 2 }),
    { xy: 0, xx: 0 },
  );
  return (sums.xy / sums.xx) * 3_600;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      full: { type: "boolean", default: false },
      factor: { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const factor = Number(values.factor);
  const unknown = positionals.filter((name) => !scenarios.some((one) => one.name === name));
  if (!(factor > 0) || unknown.length > 0) {
    process.stderr.write(
      unknown.length > 0 ? `There is no scenario ${unknown.join(", ")}.\n` : "--factor takes a number.\n",
    );
    return 2;
  }
  if (!(await hasK6())) {
    process.stderr.write(
      `k6 is not in PATH: install it (https://grafana.com/docs/k6/latest/set-up/install-k6/), or set K6 to where it lies.
Without it: make bench-compare, bench-ratios, bench-claims, bench-growth, bench-graph, bench-start and bench-streams need none.\n`,
    );
    return 2;
  }
  const secondsOf = ({ seconds: [quick, full] }: Scenario) =>
    values.full ? full : quick || (positionals.length > 0 ? full : 0);
  const chosen = scenarios.filter(
    (one) => secondsOf(one) > 0 && (positionals.length === 0 || positionals.includes(one.name)),
  );

  const bench = await openBench();
  try {
    const databaseUrl = await bench.createDatabase("scenarios");
    const seeded = await seedTasks(databaseUrl, 10_000, { short: true });
    print(`10,000 tasks in ${(seeded.ms / 1000).toFixed(1)} s.`);
    const program = await bench.serve({ name: "server", databaseUrl, settings: { LOG_LEVEL: "silent" } });
    const outcomes: Outcome[] = [];
    print(
      `  ${"".padEnd(8)}${["a second", "requests", "failed", "late", "p50 ms", "p99 ms", "most ms", "CPU ms", "k6 cores"].map((head) => head.padStart(9)).join("")}`,
    );
    for (const scenario of chosen) {
      const outcome = await run(
        { ...scenario, rate: Math.max(1, Math.round(scenario.rate * factor)) },
        secondsOf(scenario),
        bench.folder,
        program,
        seeded,
      );
      outcomes.push(outcome);
      const { rate, requests, failed, dropped, p50, p99, max, cpuMs, generator, missed } = outcome;
      print(
        `  ${outcome.name.padEnd(8)}${[rate, requests, failed, dropped, p50, p99, max, cpuMs, generator].map((cell) => String(cell).padStart(9)).join("")}${missed.length > 0 ? `  missed: ${missed.join(", ")}` : ""}`,
      );
      if (outcome.name === "soak")
        print(`  memory in the soak: ${slopeOf(outcome.memory).toFixed(1)} MB an hour`);
    }
    const missed = outcomes.filter((one) => one.missed.length > 0);
    const goals: Goal[] = outcomes.map((one) => ({
      id: one.name,
      what: `${one.rate} a second for ${one.seconds} s`,
      value: `p50 ${one.p50} ms, p99 ${one.p99} ms; ${one.failed} failed, ${one.dropped} late`,
      goal: one.name === "spike" ? "as before 5 s behind it" : "p99 under 300 ms, none failed or late",
      met: one.missed.length === 0,
    }));
    const distributions: Distribution[] = outcomes.map(({ name, rate, percentiles }) => ({
      name: `${name}, ${rate} a second`,
      percentiles,
    }));
    const soak = outcomes.find(({ name }) => name === "soak");
    const charts: Chart[] =
      soak === undefined
        ? []
        : [
            {
              title: "memory in the soak",
              x: "seconds",
              y: "MB",
              lines: [{ name: "server", points: soak.memory }],
            },
          ];
    await writeResult("scenarios", {
      full: values.full,
      outcomes,
      ...(soak === undefined ? {} : { soakMegabytesAnHour: round(slopeOf(soak.memory)) }),
      goals,
      distributions,
      charts,
    });
    print(`${path.relative(process.cwd(), await writePage())} shows it.`);
    return missed.length > 0 ? 1 : 0;
  } finally {
    await bench.close();
  }
}

process.exitCode = await main();

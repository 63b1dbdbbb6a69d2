import path from "node:path";
import { parseArgs } from "node:util";
import { forTurns, openBench } from "./bench.ts";
import { createCheckouts, WrongUse } from "./checkouts.ts";
import { createDriver, type Turn } from "./driver.ts";
import { asChange, type Comparison, compareTurns, inTurn, interleave, type Trio } from "./interleave.ts";
import { print, writeResult } from "./results.ts";
import { seedTasks } from "./seed.ts";
import { median, round } from "./statistics.ts";

const help = `Compares two builds on one machine: is the second slower?

  node loadtest/compare.ts [options] BASE HEAD

BASE and HEAD are each a git ref, which is built in a work tree of its own, or a folder that is built already.

  --bound N         how many percent slower counts (default 5)
  --rounds N        how often each has its turn, at least 7 (default 90); --most N as often at the most (default 180)
  --starts N        how many servers of each are started (default 3); they take their turns by turns
  --seconds N       how long a turn is (default 0.5: what disturbs the machine for longer disturbs all of them)
  --clients N       how many requests are under way (default 8)
  --tasks N         how many tasks each database has (default 10000)
  --aa              compare BASE with itself; HEAD is left out
  --slowdown F      HEAD takes F times the processor time a request: what has to be found. HEAD may be left out
  --help

Three groups of servers, each server on a database of its own: two groups of BASE and one of HEAD. The groups take turns, there and back
again, under four reads to one write. Throughput and the server's processor time a request are each compared: the median of the rounds' ratios, and its
95 % interval by bootstrap. The two groups of BASE say what the machine does by itself; while their interval of the processor
time is wider than the bound, there are more rounds. Throughput, which all else on the machine disturbs, counts where it is steady. The result is loadtest/results/compare.json and a table here.

Exit code 0: not slower. 1: slower than the bound, and surely slower at all. 2: wrong use. 3: the machine is too noisy to tell.
4: it could not be measured.
`;

const measures = {
  throughput: { name: "requests a second", of: ({ rate }: Turn) => rate, moreIsBetter: true },
  cpu: { name: "processor a request", of: ({ cpuMs }: Turn) => cpuMs, moreIsBetter: false },
} as const;
type Measure = keyof typeof measures;
const measureNames = Object.keys(measures) as Measure[];
const verdicts = { same: "not slower", slower: "SLOWER", noisy: "too noisy to tell" } as const;
type Verdict = keyof typeof verdicts;

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      bound: { type: "string", default: "5" },
      rounds: { type: "string", default: "90" },
      most: { type: "string", default: "180" },
      starts: { type: "string", default: "3" },
      seconds: { type: "string", default: "0.5" },
      clients: { type: "string", default: "8" },
      tasks: { type: "string", default: "10000" },
      aa: { type: "boolean", default: false },
      slowdown: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    process.exit(0);
  }
  const number = (
    name: "bound" | "rounds" | "most" | "starts" | "seconds" | "clients" | "tasks",
    least: number,
  ) => {
    const value = Number(values[name]);
    const isWhole = name === "bound" || name === "seconds" || Number.isInteger(value);
    if (value >= least && isWhole) return value;
    throw new WrongUse(`--${name} takes a number from ${least}.`);
  };
  const slowdown = values.slowdown === undefined ? undefined : Number(values.slowdown);
  if (slowdown !== undefined && !(slowdown > 1)) throw new WrongUse("--slowdown takes a number above 1.");
  const [base, head = values.aa || slowdown !== undefined ? base : undefined, ...more] = positionals;
  if (base === undefined || head === undefined || more.length > 0)
    throw new WrongUse("It takes two builds, BASE and HEAD.");
  if (values.aa && head !== base) throw new WrongUse("--aa takes one build.");
  const options = {
    base,
    head,
    slowdown,
    bound: number("bound", 0.1) / 100,
    rounds: number("rounds", 7),
    most: number("most", 7),
    starts: number("starts", 1),
    seconds: number("seconds", 0.1),
    clients: number("clients", 1),
    tasks: number("tasks", 1000),
  };
  if (options.most < options.rounds) throw new WrongUse("--most is less than --rounds.");
  return options;
}

/** By how much the interval of the two that are alike goes beyond 1 at the most. */
function noiseOf({ twin }: Comparison): number {
  return Math.max(twin.high - 1, 1 - twin.low);
}

function judge(measure: Measure, comparison: Comparison, bound: number): Verdict {
  if (noiseOf(comparison) > bound) return "noisy";
  const { median: middle, low, high } = comparison.other;
  const isSlower = measures[measure].moreIsBetter
    ? middle < 1 - bound && high < 1
    : middle > 1 + bound && low > 1;
  return isSlower ? "slower" : "same";
}

async function main(): Promise<number> {
  const options = parse();
  const { bound, seconds, clients, tasks, rounds, most, starts, slowdown } = options;
  const bench = await openBench();
  const checkouts = createCheckouts(bench.folder);
  try {
    const base = await checkouts.open(options.base);
    const head = await checkouts.open(options.head);

    await bench.quietDatabase();
    const seeded = await seedTasks(await bench.createDatabase("seeded"), tasks, { short: true });
    const start = async (name: string, checkout: string, slowdownMs = 0) => {
      const databaseUrl = await bench.createDatabase(name, "seeded");
      const program = await bench.serve({
        name,
        databaseUrl,
        checkout,
        settings: {
          LOG_LEVEL: "silent",
          ...(slowdownMs > 0 ? { BENCH_SLOWDOWN_MS: String(slowdownMs) } : {}),
        },
        nodeOptions: [
          ...forTurns,
          ...(slowdownMs > 0 ? ["--import", path.join(import.meta.dirname, "slowdown.ts")] : []),
        ],
      });
      const driver = createDriver(program, seeded);
      await driver.warmUp("mixed");
      return async () => await driver.closed("mixed", { seconds, clients });
    };
    const startSome = async (name: string, checkout: string, slowdownMs = 0) => {
      const some: (() => Promise<Turn>)[] = [];
      for (let i = 1; i <= starts; i += 1) some.push(await start(`${name}-${i}`, checkout, slowdownMs));
      return inTurn(some);
    };
    print(`Starting ${starts} servers of each, and warming up…`);
    const one = await startSome("base", base);
    const twin = await startSome("twin", base);
    const slowdownMs = slowdown === undefined ? 0 : (slowdown - 1) * (await one()).cpuMs;
    const other = await startSome("head", head, slowdownMs);

    const compared = (turns: Trio<Turn[]>) =>
      Object.fromEntries(
        measureNames.map((name) => [name, compareTurns(turns, measures[name].of)]),
      ) as Record<Measure, Comparison>;
    const turns = await interleave({ base: one, twin, other }, (so, done) => {
      // To ask takes a while.
      if (done < rounds || (done - rounds) % 15 > 0) return false;
      return done >= most || noiseOf(compared(so).cpu) <= bound;
    });
    const comparisons = compared(turns);
    const judged = Object.fromEntries(
      measureNames.map((name) => [name, judge(name, comparisons[name], bound)]),
    ) as Record<Measure, Verdict>;

    const middle = (side: Turn[], of: (turn: Turn) => number) => round(median(side.map(of)));
    const done = turns.base.length;
    print(
      `${done} rounds of ${seconds} s; ${middle(turns.base, measures.throughput.of)} requests a second and ${middle(turns.base, measures.cpu.of)} ms of processor for each, at the base`,
    );
    print(`  ${"".padEnd(20)} ${"head against base".padEnd(28)} ${"base against itself".padEnd(28)}`);
    for (const name of measureNames) {
      const { other: changed, twin: itself } = comparisons[name];
      const row = [measures[name].name.padEnd(20), asChange(changed).padEnd(28), asChange(itself).padEnd(28)];
      print(`  ${row.join(" ")} ${verdicts[judged[name]]}`);
    }
    const generator = Math.max(...Object.values(turns).flatMap((side) => side.map((turn) => turn.generator)));
    // Throughput is what all that runs on the machine leaves; it says something where it is steady, and is not waited for.
    const verdict: Verdict =
      generator > 0.8 ? "noisy" : Object.values(judged).includes("slower") ? "slower" : judged.cpu;
    if (generator > 0.8) print(`The load generator took ${generator} of a core: these figures are its own.`);
    const exitCode = { same: 0, slower: 1, noisy: 3 }[verdict];
    await writeResult("compare", {
      options,
      slowdownMs: round(slowdownMs),
      rounds: done,
      comparisons,
      judged,
      generator,
      exitCode,
      turns,
      goals: measureNames.map((name) => ({
        id: "compare",
        what: `${measures[name].name}: ${options.head} against ${options.base}`,
        value: `${asChange(comparisons[name].other)}; base against itself ${asChange(comparisons[name].twin)}`,
        goal: `not ${bound * 100} % slower`,
        met: judged[name] === "same",
      })),
    });
    print(`${verdicts[verdict]}: bound ${bound * 100} %`);
    return exitCode;
  } finally {
    await checkouts.close();
    await bench.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUse =
    error instanceof WrongUse ||
    (error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS"));
  process.stderr.write(
    `compare: ${error instanceof Error ? (isUse ? `${error.message} (--help tells more)` : error.stack) : String(error)}\n`,
  );
  process.exitCode = isUse ? 2 : 4;
}

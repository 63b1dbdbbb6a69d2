import { openBench } from "./bench.ts";
import { BadAnswer, createDriver, type Kind } from "./driver.ts";
import { readOptions } from "./options.ts";
import { type Goal, print, writeResult } from "./results.ts";
import { seedTasks } from "./seed.ts";
import { rank, round } from "./statistics.ts";

const help = `Asks a server for ten times what it can do, and looks at what becomes of it (R9): what is refused is refused within a second, what is
done is nine tenths of the most that it ever does, and five seconds later nothing of it is left.

  node loadtest/overload.ts [options]     needs the built program: make build

  --times N         how many times the most that it does (default 10)
  --seconds N       for how long (default 10)
  --help

The requests are the mixture of four in five that read, due at fixed instants; a quarter of the most is asked afterwards. The result is
loadtest/results/overload.json and lines here. Exit code 1 when a goal is missed.
`;

const { times, seconds } = readOptions(help, {
  times: { default: 10, above: 1, fraction: true },
  seconds: { default: 10, above: 0, fraction: true },
}).numbers;
const kind: Kind = "mixed";
const recoverySeconds = 10;

interface Answer {
  /** When it was due and when it came, seconds from the start of the phase. */
  due: number;
  came: number;
  status: number;
}

const bench = await openBench();
try {
  const databaseUrl = await bench.createDatabase("overload");
  const seeded = await seedTasks(databaseUrl, 10_000, { short: true });
  const program = await bench.serve({ name: "server", databaseUrl, settings: { LOG_LEVEL: "silent" } });
  const steady = createDriver(program, seeded);
  await steady.warmUp(kind);
  const peaks = [];
  for (const clients of [16, 32, 64]) peaks.push(await steady.closed(kind, { seconds: 4, clients }));
  const peak = Math.max(...peaks.map(({ rate }) => rate));
  print(`The most that it does: ${peak.toFixed(0)} requests a second.`);

  // As many as a proxy before it has.
  const flood = createDriver(program, seeded, 2_000);
  const ask = async (rate: number, forSeconds: number) => {
    const answers: Answer[] = [];
    const started = performance.now();
    let asked = 0;
    const turn = await flood.open(kind, { seconds: forSeconds, rate }, async (one) => {
      const due = asked / rate;
      asked += 1;
      const status = await one().then(
        () => 200,
        (error: unknown) => {
          if (error instanceof BadAnswer) return error.status;
          // No answer at all: a connection refused or cut.
          return 0;
        },
      );
      answers.push({ due, came: (performance.now() - started) / 1000, status });
    });
    return { answers, turn };
  };

  const under = await ask(peak * times, seconds);
  const after = await ask(peak / 4, recoverySeconds);
  const { most: memory } = await program.memory();

  const took = ({ due, came }: Answer) => (came - due) * 1000;
  const isGood = ({ status }: Answer) => status >= 200 && status < 300;
  const isRefused = ({ status }: Answer) => status === 429 || status === 503;
  // The first second is when it fills.
  const settled = under.answers.filter(({ came }) => came >= 1 && came < seconds);
  const goodput = settled.filter(isGood).length / (seconds - 1);
  const ordered = (answers: Answer[]) => answers.map(took).sort((a, b) => a - b);
  const refused = ordered(under.answers.filter(isRefused));
  const good = ordered(under.answers.filter(isGood));
  // A conflict is an answer as any other: two of so many updates at once may be of one task.
  const wrong = under.answers.filter(
    ({ status }) => status === 0 || (status >= 500 && status !== 503),
  ).length;
  const lastBad = Math.max(
    0,
    ...after.answers.filter((answer) => isRefused(answer) || took(answer) > 300).map(({ came }) => came),
  );
  const goals: Goal[] = [
    {
      id: "R9",
      what: `refused at ${times} times the most, p99`,
      value: `${round(rank(refused, 0.99))} ms of ${refused.length}`,
      goal: "≤ 1,000 ms",
      met: rank(refused, 0.99) <= 1_000,
    },
    {
      id: "R9",
      what: "done meanwhile, times the most",
      value: `${round(goodput / peak)} (${goodput.toFixed(0)} a second)`,
      goal: "≥ 0.9",
      met: goodput / peak >= 0.9,
    },
    {
      id: "R9",
      what: "answered as before again after",
      value: `${round(lastBad)} s`,
      goal: "≤ 5 s",
      met: lastBad <= 5,
    },
    { id: "R9", what: "failed otherwise", value: String(wrong), goal: "0", met: wrong === 0 },
  ];
  for (const { what, value, goal, met } of goals)
    print(`${what}: ${value}; goal ${goal}, ${met ? "met" : "missed"}`);
  print(
    `What was done took ${round(rank(good, 0.5))} ms (p50) and ${round(rank(good, 0.99))} ms (p99); the generator took ${under.turn.generator} of a core, the server ${memory.toFixed(0)} MB at the most.`,
  );
  await writeResult("overload", {
    times,
    seconds,
    peak,
    goodput,
    generator: under.turn.generator,
    memory,
    goals,
    charts: [
      {
        title: "Done and refused, requests a second",
        x: "seconds",
        y: "a second",
        lines: [
          { name: "done", points: bySecond(under.answers.filter(isGood)) },
          { name: "refused", points: bySecond(under.answers.filter(isRefused)) },
        ],
      },
    ],
  });
  if (goals.some(({ met }) => !met)) process.exitCode = 1;
} finally {
  await bench.close();
}

function bySecond(answers: Answer[]): [number, number][] {
  const counts = new Map<number, number>();
  for (const { came } of answers) counts.set(Math.floor(came), (counts.get(Math.floor(came)) ?? 0) + 1);
  return [...counts].sort((a, b) => a[0] - b[0]);
}

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { forTurns, openBench } from "./bench.ts";
import { createDriver, type Turn } from "./driver.ts";
import { asChange, compareTurns, inTurn, interleave } from "./interleave.ts";
import { readOptions } from "./options.ts";
import { print, writeResult } from "./results.ts";
import { seedTasks } from "./seed.ts";
import { median, round } from "./statistics.ts";

const help = `Measures what metrics, traces and logs cost together: requests a second with all of them against none of them.

  node loadtest/observability.ts [options]       needs the built program: make build

  --rounds N        how often each kind has its turn (default 90)
  --seconds N       how long a turn is (default 0.5)
  --starts N        how many servers of each kind are started (default 3); they take their turns by turns
  --clients N       how many requests are under way (default 16)
  --sampler-arg N   the part of the requests that is traced (default: the program's)
  --help

Three groups of servers of one build, each server on a database of its own: one group with metrics that are scraped every five seconds of their work,
traces to a receiver and logs to a file, and two that have none of it. They take turns, there and back again; four requests of five
read, one writes. The result is the median of the rounds' ratios with its bootstrap interval (95 %), beside that of the two alike, which
shows what the machine does by itself. It is in loadtest/results/observability.json as well. Exit code 1 when the median costs more
than 5 % of the throughput.
`;

const goal = 0.05;

const { numbers, texts } = readOptions(
  help,
  {
    rounds: { default: 90, from: 1 },
    seconds: { default: 0.5, above: 0, fraction: true },
    starts: { default: 3, from: 1 },
    clients: { default: 16, from: 1 },
  },
  ["sampler-arg"],
);
const { rounds, seconds, starts, clients } = numbers;

const bench = await openBench();
let received = { batches: 0, bytes: 0 };
const collector = createServer((incoming, response) => {
  incoming.on("data", (chunk: Buffer) => {
    received.bytes += chunk.length;
  });
  incoming.on("end", () => {
    received.batches += 1;
    response.writeHead(200).end();
  });
});
await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
async function scrape(program: { output(): Promise<string> }): Promise<void> {
  const metrics = /"address":"([^"]+\/metrics)"/.exec(await program.output())?.[1];
  if (metrics === undefined) throw new Error("the server with all of it does not say where its metrics are");
  await (await fetch(metrics)).text();
}

try {
  await bench.quietDatabase();
  const seeded = await seedTasks(await bench.createDatabase("seeded"), 1_000, { short: true });
  const start = async (name: string, settings: Record<string, string>) => {
    const databaseUrl = await bench.createDatabase(name, "seeded");
    const program = await bench.serve({ name, databaseUrl, settings, nodeOptions: forTurns });
    const driver = createDriver(program, seeded);
    await driver.warmUp("mixed");
    return { program, turn: async () => await driver.closed("mixed", { seconds, clients }) };
  };
  print("Starting, and warming up…");
  const none = { LOG_LEVEL: "silent" };
  const arg = texts["sampler-arg"];
  const startSome = async (name: string, settings: Record<string, string>) => {
    const some: Awaited<ReturnType<typeof start>>[] = [];
    for (let i = 1; i <= starts; i += 1) some.push(await start(`${name}-${i}`, settings));
    return some;
  };
  // Between the two that are alike: who is started first may be slower, or quicker, for as long as it runs.
  const base = await startSome("nothing", none);
  const watched = await startSome("all", {
    TASKMASTER_METRICS_PORT: "0",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    ...(arg === undefined ? {} : { OTEL_TRACES_SAMPLER_ARG: arg }),
  });
  const twin = await startSome("nothing-too", none);
  received = { batches: 0, bytes: 0 };

  const scraped = watched.map(({ program, turn }) => {
    let turnsSince = 0;
    return async () => {
      // Every five seconds of work, as a Prometheus would.
      if (turnsSince++ % Math.ceil(5 / seconds) === 0) await scrape(program);
      return await turn();
    };
  });
  const turnOf = (side: typeof base) => inTurn(side.map(({ turn }) => turn));
  const turns = await interleave(
    { base: turnOf(base), twin: turnOf(twin), other: inTurn(scraped) },
    (_, done) => done === rounds,
  );
  const throughput = compareTurns(turns, ({ rate }) => rate);
  const cpuARequest = compareTurns(turns, ({ cpuMs }) => cpuMs);
  const met = throughput.other.median >= 1 - goal;
  const rateOf = (side: Turn[]) => round(median(side.map(({ rate }) => rate)));
  const rates = { all: rateOf(turns.other), nothing: rateOf([...turns.base, ...turns.twin]) };

  // Spans wait for others to be sent with.
  await sleep(3_000);
  const outputs = await Promise.all(watched.map(({ program }) => program.output()));
  const lines = outputs.join("").match(/"msg":"request"/g)?.length ?? 0;
  await writeResult("observability", {
    rounds,
    seconds,
    starts,
    clients,
    sampled: arg ?? "default",
    requestsASecond: rates,
    throughput,
    cpuARequest,
    received,
    logLines: lines,
    goals: [
      {
        id: "watched",
        what: "throughput with metrics, traces and logs, against none of them",
        value: asChange(throughput.other),
        goal: `≥ −${goal * 100} %`,
        met,
      },
    ],
  });
  print(
    `${rounds} rounds of ${seconds} s: ${rates.nothing.toFixed(0)} requests a second with nothing, ${rates.all.toFixed(0)} with all`,
  );
  print(`  throughput, all against nothing            ${asChange(throughput.other)}`);
  print(`  throughput, nothing against nothing        ${asChange(throughput.twin)}`);
  print(`  processor a request, all against nothing   ${asChange(cpuARequest.other)}`);
  print(`  processor a request, nothing twice         ${asChange(cpuARequest.twin)}`);
  print(
    `  ${lines} log lines; ${received.batches} batches of spans, ${(received.bytes / 1e6).toFixed(1)} MB`,
  );
  if (received.batches === 0 || lines === 0) throw new Error("the server with all of it told of nothing");
  if (!met) {
    print("That is more than it should cost.");
    process.exitCode = 1;
  }
} finally {
  collector.closeAllConnections();
  collector.close();
  await bench.close();
}

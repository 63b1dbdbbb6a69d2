import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { Agent, createServer, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { applyMigrations } from "../service/src/migrate/apply.ts";
import { startServer } from "../service/src/storage/embedded/server.ts";
import { round } from "./load.ts";
import { quantile, writeResult } from "./results.ts";

const help = `Measures what metrics, traces and logs cost together: requests a second with all of them against none of them.

  node loadtest/observability.ts [options]       needs the built program: make build

  --rounds N        how often each server has its turn (default 20)
  --seconds N       how long a turn is (default 4)
  --clients N       how many requests are under way (default 16)
  --sampler-arg N   the part of the requests that is traced (default: the program's)
  --help

Three servers of one build on one database: one with metrics that are scraped each turn, traces to a receiver and logs to a
file, and two that have none of it. They take turns in an order of chance; four requests of five read, one writes. The result is the
median of the rounds' ratios with its bootstrap interval (95 %), beside that of the two alike, which shows what the machine does by
itself. It is in loadtest/results/observability.json as well. Exit code 1 when the median costs more than 5 % of the throughput.
`;

const goal = 0.05;
const root = path.join(import.meta.dirname, "..");

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    seconds: { type: "string", default: "4" },
    clients: { type: "string", default: "16" },
    "sampler-arg": { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const [rounds, seconds, clients] = [Number(values.rounds), Number(values.seconds), Number(values.clients)];
if (![rounds, seconds, clients].every((value) => Number.isInteger(value) && value > 0)) {
  process.stderr.write("The options take whole numbers above 0.\n");
  process.exit(2);
}

const print = (line: string) => void process.stdout.write(`${line}\n`);

interface Program {
  child: ChildProcess;
  url: string;
  /** Where its metrics are, if it has them. */
  metrics: string | undefined;
  /** What it has written. */
  output(): Promise<string>;
}

/** The real program, which writes to a file, as it would to a log. */
async function startProgram(name: string, settings: Record<string, string>): Promise<Program> {
  const file = path.join(folder, `${name}.log`);
  const out = await open(file, "w");
  const child = spawn(process.execPath, [path.join(root, "dist/bin/cli.js"), "serve", "--welcome"], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.connectionString,
      TASKMASTER_SESSION_SECRET: "a secret for benches, of thirty-two bytes or more",
      TASKMASTER_RATE_LIMIT_MAX: "1000000000",
      PORT: "0",
      ...settings,
    },
    stdio: ["ignore", out.fd, "inherit"],
  });
  children.push(child);
  await out.close();
  const output = () => readFile(file, "utf8");
  for (;;) {
    const written = await output();
    const url = /ready at (\S+)/.exec(written)?.[1];
    if (url !== undefined) {
      return { child, url, metrics: /"address":"([^"]+\/metrics)"/.exec(written)?.[1], output };
    }
    if (child.exitCode !== null) throw new Error("the server ended before it was ready");
    await sleep(50);
  }
}

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });

function call(url: string, method: string, address: string, body?: object, match?: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = send(
      `${url}/api/v1${address}`,
      {
        method,
        agent,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(match === undefined ? {} : { "if-match": `"${match}"` }),
        },
      },
      (response) => {
        text(response).then((answer) => {
          if ((response.statusCode ?? 500) < 300) resolve(answer);
          else reject(new Error(`${method} ${address} was answered ${response.statusCode}: ${answer}`));
        }, reject);
      },
    );
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const tag = "/projects/BENCH/tags/master";

/** Requests that were answered in a turn, and the processor time of the server for one; milliseconds. */
async function turn(program: Program): Promise<{ rate: number; cpuMs: number }> {
  if (program.metrics !== undefined) await (await fetch(program.metrics)).text();
  const cpu = await cpuMs(program.child);
  const started = performance.now();
  const end = started + seconds * 1000;
  let count = 0;
  const client = async (index: number) => {
    // Each client has a task of its own to change, so that no write waits for another.
    const own = tasks[index % tasks.length];
    if (own === undefined) throw new Error("there are tasks");
    for (let i = index; performance.now() < end; i += 1) {
      const kind = i % 5;
      if (kind === 0) {
        const changed = await call(
          program.url,
          "PATCH",
          `/tasks/${own.id}`,
          { title: `Changed ${i}` },
          own.version,
        );
        own.version = (JSON.parse(changed) as { version: number }).version;
      } else if (kind === 1) await call(program.url, "GET", `${tag}/tasks?limit=20`);
      else if (kind === 2) await call(program.url, "GET", `${tag}/next`);
      else await call(program.url, "GET", `/tasks/${own.id}`);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  const rate = count / ((performance.now() - started) / 1000);
  return { rate, cpuMs: ((await cpuMs(program.child)) - cpu) / count };
}

/** In hundredths of a second, as Linux counts them. */
async function cpuMs(child: ChildProcess): Promise<number> {
  const fields = (await readFile(`/proc/${child.pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** The median, and where it lies when the rounds are drawn anew ten thousand times. */
function estimate(ratios: number[]) {
  const medians = Array.from({ length: 10_000 }, () =>
    quantile(
      ratios.map(() => ratios[Math.floor(Math.random() * ratios.length)] ?? Number.NaN),
      0.5,
    ),
  );
  return { median: quantile(ratios, 0.5), low: quantile(medians, 0.025), high: quantile(medians, 0.975) };
}

const folder = await mkdtemp(path.join(tmpdir(), "task-master-pro-bench-"));
await chmod(folder, 0o711);
const database = await startServer(path.join(folder, "data"));
const children: ChildProcess[] = [];
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
let token = "";
const tasks: { id: string; version: number }[] = [];
try {
  await applyMigrations(database.connectionString);
  const none = { LOG_LEVEL: "silent" };
  const first = await startProgram("off", none);
  token = /tmp_[0-9a-f]{64}/.exec(await first.output())?.[0] ?? "";
  const second = await startProgram("off-too", none);
  const arg = values["sampler-arg"];
  const all = await startProgram("on", {
    TASKMASTER_METRICS_PORT: "0",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    ...(arg === undefined ? {} : { OTEL_TRACES_SAMPLER_ARG: arg }),
  });
  await call(first.url, "POST", "/projects", { key: "BENCH", name: "Bench" });
  for (let i = 0; i < 200; i += 1) {
    const made = await call(first.url, "POST", `${tag}/tasks`, {
      title: `Task ${i}`,
      description: "To be read",
    });
    tasks.push(JSON.parse(made) as { id: string; version: number });
  }

  const programs = { on: all, off: first, offToo: second };
  const names = Object.keys(programs) as (keyof typeof programs)[];
  print("Warming up…");
  for (const name of names) await turn(programs[name]);
  received = { batches: 0, bytes: 0 };

  const ratios = { on: [] as number[], alike: [] as number[], cpu: [] as number[], cpuAlike: [] as number[] };
  const rates = { on: [] as number[], off: [] as number[] };
  for (let i = 0; i < rounds; i += 1) {
    const found = {} as Record<keyof typeof programs, { rate: number; cpuMs: number }>;
    for (const name of names.toSorted(() => Math.random() - 0.5)) found[name] = await turn(programs[name]);
    const { on, off, offToo } = found;
    ratios.on.push(on.rate / ((off.rate + offToo.rate) / 2));
    ratios.alike.push(offToo.rate / off.rate);
    ratios.cpu.push(on.cpuMs / ((off.cpuMs + offToo.cpuMs) / 2));
    ratios.cpuAlike.push(offToo.cpuMs / off.cpuMs);
    rates.on.push(on.rate);
    rates.off.push(off.rate, offToo.rate);
  }

  const figures = {
    throughput: estimate(ratios.on),
    throughputAlike: estimate(ratios.alike),
    cpuARequest: estimate(ratios.cpu),
    cpuARequestAlike: estimate(ratios.cpuAlike),
  };
  // Spans wait for others to be sent with.
  await sleep(3_000);
  const lines = (await all.output()).match(/"msg":"request"/g)?.length ?? 0;
  await writeResult("observability", {
    measuredAt: new Date().toISOString(),
    rounds,
    seconds,
    clients,
    sampled: arg ?? "default",
    requestsASecond: { on: round(quantile(rates.on, 0.5)), off: round(quantile(rates.off, 0.5)) },
    figures,
    received,
    logLines: lines,
  });
  const row = (name: string, { median, low, high }: ReturnType<typeof estimate>) => {
    const percent = (ratio: number) => `${((ratio - 1) * 100).toFixed(1)} %`.padStart(8);
    print(`  ${name.padEnd(40)} ${percent(median)}   (${percent(low)} to ${percent(high)})`);
  };
  print(
    `${rounds} rounds of ${seconds} s: ${quantile(rates.off, 0.5).toFixed(0)} requests a second with nothing, ${quantile(rates.on, 0.5).toFixed(0)} with all`,
  );
  row("throughput, all against nothing", figures.throughput);
  row("throughput, nothing against nothing", figures.throughputAlike);
  row("processor a request, all against nothing", figures.cpuARequest);
  row("processor a request, nothing twice", figures.cpuARequestAlike);
  print(
    `  ${lines} log lines; ${received.batches} batches of spans, ${(received.bytes / 1e6).toFixed(1)} MB`,
  );
  if (received.batches === 0 || lines === 0) throw new Error("the server with all of it told of nothing");
  if (figures.throughput.median < 1 - goal) {
    print("That is more than it should cost.");
    process.exitCode = 1;
  }
} finally {
  for (const child of children) {
    if (child.exitCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  agent.destroy();
  collector.closeAllConnections();
  collector.close();
  await database.close();
  await rm(folder, { recursive: true, force: true });
}

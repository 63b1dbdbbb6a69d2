import { get, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * A process of its own that holds many event streams open, and says when each event came to each of them. Started and
 * stopped by streams.ts, over the channel between the two.
 */

export interface ReadersOptions {
  url: string;
  token: string;
  /** How many read, from now on. */
  streams: number;
  /** How many more ask for the whole log and take nothing of it. */
  slow: number;
}

export interface ReadersReport {
  /** Of each event on each stream, from the event's creation by the database's clock; milliseconds. */
  latency: number[];
  /** Of each event, until the last stream had it. */
  untilAll: number[];
  /** Streams that lack an event, or had one twice or out of order. */
  faulty: number;
  /** Reading ones that were cut off. */
  lost: number;
  /** The busiest second of this process; over 0.8 the figures are its own. */
  busy: number;
}

const now = () => performance.timeOrigin + performance.now();

const report: ReadersReport = { latency: [], untilAll: [], faulty: 0, lost: 0, busy: 0 };
const latest = new Map<number, number>();
const expected: number[] = [];
const broken = new Set<number>();
let stopping = false;

function openOne({ url, token }: ReadersOptions, query: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = get(`${url}${query}`, { agent: false, headers: { authorization: `Bearer ${token}` } });
    request.on("error", reject);
    request.on("response", (response) => {
      if (response.statusCode === 200) resolve(response);
      else reject(new Error(`a stream was answered with ${response.statusCode}`));
    });
  });
}

async function read(index: number, options: ReadersOptions): Promise<void> {
  const response = await openOne(options, "");
  const started = Promise.withResolvers<void>();
  response.setEncoding("utf8");
  response.on("error", () => {});
  response.on("close", () => {
    if (!stopping) report.lost += 1;
  });
  let rest = "";
  response.on("data", (chunk: string) => {
    const at = now();
    rest += chunk;
    for (let end = rest.indexOf("\n\n"); end !== -1; end = rest.indexOf("\n\n")) {
      const block = rest.slice(0, end);
      rest = rest.slice(end + 2);
      const id = Number(/^id: (\d+)$/m.exec(block)?.[1] ?? 0);
      if (id === 0) continue;
      if (expected[index] !== undefined && id !== expected[index]) broken.add(index);
      expected[index] = id + 1;
      started.resolve();
      const createdAt = /"createdAt":"([^"]+)"/.exec(block)?.[1];
      if (createdAt === undefined) continue;
      const latency = at - Date.parse(createdAt);
      report.latency.push(latency);
      latest.set(id, Math.max(latest.get(id) ?? 0, latency));
    }
  });
  await started.promise;
}

async function takeNothing(options: ReadersOptions): Promise<void> {
  const response = await openOne(options, "?after=0");
  response.on("error", () => {});
}

async function open(options: ReadersOptions): Promise<void> {
  const batch = 50;
  for (let i = 0; i < options.streams; i += batch) {
    const some = Array.from({ length: Math.min(batch, options.streams - i) }, (_, j) => read(i + j, options));
    await Promise.all(some);
  }
  for (let i = 0; i < options.slow; i += 1) await takeNothing(options);
}

/** Waits a while for the last event to come to everybody. */
async function finish(last: number): Promise<void> {
  const isBehind = (next: number) => next !== last + 1;
  for (let i = 0; i < 300 && expected.some(isBehind); i += 1) await sleep(100);
  stopping = true;
  report.faulty = expected.filter((next, i) => broken.has(i) || isBehind(next)).length;
  report.untilAll = [...latest.values()];
  process.send?.({ report }, () => process.exit(0));
}

let utilization = performance.eventLoopUtilization();
setInterval(() => {
  const next = performance.eventLoopUtilization();
  report.busy = Math.max(report.busy, performance.eventLoopUtilization(next, utilization).utilization);
  utilization = next;
}, 1_000);

process.on("message", (message: { open: ReadersOptions } | { finish: number }) => {
  if ("open" in message) {
    open(message.open).then(
      () => {
        report.busy = 0;
        process.send?.("open");
      },
      (error: Error) => process.send?.({ failed: error.message }),
    );
  } else {
    void finish(message.finish);
  }
});
process.on("disconnect", () => process.exit(1));

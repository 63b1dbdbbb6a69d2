import { Worker } from "node:worker_threads";
import { rank, round } from "./statistics.ts";
import type { LoadMessage, LoadOptions, LoadRecord } from "./writers.ts";

export interface Load {
  /** The last second, as the writers tell it. */
  latest(): Extract<LoadMessage, { type: "progress" }> | undefined;
  /** Ends it and returns all that it wrote down. */
  stop(): Promise<LoadRecord>;
  /** At once, without an answer. */
  kill(): Promise<void>;
}

/** Starts the writers, and returns when they write. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const worker = new Worker(new URL("writers.ts", import.meta.url), { workerData: options });
  let latest: Extract<LoadMessage, { type: "progress" }> | undefined;
  const ready = Promise.withResolvers<void>();
  const done = Promise.withResolvers<LoadRecord>();
  // Whoever waits for it hears of a failure; when nobody does, it must not end the process.
  done.promise.catch(() => {});
  const fail = (error: Error) => {
    ready.reject(error);
    done.reject(error);
  };
  worker.on("message", (message: LoadMessage) => {
    if (message.type === "ready") ready.resolve();
    else if (message.type === "progress") latest = message;
    else done.resolve(message.record);
  });
  worker.on("error", (error) => fail(error instanceof Error ? error : new Error(String(error))));
  worker.on("exit", () => fail(new Error("the writers ended too early")));
  await ready.promise;
  return {
    latest: () => latest,
    async stop() {
      worker.postMessage("stop");
      return await done.promise;
    },
    async kill() {
      await worker.terminate();
    },
  };
}

/** What the writers saw in a time; milliseconds. */
export interface Figures {
  seconds: number;
  attempted: number;
  succeeded: number;
  failed: number;
  p50: number;
  p99: number;
  max: number;
  /** The longest time in which no write was done although one was due. */
  longestStall: number;
  /** Such times of more than 50 ms; in a longer time the longest is longer by chance alone, and this a minute is not. */
  stallsAMinute: number;
  /** The most that the writers' own thread came too late by. */
  generatorLate: number;
  /** The busiest second of the writers' own thread; over 0.8 the figures are its own. */
  generatorBusy: number;
}

/** Each write counts where it was due, each stall where it ended. */
export function figuresOf(record: LoadRecord, from: number, to: number): Figures {
  const within = (at: number) => at >= from && at < to;
  const latencies = record.latency.filter((_, i) => within(record.due[i] ?? 0)).sort((a, b) => a - b);
  const failed = record.failures.filter(({ due }) => within(due)).length;
  const stalls = stallsOf(record, from, to).map((stall) => stall.to - stall.from);
  return {
    seconds: round((to - from) / 1000),
    attempted: latencies.length + failed,
    succeeded: latencies.length,
    failed,
    p50: round(rank(latencies, 0.5)),
    p99: round(rank(latencies, 0.99)),
    max: round(rank(latencies, 1)),
    longestStall: round(stalls[0] ?? 0),
    stallsAMinute: round((stalls.filter((ms) => ms > 50).length * 60_000) / Math.max(to - from, 1)),
    generatorLate: round(greatest(record.late.filter(({ at }) => within(at)).map(({ ms }) => ms))),
    generatorBusy: round(greatest(record.busy.filter(({ at }) => within(at)).map(({ share }) => share))),
  };
}

/** Those that ended in the time, longest first. */
export function stallsOf(record: LoadRecord, from: number, to: number): LoadRecord["stalls"] {
  return record.stalls
    .filter((stall) => stall.to >= from && stall.to < to)
    .sort((a, b) => b.to - b.from - (a.to - a.from));
}

function greatest(values: number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

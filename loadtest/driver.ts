import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import type { Program } from "./bench.ts";
import { type Seeded, taskId } from "./seed.ts";
import { rank, round } from "./statistics.ts";

/** What a turn asks for: one kind of request, or the mixture of which four in five read and one writes. */
export type Kind = "get" | "list" | "create" | "update" | "mixed";

const mixture: Exclude<Kind, "mixed">[] = [
  "get",
  "list",
  "get",
  "update",
  "get",
  "list",
  "get",
  "create",
  "get",
  "list",
];

/** So many that the processor time for one hardly falls any more; it is half of what the first ones take. */
const warmUpRequests = 6_000;

/** What a turn came to. */
export interface Turn {
  requests: number;
  /** A second. */
  rate: number;
  /** The server's processor time for one request. */
  cpuMs: number;
  /** Milliseconds; in an open turn from the instant that the request was due. */
  p50: number;
  p99: number;
  /** The share of one core that this process took; above 0.8 the figures are its own. */
  generator: number;
}

/** An answer that is no good one. */
export class BadAnswer extends Error {
  readonly status: number;
  constructor(asked: string, status: number, text: string) {
    super(`${asked} was answered ${status}: ${text.slice(0, 300)}`);
    this.status = status;
  }
}

export interface Client {
  /** The body of a good answer; a BadAnswer, unless somebody takes it, ends the turn. */
  send(method: string, path: string, body?: string, headers?: Record<string, string>): Promise<string>;
  /** So many clients that each ask again as soon as they are answered: for throughput, never for latency. */
  closed(options: { seconds: number; clients: number }, one: () => Promise<unknown>): Promise<Turn>;
  /** So many requests a second, each due at its own instant whether or not the last one is answered. */
  open(options: { seconds: number; rate: number }, one: () => Promise<unknown>): Promise<Turn>;
}

/** Asks one server; paths are behind /api/v1. Its connections, so many at the most, end with the process. */
export function createClient(program: Program, token: string, connections = 64): Client {
  const pool = new Pool(program.url, { connections, pipelining: 1 });
  const common = { authorization: `Bearer ${token}`, "content-type": "application/json" };

  /** What the work came to, which pushes the latency of each request. */
  const measure = async (work: (latencies: number[]) => Promise<void>): Promise<Turn> => {
    const latencies: number[] = [];
    const [cpu, own, started] = [await program.cpuMs(), process.cpuUsage(), performance.now()];
    await work(latencies);
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(own);
    const requests = latencies.length;
    latencies.sort((a, b) => a - b);
    return {
      requests,
      rate: requests / seconds,
      cpuMs: ((await program.cpuMs()) - cpu) / requests,
      p50: round(rank(latencies, 0.5)),
      p99: round(rank(latencies, 0.99)),
      generator: round((user + system) / 1e6 / seconds),
    };
  };

  return {
    async send(method, path, body, headers = {}) {
      const answer = await pool.request({
        method,
        path: `/api/v1${path}`,
        headers: { ...common, ...headers },
        ...(body === undefined ? {} : { body }),
      });
      const text = await answer.body.text();
      if (answer.statusCode >= 300) throw new BadAnswer(`${method} ${path}`, answer.statusCode, text);
      return text;
    },

    async closed({ seconds, clients }, one) {
      return await measure(async (latencies) => {
        const end = performance.now() + seconds * 1000;
        const client = async () => {
          for (let at = performance.now(); at < end; at = performance.now()) {
            await one();
            latencies.push(performance.now() - at);
          }
        };
        await Promise.all(Array.from({ length: clients }, client));
      });
    },

    async open({ seconds, rate }, one) {
      return await measure(async (latencies) => {
        const started = performance.now();
        const asked: Promise<void>[] = [];
        const count = Math.round(seconds * rate);
        let failure: unknown;
        for (let n = 0; n < count && failure === undefined; await sleep(1)) {
          for (const now = performance.now(); n < count; n += 1) {
            const due = started + (n * 1000) / rate;
            if (due > now) break;
            const answered = one().then(
              () => void latencies.push(performance.now() - due),
              (error: unknown) => {
                failure ??= error;
              },
            );
            asked.push(answered);
          }
        }
        await Promise.all(asked);
        if (failure !== undefined) throw failure;
      });
    },
  };
}

export interface Driver {
  /** Until what is called often is compiled, and the database has read what it reads often. */
  warmUp(kind: Kind): Promise<void>;
  one(kind: Kind): Promise<unknown>;
  closed(kind: Kind, options: { seconds: number; clients: number }): Promise<Turn>;
  /** `around` gets each request when it is due, to send and to look at. */
  open(
    kind: Kind,
    options: { seconds: number; rate: number },
    around?: (ask: () => Promise<unknown>) => Promise<unknown>,
  ): Promise<Turn>;
}

export const tagPath = "/projects/BENCH/tags/master";

/** Drives one server, on a database of its own that was just seeded. */
export function createDriver(program: Program, { token, tasks }: Seeded, connections?: number): Driver {
  const client = createClient(program, token, connections);
  const keys = randomUUID();
  const versions = new Map<number, number>();
  let sent = 0;
  let changed = 0;
  // Steps by a prime, so that all tasks have their turn, and none is near the last.
  const place = (n: number) => (n * 7919) % tasks;

  const requests: Record<Exclude<Kind, "mixed">, (n: number) => Promise<unknown>> = {
    get: (n) => client.send("GET", `/tasks/${taskId(place(n))}`),
    list: () => client.send("GET", `${tagPath}/tasks?limit=50`),
    create: (n) =>
      client.send(
        "POST",
        `${tagPath}/tasks`,
        `{"title":"Made by the bench as number ${n}","description":"To be written and read","priority":"high"}`,
        { "idempotency-key": `${keys}-${n}` },
      ),
    async update(n) {
      // One after another, so that no two under way at once change the same one.
      const which = place(changed);
      changed += 1;
      const version = versions.get(which) ?? 2;
      await client.send(
        "PATCH",
        `/tasks/${taskId(which)}`,
        `{"title":"Changed by the bench as number ${n}"}`,
        {
          "if-match": `"${version}"`,
          "idempotency-key": `${keys}-${n}`,
        },
      );
      versions.set(which, version + 1);
    },
  };

  const one = async (kind: Kind): Promise<unknown> => {
    const n = sent;
    sent += 1;
    return await requests[kind === "mixed" ? (mixture[n % mixture.length] ?? "get") : kind](n);
  };
  const closed: Driver["closed"] = async (kind, options) =>
    await client.closed(options, async () => await one(kind));

  return {
    one,
    closed,
    open: async (kind, options, around = (ask) => ask()) =>
      await client.open(options, async () => await around(async () => await one(kind))),
    async warmUp(kind) {
      for (let left = warmUpRequests; left > 0; ) {
        left -= (await closed(kind, { seconds: 1, clients: 8 })).requests;
      }
    },
  };
}

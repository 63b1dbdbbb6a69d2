import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Dispatcher, Pool } from "undici";
import type { Program } from "./bench.ts";
import { type Seeded, taskId } from "./seed.ts";
import { rank, round } from "./statistics.ts";

/** What a turn asks for: one kind of request, or the mixture of which four in five read and one writes. */
export const kinds = ["get", "list", "create", "update", "mixed"] as const;
export type Kind = (typeof kinds)[number];

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

export interface Driver {
  /** Until what is called often is compiled, and the database has read what it reads often. */
  warmUp(kind: Kind): Promise<void>;
  /** So many clients that each ask again as soon as they are answered: for throughput, never for latency. */
  closed(kind: Kind, options: { seconds: number; clients: number }): Promise<Turn>;
  /** So many requests a second, each due at its own instant whether or not the last one is answered. */
  open(kind: Kind, options: { seconds: number; rate: number }): Promise<Turn>;
  close(): Promise<void>;
}

/** Drives one server, on a database of its own that was just seeded. Any answer but a good one ends the turn with an error. */
export function createDriver(program: Program, { token, tasks }: Seeded): Driver {
  const pool = new Pool(program.url, { connections: 64, pipelining: 1 });
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const tag = "/api/v1/projects/BENCH/tags/master/tasks";
  const keys = randomUUID();
  const versions = new Map<number, number>();
  let sent = 0;
  let nextChanged = 0;

  const send = async (options: Dispatcher.RequestOptions): Promise<string> => {
    const { statusCode, body } = await pool.request(options);
    const text = await body.text();
    if (statusCode >= 300) {
      throw new Error(`${options.method} ${options.path} was answered ${statusCode}: ${text.slice(0, 300)}`);
    }
    return text;
  };

  const requests: Record<Exclude<Kind, "mixed">, (n: number) => Promise<unknown>> = {
    // Prime, so that all tasks have their turn, and none is near the last.
    get: (n) => send({ method: "GET", path: `/api/v1/tasks/${taskId((n * 7919) % tasks)}`, headers }),
    list: () => send({ method: "GET", path: `${tag}?limit=50`, headers }),
    create: (n) =>
      send({
        method: "POST",
        path: tag,
        headers: { ...headers, "idempotency-key": `${keys}-${n}` },
        body: `{"title":"Made by the bench as number ${n}","description":"To be written and read","priority":"high"}`,
      }),
    async update(n) {
      // One after another, so that no two under way at once change the same one.
      const which = nextChanged;
      nextChanged = (nextChanged + 1) % tasks;
      const version = versions.get(which) ?? 2;
      await send({
        method: "PATCH",
        path: `/api/v1/tasks/${taskId(which)}`,
        headers: { ...headers, "if-match": `"${version}"`, "idempotency-key": `${keys}-${n}` },
        body: `{"title":"Changed by the bench as number ${n}"}`,
      });
      versions.set(which, version + 1);
    },
  };

  const one = async (kind: Kind): Promise<void> => {
    const n = sent;
    sent += 1;
    await requests[kind === "mixed" ? (mixture[n % mixture.length] ?? "get") : kind](n);
  };

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
    close: async () => await pool.destroy(),

    async warmUp(kind) {
      for (let left = warmUpRequests; left > 0; ) {
        left -= (await this.closed(kind, { seconds: 1, clients: 8 })).requests;
      }
    },

    async closed(kind, { seconds, clients }) {
      return await measure(async (latencies) => {
        const end = performance.now() + seconds * 1000;
        const client = async () => {
          for (let at = performance.now(); at < end; at = performance.now()) {
            await one(kind);
            latencies.push(performance.now() - at);
          }
        };
        await Promise.all(Array.from({ length: clients }, client));
      });
    },

    async open(kind, { seconds, rate }) {
      return await measure(async (latencies) => {
        const started = performance.now();
        const under: Promise<void>[] = [];
        const count = Math.round(seconds * rate);
        let failure: unknown;
        for (let n = 0; n < count && failure === undefined; ) {
          for (const now = performance.now(); n < count; n += 1) {
            const due = started + (n * 1000) / rate;
            if (due > now) break;
            const asked = one(kind).then(
              () => void latencies.push(performance.now() - due),
              (error: unknown) => {
                failure ??= error;
              },
            );
            under.push(asked);
          }
          await sleep(1);
        }
        await Promise.all(under);
        if (failure !== undefined) throw failure;
      });
    },
  };
}

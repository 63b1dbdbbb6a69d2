import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  Registry,
  type RegistryContentType,
} from "prom-client";
import type { Core, EventType } from "../core/index.ts";
import type { Storage } from "../core/storage.ts";
import { completeStatuses } from "../core/tasks/status.ts";
import { attemptOutcomes, observeCore, refusals } from "./observe-core.ts";
import { type EndedTransaction, observeStorage } from "./observe-storage.ts";
import { createReading, type Reading, type ReadingOptions } from "./reading.ts";

export interface Metrics {
  /** The same storage, and the same use cases, with what they do counted. */
  observeStorage(storage: Storage): Storage;
  observeCore(core: Core): Core;
  /** What the HTTP edge tells of its requests. */
  http: {
    began(method: string): void;
    ended(request: {
      method: string;
      route: string;
      status: string;
      seconds: number;
      /** A trace that is kept. */
      exemplar?: Readonly<Record<string, string>> | undefined;
    }): void;
  };
  /** All of it. Never rejects because of the storage. Only OpenMetrics has room for exemplars. */
  text(form: TextForm): Promise<{ text: string; contentType: string }>;
  /** What the edges tell of their open streams, and of the events in them. */
  streams: {
    /** Returns what is to be called once, when the stream is closed. */
    opened(kind: (typeof streamKinds)[number]): () => void;
    delivered(seconds: number): void;
  };
}

export type TextForm = "prometheus" | "openmetrics";

/** As the semantic conventions advise for http.server.request.duration. */
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** And what the service level is about: a share under 300 ms can be had from no other bound than that. */
const requestBuckets = [...durationBuckets, 0.3].sort((a, b) => a - b);
/** Their service level is a second; an event whose notification was lost is late by the five of the look for it. */
const deliveryBuckets = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Event streams of the API, and the streams by which the MCP server speaks to its sessions. */
const streamKinds = ["events", "mcp"] as const;

/** By which a claim ends, and so the event that tells of it. */
const claimEnds: Partial<Record<EventType, string>> = {
  "claim.completed": "completed",
  "claim.failed": "failed",
  "claim.released": "released",
  "claim.expired": "expired",
};

/**
 * One server's metrics, in a registry of their own, so that several servers may live in one process. No label has a value that a
 * caller can choose: series are as many as routes, statuses and types there are, and not as many as requests.
 */
export function createMetrics({ version }: { version: string }, reading: ReadingOptions = {}): Metrics {
  // The library makes exemplars for no other form, and then writes either.
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const registers = [registry as Registry];
  const write = createWriter(registry);
  collectDefaultMetrics({ register: registry as Registry });
  new Gauge({
    name: "taskmaster_build_info",
    help: "Always 1; the label says which release runs.",
    labelNames: ["version"],
    registers,
  }).set({ version }, 1);
  const edge = createHttp(registers);
  const counts = createCounts(registers);
  const readings = createReadings(registers, reading);
  return {
    http: edge,
    streams: createStreams(registers),
    observeStorage(storage) {
      readings.follow(storage);
      return observeStorage(storage, counts.transactionEnded);
    },
    observeCore: (core) => observeCore(core, counts),
    async text(form) {
      await readings.refresh();
      return await write(form);
    },
  };
}

/** Writes a registry in either form, one at a time: the library keeps the form, and a counter's name by it, in the registry itself. */
function createWriter(registry: Registry<RegistryContentType>): Metrics["text"] {
  let last: Promise<unknown> = Promise.resolve();

  async function write(form: TextForm) {
    const contentType =
      form === "openmetrics" ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE;
    const metrics = registry.getMetricsAsArray() as { name: string }[];
    const names = metrics.map(({ name }) => name);
    registry.setContentType(contentType);
    try {
      return { text: await registry.metrics(), contentType };
    } finally {
      // OpenMetrics takes _total off, for good.
      for (const [i, metric] of metrics.entries()) metric.name = names[i] ?? metric.name;
    }
  }

  return (form) => {
    const written = last.then(() => write(form));
    last = written.catch(() => {});
    return written;
  };
}

function createHttp(registers: Registry[]): Metrics["http"] {
  const duration = new Histogram({
    name: "http_server_request_duration_seconds",
    help: "How long requests took, by their route's template.",
    labelNames: ["http_request_method", "http_route", "http_response_status_code"],
    buckets: requestBuckets,
    enableExemplars: true,
    registers,
  });
  // Counted beside the library, which looks each of its series up by a text that it puts together anew.
  const active = new Map<string, number>();
  new Gauge({
    name: "http_server_active_requests",
    help: "Requests that are under way.",
    labelNames: ["http_request_method"],
    registers,
    collect() {
      for (const [method, count] of active) this.set({ http_request_method: method }, count);
    },
  });
  return {
    began(method) {
      active.set(method, (active.get(method) ?? 0) + 1);
    },
    ended({ method, route, status, seconds, exemplar = {} }) {
      active.set(method, (active.get(method) ?? 0) - 1);
      duration.observe({
        labels: { http_request_method: method, http_route: route, http_response_status_code: status },
        value: seconds,
        exemplarLabels: exemplar,
      });
    },
  };
}

function createStreams(registers: Registry[]): Metrics["streams"] {
  const open = new Gauge({
    name: "taskmaster_event_streams",
    help: "Streams that are open.",
    labelNames: ["kind"],
    registers,
  });
  for (const kind of streamKinds) open.set({ kind }, 0);
  const delivery = new Histogram({
    name: "taskmaster_event_delivery_seconds",
    help: "From the making of an event until it was written to an open event stream.",
    buckets: deliveryBuckets,
    registers,
  });
  return {
    opened(kind) {
      open.inc({ kind });
      return () => open.dec({ kind });
    },
    delivered(seconds) {
      delivery.observe(seconds);
    },
  };
}

function createCounts(registers: Registry[]) {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ name, help, labelNames: [...labelNames], registers });
  const transactions = counter(
    "taskmaster_transactions_total",
    "Transactions that this process ran, whatever number of tries each took.",
    ["kind", "outcome"],
  );
  const retries = counter(
    "taskmaster_transaction_retries_total",
    "Further tries of transactions on which the database had given up (deadlock, serialization).",
  );
  const events = counter("taskmaster_events_total", "Events that this process committed to the log.", [
    "type",
  ]);
  const granted = counter("taskmaster_claims_granted_total", "Claims that this process gave.");
  const ended = counter("taskmaster_claims_ended_total", "Claims that ended by this process.", ["outcome"]);
  const refused = counter(
    "taskmaster_claims_refused_total",
    "Claims that this process did not give, and uses of claims that no longer held.",
    ["reason"],
  );
  const attempts = new Histogram({
    name: "taskmaster_webhook_attempt_duration_seconds",
    help: "How long this process's attempts to send a webhook message took.",
    labelNames: ["outcome"],
    buckets: durationBuckets,
    registers,
  });
  // From 0 on, or the first of each would be no increase.
  for (const outcome of Object.values(claimEnds)) ended.inc({ outcome }, 0);
  for (const reason of refusals) refused.inc({ reason }, 0);
  for (const outcome of attemptOutcomes) attempts.zero({ outcome });

  return {
    transactionEnded({ kind, outcome, retries: more, events: types }: EndedTransaction) {
      transactions.inc({ kind, outcome });
      retries.inc(more);
      for (const type of types) {
        events.inc({ type });
        if (type === "claim.created") granted.inc();
        const end = claimEnds[type];
        if (end !== undefined) ended.inc({ outcome: end });
      }
    },
    claimRefused: (reason: (typeof refusals)[number]) => refused.inc({ reason }),
    webhookAttempted(outcome: (typeof attemptOutcomes)[number], seconds: number) {
      attempts.observe({ outcome }, seconds);
    },
  };
}

/** What only the storage knows, read when it is asked for; where it does not answer, these are missing and nothing else. */
function createReadings(registers: Registry[], options: ReadingOptions) {
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge<L>({ name, help, labelNames: [...labelNames], registers });
  const connections = gauge(
    "taskmaster_database_connections",
    "This process's connections to the database.",
    ["state"],
  );
  const connectionsMax = gauge(
    "taskmaster_database_connections_max",
    "The most connections that this process opens.",
  );
  const waiting = gauge("taskmaster_database_connections_waiting", "What waits for a free connection.");
  const ready = gauge("taskmaster_tasks_ready", "Pending tasks and subtasks that could be claimed now.");
  const pending = gauge("taskmaster_webhook_deliveries_pending", "Webhook messages that are not sent yet.");
  const oldest = gauge(
    "taskmaster_webhook_delivery_oldest_age_seconds",
    "Age of the oldest webhook message that is not sent yet.",
  );
  const overdue = gauge(
    "taskmaster_webhook_delivery_overdue_seconds",
    "How long the webhook message that is due first is due already.",
  );
  const head = gauge("taskmaster_migration_info", "Always 1; the label is the newest applied migration.", [
    "migration",
  ]);
  const success = gauge("taskmaster_reading_success", "Whether the last reading of the storage succeeded.", [
    "reading",
  ]);

  let refreshes: (() => Promise<void>)[] = [];

  function read<T>(name: string, query: () => Promise<T>, show: (value: T | undefined) => void) {
    const reading: Reading<{ value: T }> = createReading(async () => ({ value: await query() }), options);
    return async () => {
      const found = await reading.current();
      show(found?.value);
      success.set({ reading: name }, Number(found !== undefined));
    };
  }
  const set = (one: Gauge, value: number | undefined) => {
    // Nothing rather than the last value, which would look as if all were well.
    if (value === undefined) one.remove();
    else one.set(value);
  };

  return {
    follow({ upkeep, connections: measure }: Storage) {
      refreshes = [
        read(
          "ready_tasks",
          () => upkeep.countReadyTasks(["pending"], completeStatuses),
          (count) => set(ready, count),
        ),
        read("webhook_queue", upkeep.measureDeliveries, (queue) => {
          set(pending, queue?.pending);
          set(oldest, queue?.oldestSeconds);
          set(overdue, queue?.overdueSeconds);
        }),
        read("migration", upkeep.findMigrationHead, (migration) => {
          head.reset();
          if (migration != null) head.set({ migration }, 1);
        }),
        async () => {
          const now = measure();
          set(connectionsMax, now?.max);
          set(waiting, now?.waiting);
          if (now === null) return;
          connections.set({ state: "used" }, now.used);
          connections.set({ state: "idle" }, now.idle);
        },
      ];
    },
    async refresh() {
      await Promise.all(refreshes.map((refresh) => refresh()));
    },
  };
}

import { AsyncResource } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { acquireTimeoutMs, Client, type PostgresOptions } from "./client.ts";
import { type Db, sql } from "./sql.ts";

/** How processes tell each other that a project's log went on. */
export interface Signals {
  /** Events of these projects are committed: wakes who watches them here, and soon in every other process. */
  announce(projectIds: Iterable<string>): void;
  /** As Storage.watch. */
  watch(projectId: string, wake: () => void): () => void;
  close(): Promise<void>;
}

interface Watched {
  wakes: Set<() => void>;
  /** The log's end at the last look; undefined before the first one. */
  last: string | null | undefined;
}

const channel = "task_master_pro_events";
/** At most so often does a process notify the others, however much it writes. */
const spacingMs = 20;
/** How long a notification that was lost goes unnoticed. */
const lookMs = 5_000;

/**
 * Notifications are sent behind the commit and not in it: a transaction with a NOTIFY takes a lock on the whole
 * database while it commits, so that writers who each wait for their own flush to disk would do it one after another
 * (docs/events.md has figures). What is lost that way, because a process dies between the two, the look finds: it asks
 * for the log's end every few seconds, on the connection that listens, and so finds a broken one out as well.
 */
export function createSignals(options: PostgresOptions, db: Db): Signals {
  /** Who sends: what a process has told itself already need not wake it again. */
  const self = randomUUID();
  const watched = new Map<string, Watched>();
  const pending = new Set<string>();
  const stop = new AbortController();
  let telling: Promise<void> | undefined;
  let listening: Promise<void> | undefined;

  const pause = async (ms: number) => await sleep(ms, undefined, { signal: stop.signal }).catch(() => {});
  const wake = (projectId: string) => {
    for (const one of watched.get(projectId)?.wakes ?? []) one();
  };

  /** On nobody's behalf: it goes on when the request that began it is over, and for those of others. */
  const tell = AsyncResource.bind(async (): Promise<void> => {
    while (pending.size > 0) {
      const payloads = JSON.stringify([...pending].map((projectId) => `${self} ${projectId}`));
      pending.clear();
      // A notification is not worth a flush to disk. One that fails is what the look is for.
      await db
        .execute(sql`
          SELECT set_config('synchronous_commit', 'off', true), pg_notify(${channel}, payload)
          FROM json_array_elements_text(${payloads}::json) AS payload`)
        .catch(() => {});
      await pause(spacingMs);
    }
    telling = undefined;
  });

  async function look(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ id: string; last: string | null; waiting: boolean }>({
      name: "look",
      text: `SELECT w.id, p.event_sequence::text AS last, EXISTS (SELECT 1 FROM events e
               WHERE e.organization_id = p.organization_id AND e.project_id = p.id AND e.sequence IS NULL) AS waiting
             FROM unnest($1::uuid[]) AS w(id) LEFT JOIN projects p ON p.id = w.id`,
      values: [[...watched.keys()]],
    });
    for (const { id, last, waiting } of rows) {
      const one = watched.get(id);
      if (one === undefined || (one.last === last && !waiting)) continue;
      one.last = last;
      wake(id);
    }
  }

  /** Until the connection breaks, or the storage is closed. */
  async function listen(): Promise<void> {
    const client = new Client({
      connectionString: options.connectionString,
      application_name: "task-master-pro events",
      query_timeout: acquireTimeoutMs,
      keepAlive: true,
    });
    const lost = new AbortController();
    client.on("error", () => lost.abort());
    client.on("end", () => lost.abort());
    client.on("notification", ({ payload = "" }) => {
      const [sender, projectId = ""] = payload.split(" ");
      if (sender !== self) wake(projectId);
    });
    const ended = AbortSignal.any([lost.signal, stop.signal]);
    try {
      await client.connect();
      await client.query(`LISTEN ${channel}`);
      // Whatever was said while nobody listened.
      for (const projectId of watched.keys()) wake(projectId);
      while (!ended.aborted) {
        await look(client);
        await sleep(lookMs, undefined, { signal: ended }).catch(() => {});
      }
    } finally {
      // A connection that is dead without knowing it would never end.
      await Promise.race([client.end().catch(() => {}), sleep(1_000, undefined, { ref: false })]);
    }
  }

  async function keepListening(): Promise<void> {
    for (let failures = 0; !stop.signal.aborted; ) {
      const begun = performance.now();
      await listen().catch(() => {});
      failures = performance.now() - begun > lookMs ? 0 : failures + 1;
      // Apart by chance, or every process would come back to a database that has just started at the same moment.
      if (failures > 0) await pause(Math.min(50 * 2 ** failures, lookMs) * (0.5 + Math.random()));
    }
  }

  return {
    announce(projectIds) {
      for (const projectId of projectIds) {
        wake(projectId);
        pending.add(projectId);
      }
      if (pending.size > 0) telling ??= tell();
    },
    watch(projectId, callback) {
      listening ??= keepListening();
      const one = watched.get(projectId) ?? { wakes: new Set(), last: undefined };
      watched.set(projectId, one);
      one.wakes.add(callback);
      return () => {
        one.wakes.delete(callback);
        if (one.wakes.size === 0) watched.delete(projectId);
      };
    },
    async close() {
      stop.abort();
      await Promise.all([telling, listening]);
    },
  };
}

import { AppError, notFound } from "../errors.ts";
import type { Storage } from "../storage.ts";
import type { Event } from "./schema.ts";

/** The end of one project's log, read once for all who follow it. */
export interface Tail {
  /**
   * The events right behind `after`, at least one and at most a page; waits until there are some. Rejects with the
   * signal's reason, or when the log is over: not_found once the project is gone, conflict when the log was set back.
   */
  next(after: number, signal: AbortSignal): Promise<Event[]>;
  /** Counts one more who follows; the returned function takes it away, and the last one's closes the tail. */
  join(): () => void;
}

export interface TailOptions {
  storage: Storage;
  organizationId: string;
  project: { id: string; key: string };
  /** The sequence that it begins behind. */
  last: number;
  /** Called once, when nobody follows any more or the log is over. */
  closed: () => void;
}

/** A page and the ring are bounded by their events and, in characters of JSON, by their size. */
const pageEvents = 64;
const pageSize = 262_144;
const ringEvents = 256;
const ringSize = 1_048_576;
/** However fast somebody writes, the log is read at most so often; a full page is followed by the next one at once. */
const spacingMs = 20;
const retryMs = 1_000;

/**
 * Reads on only when somebody waits at the end, so that nothing piles up for those who do not read. The last events are
 * kept for those who are a little behind; whoever is further behind reads the log alone. Once all wait, none is kept.
 */
export function openTail({ storage, organizationId, project, last, closed }: TailOptions): Tail {
  const { events } = storage.reader(organizationId);
  const waiters = new Set<() => void>();
  let ring: Event[] = [];
  let sizes: number[] = [];
  let head = last;
  let followers = 0;
  /** Whether there may be events that were not read yet. */
  let stale = true;
  let reading = false;
  let over: unknown;

  const unwatch = storage.watch(project.id, () => {
    stale = true;
    readOn();
  });

  function readOn(): void {
    if (!stale || reading || waiters.size === 0 || over !== undefined) return;
    stale = false;
    reading = true;
    void readPage()
      .catch(failed)
      .then((pauseMs) => (pauseMs === 0 ? undefined : sleep(pauseMs)))
      .then(() => {
        reading = false;
        readOn();
      });
  }

  /** How long to wait before the next one, in milliseconds. */
  async function readPage(): Promise<number> {
    await storage.transaction(organizationId, (tx) => tx.events.sequence(project.id));
    const end = await events.last(project.id);
    if (end === undefined) {
      finish(notFound("project", project.key));
    } else if (end < head) {
      const detail = `The log of ${project.key} ends at ${end}, before ${head}: it was set back, as by a restore. Ask again.`;
      finish(new AppError("conflict", detail));
      forget();
      head = 0;
    } else if (end > head) {
      for (const event of await events.list(project.id, head, pageEvents, pageSize)) keep(event);
      stale ||= head < end;
      wakeAll();
    }
    return head < (end ?? 0) ? 0 : spacingMs;
  }

  /** A storage that is away comes back; anything else would only go wrong again. */
  function failed(error: unknown): number {
    if (error instanceof AppError && error.code === "unavailable") stale = true;
    else finish(error);
    return retryMs;
  }

  function keep(event: Event): void {
    head = event.sequence;
    ring.push(event);
    sizes.push(JSON.stringify(event).length);
    let size = sizes.reduce((sum, one) => sum + one, 0);
    while (ring.length > 1 && (ring.length > ringEvents || size > ringSize)) {
      ring.shift();
      size -= sizes.shift() ?? 0;
    }
  }

  function forget(): void {
    ring = [];
    sizes = [];
  }

  function wakeAll(): void {
    const all = [...waiters];
    waiters.clear();
    for (const wake of all) wake();
  }

  function finish(reason: unknown): void {
    if (over !== undefined) return;
    over = reason;
    unwatch();
    closed();
    wakeAll();
  }

  function wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        waiters.delete(wake);
        resolve();
      };
      signal.addEventListener("abort", wake);
      waiters.add(wake);
      if (waiters.size === followers) forget();
      readOn();
    });
  }

  return {
    async next(after, signal) {
      for (;;) {
        signal.throwIfAborted();
        if (after < head) {
          const place = ring.length - (head - after);
          const page =
            place < 0
              ? await events.list(project.id, after, pageEvents, pageSize)
              : ring.slice(place, place + pageEvents);
          if (page.length > 0) return page;
        }
        if (over !== undefined) throw over;
        // Somebody else has read further than the tail, or what it has read is no longer there.
        if (after !== head) stale = true;
        await wait(signal);
      }
    },
    join() {
      followers += 1;
      return () => {
        followers -= 1;
        if (followers === 0) finish(new AppError("unavailable", "Nobody follows any more."));
      };
    },
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

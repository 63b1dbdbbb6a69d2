import { createSupervision, type Follower } from "../access/supervision.ts";
import type { Services } from "../change.ts";
import { getProject } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { Event } from "./schema.ts";
import { openTail, type Tail } from "./tail.ts";

export interface FollowOptions {
  /** The last sequence that the caller has; without it, only what comes from now on. */
  after?: number | undefined;
  /** Ends it. Whoever follows has to abort it in the end, also when `next` has rejected. */
  signal: AbortSignal;
}

/** A place in a project's log, with what comes behind it as it comes. */
export interface Following {
  /** The sequence that it begins behind: `after`, or the log's end. */
  from: number;
  /** Whether `after` lies ahead of the log, which was then set back, as by a restore: it begins at the log's end. */
  reset: boolean;
  /**
   * The events right behind `after`, in sequence and without gaps, at least one and at most 64; waits until there are
   * some. So nothing is read ahead of the caller, who keeps its own place. Rejects with the signal's reason, or with why
   * it is over: unauthenticated or forbidden within a second of the credential's end, not_found once the project is gone,
   * conflict when the log was set back meanwhile.
   */
  next(after: number): Promise<Event[]>;
}

/** Following costs one statement an event and process, however many follow, and one each half second for all of them. */
export function createFollow({ storage }: Pick<Services, "storage">) {
  const supervision = createSupervision(storage);
  const tails = new Map<string, Tail>();

  function tailOf(organizationId: string, project: { id: string; key: string }, last: number): Tail {
    const known = tails.get(project.id);
    if (known !== undefined) return known;
    const closed = () => void tails.delete(project.id);
    const tail = openTail({ storage, organizationId, project, last, closed });
    tails.set(project.id, tail);
    return tail;
  }

  return async (who: Follower, key: string, { after, signal }: FollowOptions): Promise<Following> => {
    authorize(who, "project:read");
    const reader = storage.reader(who.organizationId);
    const project = await getProject(reader, key);
    let last = (await reader.events.last(project.id)) ?? 0;
    if (after === undefined || after > last) {
      // What happened before now must not pass for new only because nobody has asked for it yet.
      await storage.transaction(who.organizationId, (tx) => tx.events.sequence(project.id));
      last = (await reader.events.last(project.id)) ?? 0;
    }
    signal.throwIfAborted();

    const reset = after !== undefined && after > last;
    const tail = tailOf(who.organizationId, project, last);
    const leave = tail.join();
    const ended = new AbortController();
    const release = supervision.add(who, "project:read", (why) => ended.abort(why));
    signal.addEventListener(
      "abort",
      () => {
        ended.abort(signal.reason);
        release();
        leave();
      },
      { once: true },
    );
    return {
      from: reset ? last : (after ?? last),
      reset,
      next: (behind) => tail.next(behind, ended.signal),
    };
  };
}

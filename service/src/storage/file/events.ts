import type { AuditEntry, Event } from "../../core/events/schema.ts";
import type { EventStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { type EventRow, pair, type Reading, timestamp } from "./model.ts";
import { eventDraft } from "./rows.ts";

function shared({ type, taskId, actor, requestId, data, createdAt }: EventRow): Omit<Event, "sequence"> {
  return { type, task: taskId, actor, requestId, data, createdAt };
}

/** Sequences have no gaps, so it is how many there are. */
export function lastOf(rows: Reading, projectId: string): number {
  return rows.events.where("project", projectId).length;
}

/** A transaction does not see its own events: they get their ids and sequences when it commits. */
export function createEventStore(db: Db, organizationId: string): EventStore {
  const newestFirst = (rows: Reading, index: "organization" | "task", key: string): EventRow[] =>
    rows.events
      .where(index, key)
      .filter((event) => event.organizationId === organizationId)
      .sort((a, b) => Number(b.id) - Number(a.id));

  return {
    append: async (events) => {
      if (events.length === 0) return;
      await db.write((tx) => {
        for (const event of events) tx.append(eventDraft(organizationId, event, timestamp()));
      });
    },

    // Given at the commit already.
    sequence: async () => {},

    list: async (projectId, after, limit, size = Number.POSITIVE_INFINITY) =>
      await db.read((rows) => {
        const events: Event[] = [];
        let left = size;
        for (let sequence = after + 1; events.length < limit; sequence += 1) {
          const [event] = rows.events.where("sequence", pair(projectId, sequence));
          if (event?.organizationId !== organizationId) break;
          if (size !== Number.POSITIVE_INFINITY) left -= JSON.stringify(event.data).length;
          if (left < 0 && events.length > 0) break;
          events.push({ sequence, ...shared(event) });
        }
        return events;
      }),

    last: async (projectId) =>
      await db.read((rows) =>
        rows.projects.get(projectId)?.organizationId === organizationId ? lastOf(rows, projectId) : undefined,
      ),

    audit: async (filter, { limit, after }) =>
      await db.read((rows) => {
        const { type, actorId, taskId } = filter;
        const events =
          taskId === undefined
            ? newestFirst(rows, "organization", organizationId)
            : newestFirst(rows, "task", taskId);
        return events
          .filter((event) => type === undefined || event.type === type)
          .filter((event) => actorId === undefined || event.actor.id === actorId)
          .filter((event) => after === undefined || Number(event.id) < Number(after[0]))
          .slice(0, limit + 1)
          .map((event): AuditEntry => ({ id: event.id, project: event.projectId, ...shared(event) }));
      }),

    since: async (taskId, instant) =>
      await db.read((rows) =>
        newestFirst(rows, "task", taskId)
          .filter(({ createdAt }) => createdAt > timestamp(instant))
          .map(({ type, data }) => ({ type, data })),
      ),
  };
}

import type { AuditEntry, Event, EventType } from "../../core/events/schema.ts";
import type { JsonObject } from "../../core/schema.ts";
import type { EventStore, NewEvent } from "../../core/storage.ts";
import { fanOut } from "./deliveries.ts";
import { and, type Db, first, iso, records, sql } from "./sql.ts";

const shared = sql`e.type, e.task_id AS task,
  json_build_object('kind', e.actor_kind, 'id', e.actor_id, 'name', e.actor_name) AS actor,
  e.request_id AS "requestId", e.data, ${iso("e.created_at")} AS "createdAt"`;

/** `appended` hears of the projects that got events, which may yet be undone with the transaction. */
export function createEventStore(
  db: Db,
  organizationId: string,
  appended: (projectIds: string[]) => void,
): EventStore {
  const own = sql`e.organization_id = ${organizationId}::uuid`;

  return {
    async append(events, trace) {
      await appendEvents(db, organizationId, events, trace);
      appended(events.flatMap(({ projectId }) => projectId ?? []));
    },

    async sequence(projectId) {
      const waiting = await db.query(sql`
        SELECT id FROM events e
        WHERE ${own} AND project_id = ${projectId}::uuid AND sequence IS NULL LIMIT 1`);
      if (waiting.length === 0) return;
      await db.query(sql`
        SELECT id FROM projects
        WHERE id = ${projectId}::uuid AND organization_id = ${organizationId}::uuid FOR NO KEY UPDATE`);
      // Behind the lock and by a statement of its own, so that it sees what the lock's last holder numbered.
      await db.execute(sql`
        WITH waiting AS (
          SELECT id, row_number() OVER (ORDER BY id) AS place FROM events e
          WHERE ${own} AND project_id = ${projectId}::uuid AND sequence IS NULL
        ), raised AS (
          UPDATE projects SET event_sequence = event_sequence + (SELECT count(*) FROM waiting)
          WHERE id = ${projectId}::uuid AND organization_id = ${organizationId}::uuid
          RETURNING event_sequence - (SELECT count(*) FROM waiting) AS before
        )
        UPDATE events SET sequence = raised.before + waiting.place
        FROM waiting, raised WHERE events.id = waiting.id`);
    },

    async list(projectId, after, limit, size) {
      const log = sql`${own} AND e.project_id = ${projectId}::uuid`;
      if (size === undefined) {
        return await db.query<Event>(sql`
          SELECT e.sequence::float8 AS sequence, ${shared} FROM events e
          WHERE ${log} AND e.sequence > ${after}::bigint ORDER BY e.sequence LIMIT ${limit}`);
      }
      // Step by step along the sequence, which has no gaps: a sum over a whole page would unpack what is then left out.
      return await db.query<Event>(sql`
        WITH RECURSIVE page AS (
          SELECT e.sequence, length(e.data::text)::bigint AS size, 1 AS place FROM events e
          WHERE ${log} AND e.sequence = ${after + 1}::bigint
          UNION ALL
          SELECT e.sequence, page.size + length(e.data::text), page.place + 1
          FROM page JOIN events e ON e.sequence = page.sequence + 1
          WHERE ${log} AND page.place < ${limit} AND page.size + length(e.data::text) <= ${size}::bigint
        )
        SELECT e.sequence::float8 AS sequence, ${shared} FROM page JOIN events e ON e.sequence = page.sequence
        WHERE ${log} ORDER BY e.sequence`);
    },

    async last(projectId) {
      const rows = await db.query<{ last: number }>(sql`
        SELECT event_sequence::float8 AS last FROM projects
        WHERE id = ${projectId}::uuid AND organization_id = ${organizationId}::uuid`);
      return first(rows)?.last;
    },

    async audit(filter, { limit, after }) {
      const conditions = [own];
      if (filter.type !== undefined) conditions.push(sql`e.type = ${filter.type}`);
      if (filter.actorId !== undefined) conditions.push(sql`e.actor_id = ${filter.actorId}::uuid`);
      if (filter.taskId !== undefined) conditions.push(sql`e.task_id = ${filter.taskId}::uuid`);
      if (after !== undefined) conditions.push(sql`e.id < ${String(after[0])}::bigint`);
      return await db.query<AuditEntry>(sql`
        SELECT e.id::text AS id, e.project_id AS project, ${shared} FROM events e
        WHERE ${and(conditions)} ORDER BY e.id DESC LIMIT ${limit + 1}`);
    },

    async since(taskId, instant) {
      return await db.query<{ type: EventType; data: JsonObject }>(sql`
        SELECT e.type, e.data FROM events e
        WHERE ${own} AND e.task_id = ${taskId}::uuid AND e.created_at > ${instant.toISOString()}::timestamptz
        ORDER BY e.id DESC`);
    },
  };
}

/** Their ids, and so the order they are numbered in, follow the order given. Each goes to the webhooks that want it. */
export async function appendEvents(
  db: Db,
  organizationId: string,
  events: NewEvent[],
  trace?: string,
): Promise<void> {
  if (events.length === 0) return;
  const rows = events.map((event, place) => ({
    place,
    type: event.type,
    project_id: event.projectId,
    task_id: event.taskId,
    actor_id: event.actor.id,
    actor_kind: event.actor.kind,
    actor_name: event.actor.name,
    request_id: event.requestId,
    data: event.data,
  }));
  await db.send(sql`
    WITH e AS (
      INSERT INTO events (organization_id, project_id, type, task_id, actor_id, actor_kind, actor_name, request_id, data)
      SELECT ${organizationId}::uuid, x.project_id, x.type, x.task_id, x.actor_id, x.actor_kind, x.actor_name,
        x.request_id, x.data
      FROM json_to_recordset(${records(rows)}::json) AS x(place int, type text, project_id uuid, task_id uuid,
        actor_id uuid, actor_kind text, actor_name text, request_id text, data jsonb)
      ORDER BY x.place
      RETURNING *
    )
    ${fanOut(organizationId, trace)}`);
}

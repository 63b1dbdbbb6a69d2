import { notFound } from "../../core/errors.ts";
import type { ClaimedDelivery, DeliveryStore, Upkeep } from "../../core/storage.ts";
import type { Delivery } from "../../core/webhooks/schema.ts";
import { type Db, first, iso, json, records, type Sql, sql } from "./sql.ts";
import { localId } from "./tasks.ts";

const columns = sql`d.id, d.webhook_id AS webhook, d.event_id::text AS event, d.type, d.state, d.attempts,
  d.response_status AS "responseStatus", d.duration_ms AS "durationMs", d.error,
  ${iso("d.next_attempt_at")} AS "nextAttemptAt", ${iso("d.last_attempt_at")} AS "lastAttemptAt",
  ${iso("d.created_at")} AS "createdAt"`;
const afresh = sql`state = 'pending', attempts = 0, fence = fence + 1, next_attempt_at = clock_timestamp(),
  ended_at = NULL`;

/** As many as one statement can change in a moment; the oldest first. */
const some = (webhookId: string, state: "pending" | "dead") => sql`
  SELECT id FROM deliveries WHERE webhook_id = ${webhookId}::uuid AND state = ${state} ORDER BY id LIMIT 10000`;

export function createDeliveryStore(db: Db, organizationId: string): DeliveryStore {
  const own = sql`d.organization_id = ${organizationId}::uuid`;

  return {
    async list(webhookId, state, { limit, after }) {
      return await db.query<Delivery>(sql`
        SELECT ${columns} FROM deliveries d
        WHERE ${own} AND d.webhook_id = ${webhookId}::uuid
          ${state === undefined ? sql`` : sql`AND d.state = ${state}`}
          ${after === undefined ? sql`` : sql`AND d.id < ${after[0]}::uuid`}
        ORDER BY d.id DESC LIMIT ${limit + 1}`);
    },

    async find(id) {
      return first(
        await db.query<Delivery>(
          sql`SELECT ${columns} FROM deliveries d WHERE ${own} AND d.id = ${id}::uuid`,
        ),
      );
    },

    async insert({ id, webhookId, type, data }) {
      const rows = await db.query<Delivery>(sql`
        INSERT INTO deliveries AS d (id, organization_id, webhook_id, type, data, next_attempt_at, created_at)
        SELECT ${id}::uuid, w.organization_id, w.id, ${type}, ${json(data)}::jsonb, clock_timestamp(), clock_timestamp()
        FROM webhooks w WHERE w.id = ${webhookId}::uuid AND w.organization_id = ${organizationId}::uuid
        RETURNING ${columns}`);
      const delivery = first(rows);
      if (delivery === undefined) throw notFound("webhook", webhookId);
      return delivery;
    },

    async replay(id) {
      const rows = await db.query<Delivery>(sql`
        UPDATE deliveries d SET ${afresh} WHERE ${own} AND d.id = ${id}::uuid AND d.state <> 'pending'
        RETURNING ${columns}`);
      return first(rows);
    },

    async replayDead(webhookId) {
      return await db.execute(sql`
        UPDATE deliveries d SET ${afresh} WHERE ${own} AND d.id IN (${some(webhookId, "dead")})`);
    },

    async giveUp(webhookId, error) {
      await db.execute(sql`
        UPDATE deliveries d SET state = 'dead', error = ${error}, next_attempt_at = NULL, ended_at = clock_timestamp()
        WHERE ${own} AND d.id IN (${some(webhookId, "pending")})`);
    },

    async settle({ id, fence, responseStatus, durationMs, error, retryInSeconds }) {
      // One that was given up while it was under way stays so, unless it has arrived after all.
      const state = sql`CASE WHEN ${error}::text IS NULL THEN 'delivered'
        WHEN ${retryInSeconds}::float8 IS NULL OR d.state = 'dead' THEN 'dead' ELSE 'pending' END`;
      const touched = await db.execute(sql`
        UPDATE deliveries d SET state = ${state}, response_status = ${responseStatus}::int,
          duration_ms = ${durationMs}::int, error = ${error}::text,
          next_attempt_at = CASE WHEN ${state} = 'pending'
            THEN clock_timestamp() + make_interval(secs => ${retryInSeconds}::float8) END,
          ended_at = CASE WHEN ${state} <> 'pending' THEN clock_timestamp() END
        WHERE ${own} AND d.id = ${id}::uuid AND d.fence = ${fence}::int AND d.state <> 'delivered'`);
      return touched > 0;
    },

    async release(id, fence, seconds) {
      await db.execute(sql`
        UPDATE deliveries d SET attempts = attempts - 1,
          next_attempt_at = clock_timestamp() + make_interval(secs => ${seconds}::float8)
        WHERE ${own} AND d.id = ${id}::uuid AND d.fence = ${fence}::int AND d.state = 'pending'`);
    },
  };
}

/** By the time and then by chance, as UUIDv7 (RFC 9562), which PostgreSQL makes by itself only from 18 on. */
const newId = sql`encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
  PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
  52, 1), 53, 1), 'hex')::uuid`;

/** The most bytes of an event's data that are sent along. */
const maximumDataBytes = 16_384;

/**
 * A delivery for each of the rows `e`, which are events, and each webhook that wants it, with what there is to say as it is
 * now: in the statement that writes the events, so that neither is without the other. The webhooks are locked against
 * deletion, or an innocent change would fail on the foreign key of one that is deleted meanwhile. The trace lies with the
 * data, and is taken out again before that is sent.
 */
export const fanOut = (organizationId: string, trace: string | undefined): Sql => sql`
  INSERT INTO deliveries (id, organization_id, webhook_id, event_id, type, data, next_attempt_at, created_at)
  SELECT ${newId}, e.organization_id, w.id, e.id, e.type,
    jsonb_build_object('id', e.id::text, 'organization', e.organization_id,
      'project', (SELECT p.key FROM projects p WHERE p.id = e.project_id),
      'task', CASE WHEN e.task_id IS NOT NULL THEN COALESCE(
        (SELECT json_build_object('id', t.id, 'tag', g.name, 'localId', ${localId("t")}, 'title', t.title,
           'status', t.status, 'priority', t.priority, 'version', t.version)
         FROM tasks t JOIN tags g ON g.id = t.tag_id LEFT JOIN tasks t_parent ON t_parent.id = t.parent_id
         WHERE t.id = e.task_id),
        json_build_object('id', e.task_id)) END,
      'actor', json_build_object('kind', e.actor_kind, 'id', e.actor_id, 'name', e.actor_name),
      'requestId', e.request_id,
      'data', CASE WHEN octet_length(e.data::text) <= ${maximumDataBytes}::int THEN e.data
        ELSE jsonb_strip_nulls(jsonb_build_object('truncated', true, 'fields', (
          SELECT jsonb_agg(field) FROM jsonb_object_keys(
            CASE WHEN jsonb_typeof(e.data -> 'changes') = 'object' THEN e.data -> 'changes' ELSE '{}' END) AS field)))
        END) || jsonb_strip_nulls(jsonb_build_object('trace', ${trace ?? null}::text)),
    clock_timestamp(), e.created_at
  FROM e CROSS JOIN webhooks w
  WHERE w.organization_id = ${organizationId}::uuid AND w.disabled_at IS NULL AND (w.project_id IS NULL OR w.project_id = e.project_id)
    AND w.events && ARRAY[e.type, split_part(e.type, '.', 1) || '.*', '*']
    -- Not of itself: its making and its changes are known to whoever reads it.
    AND e.data ->> 'webhook' IS DISTINCT FROM w.id::text
  ORDER BY e.id FOR KEY SHARE OF w`;

/**
 * When a claim was asked for: the statement's time, since the clock's could not be looked for in an index, and to the
 * millisecond as the column keeps it, or what is due at once would be due half a millisecond later.
 */
const now = sql`statement_timestamp()::timestamptz(3)`;

export function createDeliveryQueue(db: Db): Pick<Upkeep, "claimDeliveries" | "deleteDeliveries"> {
  return {
    async claimDeliveries({ limit, perWebhook, underWay, leaseSeconds }) {
      // Jumping from webhook to webhook costs by their number and not by the backlog of one. What another process has
      // taken between the reading and the locking is passed over, or no longer due.
      return await db.query<ClaimedDelivery>(sql`
        WITH RECURSIVE waiting AS (
          (SELECT webhook_id FROM deliveries WHERE state = 'pending' ORDER BY webhook_id LIMIT 1)
          UNION ALL
          SELECT (SELECT n.webhook_id FROM deliveries n WHERE n.state = 'pending' AND n.webhook_id > waiting.webhook_id
            ORDER BY n.webhook_id LIMIT 1)
          FROM waiting WHERE waiting.webhook_id IS NOT NULL
        ), due AS (
          SELECT one.id FROM waiting
          JOIN webhooks w ON w.id = waiting.webhook_id AND w.disabled_at IS NULL
          LEFT JOIN json_to_recordset(${records(underWay)}::json) AS busy(webhook uuid, count int) ON busy.webhook = w.id
          CROSS JOIN LATERAL (
            SELECT n.id, n.next_attempt_at FROM deliveries n
            WHERE n.webhook_id = w.id AND n.state = 'pending' AND n.next_attempt_at <= ${now}
            ORDER BY n.next_attempt_at, n.id
            LIMIT GREATEST(0, CASE WHEN w.failing_since IS NULL THEN ${perWebhook}::int ELSE 1 END
              - COALESCE(busy.count, 0))
          ) one
          ORDER BY one.next_attempt_at LIMIT ${limit}
        ), locked AS (
          SELECT n.id FROM deliveries n
          WHERE n.id IN (SELECT id FROM due) AND n.state = 'pending' AND n.next_attempt_at <= ${now}
          FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries d SET attempts = attempts + 1, fence = fence + 1, last_attempt_at = clock_timestamp(),
          next_attempt_at = clock_timestamp() + make_interval(secs => ${leaseSeconds}::int)
        FROM locked, webhooks w
        WHERE d.id = locked.id AND w.id = d.webhook_id
        RETURNING d.id, d.organization_id AS "organizationId", d.webhook_id AS "webhookId", d.type,
          d.data - 'trace' AS data, d.data ->> 'trace' AS trace,
          ${iso("d.created_at")} AS "createdAt", d.attempts, d.fence, w.url,
          array_remove(ARRAY[w.secret, CASE WHEN w.previous_secret_expires_at > clock_timestamp()
            THEN w.previous_secret END], NULL) AS secrets,
          floor(extract(epoch FROM clock_timestamp()))::float8 AS now`);
    },

    async deleteDeliveries(olderThanDays) {
      // In parts, so that no statement runs into its limit on a long log.
      return await db.execute(sql`
        DELETE FROM deliveries WHERE id IN (
          SELECT id FROM deliveries
          WHERE state = 'delivered' AND ended_at < now() - make_interval(days => ${olderThanDays}::int)
          ORDER BY ended_at LIMIT 10000)`);
    },
  };
}

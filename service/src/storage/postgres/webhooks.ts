import { notFound } from "../../core/errors.ts";
import type { WebhookStore } from "../../core/storage.ts";
import type { Webhook } from "../../core/webhooks/schema.ts";
import { assignments, type Db, first, iso, only, sql } from "./sql.ts";

const columns = sql`w.id, w.url, w.description, (SELECT p.key FROM projects p WHERE p.id = w.project_id) AS project,
  w.events, w.disabled_at IS NOT NULL AS disabled, w.disabled_reason AS "disabledReason",
  ${iso("w.previous_secret_expires_at")} AS "previousSecretExpiresAt", w.version,
  ${iso("w.created_at")} AS "createdAt", ${iso("w.updated_at")} AS "updatedAt"`;

export function createWebhookStore(db: Db, organizationId: string): WebhookStore {
  const is = (id: string) => sql`w.id = ${id}::uuid AND w.organization_id = ${organizationId}::uuid`;
  const changed = sql`version = version + 1, updated_at = clock_timestamp()`;

  return {
    async list({ limit, after }) {
      return await db.query<Webhook>(sql`
        SELECT ${columns} FROM webhooks w
        WHERE w.organization_id = ${organizationId}::uuid
          AND (${after?.[0] ?? null}::uuid IS NULL OR w.id > ${after?.[0] ?? null}::uuid)
        ORDER BY w.id LIMIT ${limit + 1}`);
    },

    async find(id) {
      return first(await db.query<Webhook>(sql`SELECT ${columns} FROM webhooks w WHERE ${is(id)}`));
    },

    async count() {
      const rows = await db.query<{ count: number }>(sql`
        SELECT count(*)::int AS count FROM webhooks WHERE organization_id = ${organizationId}::uuid`);
      return only(rows).count;
    },

    async insert({ id, projectId, url, description, events, secret }) {
      const rows = await db.query<Webhook>(sql`
        INSERT INTO webhooks AS w (id, organization_id, project_id, url, description, events, secret)
        SELECT ${id}::uuid, ${organizationId}::uuid, ${projectId}::uuid, ${url}, ${description}, ${events}::text[], ${secret}
        WHERE ${projectId}::uuid IS NULL OR EXISTS (
          SELECT FROM projects WHERE id = ${projectId}::uuid AND organization_id = ${organizationId}::uuid)
        RETURNING ${columns}`);
      const webhook = first(rows);
      if (webhook === undefined) throw notFound("project", projectId ?? "");
      return webhook;
    },

    async update(id, { url, description, events, disabled }, version) {
      const rows = await db.query<Webhook>(sql`
        UPDATE webhooks w SET
          ${assignments([
            url !== undefined && sql`url = ${url}`,
            description !== undefined && sql`description = ${description}`,
            events !== undefined && sql`events = ${events}::text[]`,
            disabled === true &&
              sql`disabled_at = COALESCE(disabled_at, clock_timestamp()),
                disabled_reason = COALESCE(disabled_reason, 'requested')`,
            disabled === false && sql`disabled_at = NULL, disabled_reason = NULL, failing_since = NULL`,
          ])}
          ${changed}
        WHERE ${is(id)} AND version = ${version}
        RETURNING ${columns}`);
      return first(rows);
    },

    async delete(id, version) {
      return (await db.execute(sql`DELETE FROM webhooks w WHERE ${is(id)} AND version = ${version}`)) > 0;
    },

    async rotate(id, secret, overlapHours) {
      const rows = await db.query<Webhook>(sql`
        UPDATE webhooks w SET previous_secret = secret, secret = ${secret},
          previous_secret_expires_at = clock_timestamp() + make_interval(hours => ${overlapHours}::int), ${changed}
        WHERE ${is(id)}
        RETURNING ${columns}`);
      return first(rows);
    },

    async succeeded(id) {
      await db.execute(
        sql`UPDATE webhooks w SET failing_since = NULL WHERE ${is(id)} AND failing_since IS NOT NULL`,
      );
    },

    async failed(id) {
      await db.execute(sql`
        UPDATE webhooks w SET failing_since = clock_timestamp() WHERE ${is(id)} AND failing_since IS NULL`);
      const rows = await db.query<{ hours: number }>(sql`
        SELECT COALESCE(extract(epoch FROM clock_timestamp() - w.failing_since) / 3600, 0)::float8 AS hours
        FROM webhooks w WHERE ${is(id)}`);
      return first(rows)?.hours;
    },

    async disable(id, reason) {
      const touched = await db.execute(sql`
        UPDATE webhooks w SET disabled_at = clock_timestamp(), disabled_reason = ${reason}, ${changed}
        WHERE ${is(id)} AND disabled_at IS NULL`);
      return touched > 0;
    },
  };
}

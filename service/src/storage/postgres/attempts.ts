import type { Attempt } from "../../core/attempts/schema.ts";
import { notFound } from "../../core/errors.ts";
import type { AttemptStore } from "../../core/storage.ts";
import { type Db, first, iso, sql } from "./sql.ts";

const columns = sql`a.id, a.task_id AS task, a.claim_id AS claim, a.number,
  json_build_object('kind', a.holder_kind, 'id', a.holder_id, 'name', a.holder_name) AS holder,
  a.outcome, a.note, ${iso("a.started_at")} AS "startedAt", ${iso("a.ended_at")} AS "endedAt"`;

export function createAttemptStore(db: Db, organizationId: string): AttemptStore {
  return {
    async list(taskId, { limit, after }) {
      return await db.query<Attempt>(sql`
        SELECT ${columns} FROM attempts a
        WHERE a.organization_id = ${organizationId}::uuid AND a.task_id = ${taskId}::uuid
          AND a.number > ${after?.[0] ?? 0}::int
        ORDER BY a.number LIMIT ${limit + 1}`);
    },

    async insert({ id, claim, outcome, note }) {
      const made = await db.query<Attempt>(sql`
        INSERT INTO attempts AS a (id, organization_id, task_id, claim_id, number, holder_id, holder_kind, holder_name,
          outcome, note, started_at, ended_at)
        SELECT ${id}::uuid, c.organization_id, c.task_id, c.id,
          (SELECT COALESCE(max(number), 0) + 1 FROM attempts WHERE task_id = c.task_id),
          c.holder_id, c.holder_kind, c.holder_name, ${outcome}, ${note}, c.created_at,
          COALESCE(c.ended_at, clock_timestamp())
        FROM claims c WHERE c.id = ${claim.id}::uuid AND c.organization_id = ${organizationId}::uuid
        RETURNING ${columns}`);
      const attempt = first(made);
      if (attempt === undefined) throw notFound("claim", claim.id);
      return attempt;
    },
  };
}

import { AppError, notFound } from "../../core/errors.ts";
import type { ClaimRecord, ClaimStore } from "../../core/storage.ts";
import { candidates } from "./candidates.ts";
import { type Db, empty, first, iso, present, type Sql, sql } from "./sql.ts";
import { localId } from "./tasks.ts";

const columns = sql`c.id, c.task_id AS task, p.key AS project, g.name AS tag, ${localId("t")} AS "localId",
  json_build_object('kind', c.holder_kind, 'id', c.holder_id, 'name', c.holder_name) AS holder,
  c.fence::float8 AS fence, c.ttl_seconds AS "ttlSeconds", c.previous_status AS "previousStatus",
  ${iso("c.expires_at")} AS "expiresAt", c.outcome, ${iso("c.created_at")} AS "createdAt",
  ${iso("c.ended_at")} AS "endedAt", t.project_id AS "projectId", t.tag_id AS "tagId",
  c.expires_at <= clock_timestamp() AS expired`;
const source = sql`claims c JOIN tasks t ON t.id = c.task_id LEFT JOIN tasks t_parent ON t_parent.id = t.parent_id
  JOIN tags g ON g.id = t.tag_id JOIN projects p ON p.id = t.project_id`;

export function createClaimStore(db: Db, organizationId: string): ClaimStore {
  const own = sql`c.organization_id = ${organizationId}::uuid`;

  const found = (id: string): Sql =>
    sql`SELECT ${columns} FROM ${source} WHERE ${own} AND c.id = ${id}::uuid`;

  const find = async (id: string): Promise<ClaimRecord | undefined> =>
    first(await db.query<ClaimRecord>(found(id)));

  /** Changes a claim whose task the caller has locked, so that it is gone only if its task was deleted. */
  const write = async (id: string, change: Sql, untouched: () => AppError): Promise<ClaimRecord> => {
    const { touched, rows } = await db.executeAndQuery<ClaimRecord>(change, found(id));
    if (touched === 0) throw untouched();
    return present(first(rows));
  };

  const root = (taskId: string): Sql => sql`
    SELECT COALESCE(parent_id, id) AS root FROM tasks
    WHERE id = ${taskId}::uuid AND organization_id = ${organizationId}::uuid`;

  const locked = (id: string, wait: boolean): Sql => sql`
    SELECT id FROM tasks WHERE id = ${id}::uuid AND organization_id = ${organizationId}::uuid
    FOR NO KEY UPDATE ${wait ? empty : sql`SKIP LOCKED`}`;

  const lockFamily = async (taskId: string, wait: boolean): Promise<boolean> => {
    let expected = first(await db.query<{ root: string }>(root(taskId)))?.root;
    while (expected !== undefined) {
      const lock = locked(expected, wait);
      const { touched, rows } = await db.executeAndQuery<{ root: string }>(lock, root(taskId));
      if (touched === 0 && !wait) return false;
      // While we waited the task may have become another's subtask, or its parent have gone without it.
      const now = first(rows)?.root;
      if (now === expected) return touched > 0;
      expected = now;
    }
    return false;
  };

  return {
    find,
    lockFamily,

    async lockCandidate(query) {
      return first(await db.query<{ id: string }>(candidates({ ...query, limit: 1 }, organizationId, true)))
        ?.id;
    },

    async findLocked(id) {
      const family = sql`
        SELECT COALESCE(t.parent_id, t.id) AS root FROM claims c JOIN tasks t ON t.id = c.task_id
        WHERE ${own} AND c.id = ${id}::uuid`;
      let expected = first(await db.query<{ root: string }>(family))?.root;
      while (expected !== undefined) {
        // One after another, and asked for at once.
        const [, roots, , claims] = await Promise.all([
          db.query(locked(expected, true)),
          db.query<{ root: string }>(family),
          db.query(sql`SELECT id FROM claims c WHERE ${own} AND id = ${id}::uuid FOR UPDATE`),
          db.query<ClaimRecord>(found(id)),
        ]);
        const now = first(roots)?.root;
        if (now === expected) return first(claims);
        expected = now;
      }
      return undefined;
    },

    async list(tagId, { limit, after }) {
      return await db.query<ClaimRecord>(sql`
        SELECT ${columns} FROM ${source}
        WHERE ${own} AND t.tag_id = ${tagId}::uuid AND c.live_task_id IS NOT NULL AND c.expires_at > clock_timestamp()
          AND (${after?.[0] ?? null}::uuid IS NULL OR c.id > ${after?.[0] ?? null}::uuid)
        ORDER BY c.id LIMIT ${limit + 1}`);
    },

    async findForeign(tagId, holderId) {
      await db.query(sql`
        SELECT count(*)::int FROM (
          SELECT id FROM tasks
          WHERE tag_id = ${tagId}::uuid AND organization_id = ${organizationId}::uuid AND parent_id IS NULL
          ORDER BY id FOR NO KEY UPDATE
        ) locked`);
      return first(
        await db.query<ClaimRecord>(sql`
          SELECT ${columns} FROM ${source}
          WHERE ${own} AND t.tag_id = ${tagId}::uuid AND c.live_task_id IS NOT NULL
            AND c.expires_at > clock_timestamp() AND c.holder_id <> ${holderId}::uuid
          ORDER BY c.id LIMIT 1`),
      );
    },

    async liveAround(taskId) {
      return await db.query<ClaimRecord>(sql`
        SELECT ${columns} FROM ${source}
        WHERE ${own} AND c.live_task_id = ANY(ARRAY(
          SELECT ${taskId}::uuid
          UNION ALL SELECT parent_id FROM tasks WHERE id = ${taskId}::uuid
          UNION ALL SELECT id FROM tasks WHERE parent_id = ${taskId}::uuid
        ))
        ORDER BY c.id`);
    },

    async insert({ id, task, holder, ttlSeconds, previousStatus }) {
      const change = sql`
        WITH raised AS (
          UPDATE tasks SET fence = fence + 1
          WHERE id = ${task.id}::uuid AND organization_id = ${organizationId}::uuid
          RETURNING id, organization_id, project_id, fence
        )
        INSERT INTO claims (id, organization_id, project_id, task_id, live_task_id, holder_id, holder_kind, holder_name,
          fence, ttl_seconds, previous_status, created_at, expires_at)
        SELECT ${id}::uuid, organization_id, project_id, id, id, ${holder.id}::uuid, ${holder.kind}, ${holder.name},
          fence, ${ttlSeconds}::int, ${previousStatus}, clock_timestamp(),
          clock_timestamp() + make_interval(secs => ${ttlSeconds}::int)
        FROM raised`;
      return await write(id, change, () => notFound("task", task.id));
    },

    async renew(id, ttlSeconds) {
      const change = sql`
        UPDATE claims c SET ttl_seconds = ${ttlSeconds}::int,
          expires_at = clock_timestamp() + make_interval(secs => ${ttlSeconds}::int)
        WHERE ${own} AND id = ${id}::uuid AND live_task_id IS NOT NULL`;
      return await write(id, change, ended);
    },

    async end(id, outcome) {
      const change = sql`
        UPDATE claims c SET live_task_id = NULL, outcome = ${outcome}, ended_at = clock_timestamp()
        WHERE ${own} AND id = ${id}::uuid AND live_task_id IS NOT NULL`;
      return await write(id, change, ended);
    },
  };
}

function ended(): AppError {
  return new AppError("claim_ended", "The claim has ended.");
}

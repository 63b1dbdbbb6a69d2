import { AppError, notFound } from "../../core/errors.ts";
import type { ClaimRecord, ClaimStore } from "../../core/storage.ts";
import { type Db, first, iso, sql } from "./sql.ts";
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

  const find = async (id: string): Promise<ClaimRecord | undefined> =>
    first(
      await db.query<ClaimRecord>(sql`SELECT ${columns} FROM ${source} WHERE ${own} AND c.id = ${id}::uuid`),
    );

  /** Of a claim that the caller has found and locked; so that it is gone only if its task was deleted. */
  const get = async (id: string): Promise<ClaimRecord> => {
    const claim = await find(id);
    if (claim === undefined) throw notFound("claim", id);
    return claim;
  };

  const rootOf = async (taskId: string): Promise<string | undefined> => {
    const rows = await db.query<{ root: string }>(sql`
      SELECT COALESCE(parent_id, id) AS root FROM tasks
      WHERE id = ${taskId}::uuid AND organization_id = ${organizationId}::uuid`);
    return first(rows)?.root;
  };

  const lockFamily = async (taskId: string, wait: boolean): Promise<boolean> => {
    let root = await rootOf(taskId);
    while (root !== undefined) {
      const locked = await db.query(sql`
        SELECT id FROM tasks WHERE id = ${root}::uuid AND organization_id = ${organizationId}::uuid
        FOR NO KEY UPDATE ${wait ? sql`` : sql`SKIP LOCKED`}`);
      if (locked.length === 0 && !wait) return false;
      // While we waited the task may have become another's subtask, or its parent have gone without it.
      const now = await rootOf(taskId);
      if (now === root) return locked.length > 0;
      root = now;
    }
    return false;
  };

  return {
    find,
    lockFamily,

    async findLocked(id) {
      const claim = await find(id);
      if (claim === undefined || !(await lockFamily(claim.task, true))) return undefined;
      await db.query(sql`SELECT id FROM claims c WHERE ${own} AND id = ${id}::uuid FOR UPDATE`);
      return await find(id);
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
        WHERE ${own} AND c.live_task_id IN (
          SELECT ${taskId}::uuid
          UNION ALL SELECT parent_id FROM tasks WHERE id = ${taskId}::uuid
          UNION ALL SELECT id FROM tasks WHERE parent_id = ${taskId}::uuid
        )
        ORDER BY c.id`);
    },

    async insert({ id, task, holder, ttlSeconds, previousStatus }) {
      const made = await db.execute(sql`
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
        FROM raised`);
      if (made === 0) throw notFound("task", task.id);
      return await get(id);
    },

    async renew(id, ttlSeconds) {
      const touched = await db.execute(sql`
        UPDATE claims c SET ttl_seconds = ${ttlSeconds}::int,
          expires_at = clock_timestamp() + make_interval(secs => ${ttlSeconds}::int)
        WHERE ${own} AND id = ${id}::uuid AND live_task_id IS NOT NULL`);
      if (touched === 0) throw new AppError("claim_ended", "The claim has ended.");
      return await get(id);
    },

    async end(id, outcome) {
      const touched = await db.execute(sql`
        UPDATE claims c SET live_task_id = NULL, outcome = ${outcome}, ended_at = clock_timestamp()
        WHERE ${own} AND id = ${id}::uuid AND live_task_id IS NOT NULL`);
      if (touched === 0) throw new AppError("claim_ended", "The claim has ended.");
      return await get(id);
    },
  };
}

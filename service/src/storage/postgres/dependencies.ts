import type { TaskSummary } from "../../core/dependencies/schema.ts";
import { AppError } from "../../core/errors.ts";
import type { DependencyRecord, DependencyStore, EdgeRecord } from "../../core/storage.ts";
import { orderTasks } from "./order.ts";
import { type Db, first, only, records, sql } from "./sql.ts";
import { localId, summary } from "./tasks.ts";

const columns = sql`d.id, d.tag_id AS "tagId", d.task_id AS "taskId", d.depends_on_id AS "dependsOnId", d.position,
  d.raw, d.problem, ${summary("t")} AS task`;
const source = sql`dependencies d JOIN tasks t ON t.id = d.task_id LEFT JOIN tasks t_parent ON t_parent.id = t.parent_id`;
const summaryColumns = sql`t.id, ${localId("t")} AS "localId", t.title, t.status`;

export function createDependencyStore(db: Db, organizationId: string): DependencyStore {
  const own = sql`d.organization_id = ${organizationId}::uuid`;

  return {
    async insert(edges) {
      if (edges.length === 0) return;
      const rows = edges.map((edge) => ({
        ...edge,
        tag_id: edge.tagId,
        task_id: edge.taskId,
        depends_on_id: edge.dependsOnId,
      }));
      const made = await db.query<{ tagId: string; ordered: boolean }>(sql`
        INSERT INTO dependencies (id, organization_id, tag_id, task_id, depends_on_id, position, raw, problem, ordered)
        SELECT x.id, t.organization_id, t.tag_id, t.id, x.depends_on_id, x.position, x.raw, x.problem,
          ${edges.length === 1}::boolean AND x.depends_on_id IS NOT NULL
            AND order_dependency(t.tag_id, t.id, x.depends_on_id)
        FROM json_to_recordset(${records(rows)}::json)
          AS x(id uuid, tag_id uuid, task_id uuid, depends_on_id uuid, position int, raw text, problem text)
        JOIN tasks t ON t.id = x.task_id AND t.tag_id = x.tag_id AND t.organization_id = ${organizationId}::uuid
        RETURNING tag_id AS "tagId", ordered`);
      if (made.length !== edges.length) throw new AppError("conflict", "A task of the dependency is gone.");
      // Those of an import wait for the first that is added by itself.
      const [edge] = made;
      if (edges.length === 1 && edges[0]?.dependsOnId && edge?.ordered === false) {
        await orderTasks(db, organizationId, edge.tagId);
      }
    },

    async delete(taskId, dependsOnId) {
      const touched = await db.execute(sql`
        DELETE FROM dependencies d
        WHERE ${own} AND task_id = ${taskId}::uuid AND depends_on_id = ${dependsOnId}::uuid`);
      return touched > 0;
    },

    async deleteById(ids) {
      await db.execute(sql`DELETE FROM dependencies d WHERE ${own} AND id = ANY(${ids}::uuid[])`);
    },

    async listAt(taskIds) {
      return await db.query<EdgeRecord>(sql`
        SELECT task_id AS "from", depends_on_id AS "to" FROM dependencies d
        WHERE ${own} AND depends_on_id IS NOT NULL
          AND (task_id = ANY(${taskIds}::uuid[]) OR depends_on_id = ANY(${taskIds}::uuid[]))
        ORDER BY task_id, position, id`);
    },

    async dependsOn(taskId) {
      return await db.query<TaskSummary>(sql`
        SELECT ${summaryColumns} FROM dependencies d
        JOIN tasks t ON t.id = d.depends_on_id LEFT JOIN tasks t_parent ON t_parent.id = t.parent_id
        WHERE ${own} AND d.task_id = ${taskId}::uuid ORDER BY d.position, d.id`);
    },

    async dependents(taskId) {
      return await db.query<TaskSummary>(sql`
        SELECT ${summaryColumns} FROM ${source}
        WHERE ${own} AND d.depends_on_id = ${taskId}::uuid ORDER BY t.rank, t.id`);
    },

    async listAll(tagId) {
      return await db.query<DependencyRecord>(sql`
        SELECT ${columns} FROM ${source}
        WHERE ${own} AND d.tag_id = ${tagId}::uuid ORDER BY d.task_id, d.position, d.id`);
    },

    async quarantined(where) {
      const place =
        "tagId" in where ? sql`d.tag_id = ${where.tagId}::uuid` : sql`d.task_id = ${where.taskId}::uuid`;
      return await db.query<DependencyRecord>(sql`
        SELECT ${columns} FROM ${source}
        WHERE ${own} AND ${place} AND d.problem IS NOT NULL ORDER BY d.task_id, d.position, d.id`);
    },

    async path(tagId, from, to) {
      if (from === to) return [from];
      const known = first(
        await db.query<{ ordered: boolean; apart: boolean | null; bound: string | null }>(sql`
          SELECT before.place < COALESCE(at.place, parent.place) AS apart,
            COALESCE(at.place, parent.place)::text AS bound,
            is_in_order(${tagId}::uuid) AS ordered
          FROM tasks t LEFT JOIN task_places at ON at.task_id = t.id
          LEFT JOIN task_places parent ON parent.task_id = t.parent_id
          LEFT JOIN task_places before ON before.task_id = ${from}::uuid
          WHERE t.id = ${to}::uuid AND t.organization_id = ${organizationId}::uuid`),
      );
      if (known === undefined || (known.ordered && known.apart)) return undefined;
      // UNION drops what was reached before, so a cycle ends, and many ways to one task cost no more than one. In the order
      // of places a way leads on to earlier ones only, so that what comes before its end need not be looked at.
      const edges = await db.query<EdgeRecord>(sql`
        WITH RECURSIVE reached(id) AS (
          SELECT ${from}::uuid
          UNION
          SELECT step.target FROM reached CROSS JOIN LATERAL (
            SELECT d.depends_on_id AS target FROM dependencies d
            WHERE ${own} AND d.tag_id = ${tagId}::uuid AND d.task_id = reached.id AND d.depends_on_id IS NOT NULL
            UNION ALL
            SELECT s.id FROM tasks s
            WHERE s.organization_id = ${organizationId}::uuid AND s.tag_id = ${tagId}::uuid AND s.parent_id = reached.id
          ) step
          WHERE ${
            known.ordered
              ? sql`step.target = ${to}::uuid OR (
            SELECT place FROM task_places WHERE task_id = step.target) >= ${known.bound}::numeric`
              : sql`true`
          }
        )
        SELECT reached.id AS "from", step.target AS "to" FROM reached CROSS JOIN LATERAL (
          SELECT d.depends_on_id AS target FROM dependencies d
          WHERE ${own} AND d.task_id = reached.id AND d.depends_on_id IS NOT NULL
          UNION ALL
          SELECT s.id FROM tasks s WHERE s.organization_id = ${organizationId}::uuid AND s.parent_id = reached.id
        ) step
        WHERE EXISTS (SELECT FROM reached WHERE id = ${to}::uuid)`);
      return shortest(edges, from, to);
    },

    async nextPosition(taskId) {
      const rows = await db.query<{ position: number }>(sql`
        SELECT COALESCE(max(position) + 1, 0) AS position FROM dependencies d
        WHERE ${own} AND task_id = ${taskId}::uuid`);
      return only(rows).position;
    },
  };
}

/** The path with the fewest steps: the one that tells a caller most plainly why an edge is refused. */
function shortest(edges: EdgeRecord[], from: string, to: string): string[] | undefined {
  const targets = Map.groupBy(edges, (edge) => edge.from);
  const cameFrom = new Map<string, string>();
  const queue = [from];
  for (const node of queue) {
    if (node === to) break;
    for (const edge of targets.get(node) ?? []) {
      if (edge.to === from || cameFrom.has(edge.to)) continue;
      cameFrom.set(edge.to, node);
      queue.push(edge.to);
    }
  }
  if (!cameFrom.has(to)) return undefined;
  const path = [to];
  for (let node = cameFrom.get(to); node !== undefined; node = cameFrom.get(node)) path.unshift(node);
  return path;
}

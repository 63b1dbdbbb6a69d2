import type { EdgeRecord } from "../../core/storage.ts";
import { type Db, sql } from "./sql.ts";

/**
 * Gives all tasks of a tag their places anew, each behind what it waits for and behind its subtasks, so that all edges of the tag
 * are in their order. Linear in tasks and edges. The caller holds the lock on the tag's graph, and there is no cycle in it.
 */
export async function orderTasks(db: Db, organizationId: string, tagId: string): Promise<void> {
  const tasks = await db.query<{ id: string; parent: string | null }>(sql`
    SELECT id, parent_id AS parent FROM tasks
    WHERE tag_id = ${tagId}::uuid AND organization_id = ${organizationId}::uuid ORDER BY rank, id`);
  const edges = await db.query<EdgeRecord>(sql`
    SELECT task_id AS "from", depends_on_id AS "to" FROM dependencies
    WHERE tag_id = ${tagId}::uuid AND organization_id = ${organizationId}::uuid AND depends_on_id IS NOT NULL`);
  for (const { id, parent } of tasks) if (parent !== null) edges.push({ from: parent, to: id });

  const waiting = Map.groupBy(edges, ({ to }) => to);
  const missing = new Map<string, number>();
  for (const { from } of edges) missing.set(from, (missing.get(from) ?? 0) + 1);
  const ordered = tasks.map(({ id }) => id).filter((id) => !missing.has(id));
  for (const id of ordered) {
    for (const { from } of waiting.get(id) ?? []) {
      const left = (missing.get(from) ?? 0) - 1;
      missing.set(from, left);
      if (left === 0) ordered.push(from);
    }
  }
  // Storage does not refuse a cycle; its edges stay out of the order, and are searched.
  if (ordered.length < tasks.length) return;
  await db.execute(sql`
    INSERT INTO task_places (task_id, place)
    SELECT id, place FROM unnest(${ordered}::uuid[]) WITH ORDINALITY AS o(id, place)
    ON CONFLICT (task_id) DO UPDATE SET place = EXCLUDED.place`);
  await db.execute(sql`
    UPDATE dependencies SET ordered = true
    WHERE tag_id = ${tagId}::uuid AND NOT ordered AND depends_on_id IS NOT NULL`);
}

import type { CandidateQuery } from "../../core/storage.ts";
import { and, empty, type Sql, sql, text } from "./sql.ts";

/**
 * The ids of what the query lets through, in its order; `lock` takes the rows' families from the first on and passes over
 * those that another transaction has. What the indexes of `next` say stands in the text, since the plan of a prepared
 * statement knows no parameter.
 */
export function candidates(query: CandidateQuery, organizationId: string, lock = false): Sql {
  const subtasks = query.level === "subtask";
  const isComplete = sql`(
    o.status = ANY(${words(query.completeStatuses)})
    AND (o_parent.id IS NULL OR o_parent.status = ANY(${words(query.completeParentStatuses)})))`;
  const bare = sql`btrim(d.raw, '"')`;
  const reference = subtasks
    ? sql`CASE WHEN d.raw LIKE '%.%' THEN ${bare} ELSE concat_ws('.', t_parent.segment, ${bare}) END`
    : bare;
  const conditions = [
    sql`t.organization_id = ${organizationId}::uuid AND t.tag_id = ${query.tagId}::uuid`,
    subtasks ? sql`t.parent_id IS NOT NULL` : sql`t.parent_id IS NULL`,
    sql`t.status = ANY(${words(query.statuses)})`,
    sql`NOT EXISTS (
      SELECT FROM dependencies d
      JOIN tasks o ON o.id = d.depends_on_id LEFT JOIN tasks o_parent ON o_parent.id = o.parent_id
      WHERE d.task_id = t.id AND NOT (
        ${isComplete} AND (o.parent_id IS NOT NULL OR ${text(String(!subtasks || query.subtasksWaitForTasks))}))
      OFFSET 0)`,
    ...unheld(query),
  ];
  // Only a narrowing: a task that waits for one that is not done would fall to the condition above.
  if (query.completeStatuses.every((status) => status === "done")) conditions.push(sql`NOT t.waiting`);
  if (query.quarantinedEdgesHold) {
    conditions.push(sql`NOT EXISTS (
      SELECT FROM dependencies d CROSS JOIN LATERAL (SELECT ${reference} AS local_id) r
      WHERE d.task_id = t.id AND d.depends_on_id IS NULL AND NOT EXISTS (${named(isComplete)})
      OFFSET 0)`);
  }
  if (subtasks) {
    conditions.push(sql`t_parent.tag_id = ${query.tagId}::uuid AND t_parent.parent_id IS NULL`);
    if (query.parentStatuses !== undefined) {
      conditions.push(sql`t_parent.status = ANY(${words(query.parentStatuses)})`);
    }
  }
  const priority = subtasks ? sql`COALESCE(t.priority, t_parent.priority` : sql`COALESCE(t.priority`;
  const edges = query.quarantinedEdgesHold
    ? sql`t.dependency_count`
    : sql`(SELECT count(*) FROM dependencies d WHERE d.task_id = t.id AND d.depends_on_id IS NOT NULL)`;
  return sql`
    SELECT t.id FROM tasks t ${subtasks ? sql`JOIN tasks t_parent ON t_parent.id = t.parent_id` : empty}
    WHERE ${and(conditions)}
    ORDER BY array_position(${words(query.priorities)}, ${priority}, ${text(`'${query.defaultPriority}'`)})), ${edges},
      ${subtasks ? sql`t_parent.number NULLS LAST, t_parent.rank,` : empty} t.number NULLS LAST, t.rank, t.id
    LIMIT ${text(String(Math.trunc(query.limit)))}
    ${lock ? sql`FOR NO KEY UPDATE OF ${text(subtasks ? "t_parent" : "t")} SKIP LOCKED` : empty}`;
}

/** What is complete of the tasks with the local id that a quarantined edge names, which is cut at any of its dots. */
function named(isComplete: Sql): Sql {
  return sql`
    SELECT FROM tasks o LEFT JOIN tasks o_parent ON o_parent.id = o.parent_id
    WHERE o.tag_id = t.tag_id AND o.parent_id IS NULL AND o.segment = r.local_id AND ${isComplete}
    UNION ALL
    SELECT FROM generate_series(1, length(r.local_id)) AS dot
    JOIN tasks o_parent ON o_parent.tag_id = t.tag_id AND o_parent.parent_id IS NULL
      AND o_parent.segment = left(r.local_id, dot - 1)
    JOIN tasks o ON o.tag_id = t.tag_id AND o.parent_id = o_parent.id AND o.segment = substr(r.local_id, dot + 1)
    WHERE substr(r.local_id, dot, 1) = '.' AND ${isComplete}`;
}

/** No live claim of another anywhere in the family; and, where it is to be claimed, none on the task and its subtasks. */
function unheld(query: CandidateQuery): Sql[] {
  const another = sql`c.expires_at > clock_timestamp() AND c.holder_id IS DISTINCT FROM ${query.holderId}::uuid`;
  const inWay = query.unclaimed ? sql`c.expires_at > clock_timestamp()` : another;
  const parents = sql`NOT EXISTS (SELECT FROM claims c WHERE c.live_task_id = t.parent_id AND ${another} OFFSET 0)`;
  return [
    sql`NOT EXISTS (SELECT FROM claims c WHERE c.live_task_id = t.id AND ${inWay} OFFSET 0)`,
    query.level === "subtask"
      ? parents
      : sql`NOT EXISTS (
          SELECT FROM tasks s JOIN claims c ON c.live_task_id = s.id WHERE s.parent_id = t.id AND ${inWay} OFFSET 0)`,
  ];
}

/** Of this program's own vocabulary, as constants. */
function words(values: readonly string[]): Sql {
  return text(`ARRAY[${values.map((value) => `'${value}'`).join(", ")}]::text[]`);
}

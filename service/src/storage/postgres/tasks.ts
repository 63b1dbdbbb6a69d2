import { AppError, notFound } from "../../core/errors.ts";
import type { Status } from "../../core/schema.ts";
import type {
  EdgeRecord,
  GraphTask,
  TaskChange,
  TaskFilter,
  TaskInsert,
  TaskLocator,
  TaskRecord,
  TaskStore,
} from "../../core/storage.ts";
import type { Task } from "../../core/tasks/schema.ts";
import { candidates } from "./candidates.ts";
import { and, assignments, type Db, empty, first, iso, json, records, type Sql, sql, text } from "./sql.ts";

/** The local id of a task that is joined under this alias, with its parent joined as `<alias>_parent`. */
export function localId(alias: string): Sql {
  return text(
    `CASE WHEN ${alias}.parent_id IS NULL THEN ${alias}.segment ELSE ${alias}_parent.segment || '.' || ${alias}.segment END`,
  );
}

/** A task as lists show it, as JSON. */
export function summary(alias: string): Sql {
  return sql`json_build_object('id', ${text(`${alias}.id`)}, 'localId', ${localId(alias)},
    'title', ${text(`${alias}.title`)}, 'status', ${text(`${alias}.status`)})`;
}

/** What the API shows of a task, but for the names of its project and tag. */
const shown = sql`t.id, t.parent_id AS parent, ${localId("t")} AS "localId",
  t.title, t.description, t.details, t.test_strategy AS "testStrategy", t.status, t.priority, t.rank, t.assignee,
  t.effort, t.actual_effort AS "actualEffort", t.labels, t.complexity, t.metadata, t.extra,
  ARRAY(
    SELECT ${localId("o")}
    FROM dependencies d JOIN tasks o ON o.id = d.depends_on_id LEFT JOIN tasks o_parent ON o_parent.id = o.parent_id
    WHERE d.task_id = t.id ORDER BY d.position, d.id
  ) AS dependencies,
  (
    SELECT json_build_object('id', c.id,
      'holder', json_build_object('kind', c.holder_kind, 'id', c.holder_id, 'name', c.holder_name),
      'fence', c.fence, 'expiresAt', ${iso("c.expires_at")})
    FROM claims c WHERE c.live_task_id = t.id AND c.expires_at > clock_timestamp()
  ) AS claim,
  t.version, ${iso("t.created_at")} AS "createdAt", ${iso("t.updated_at")} AS "updatedAt"`;

const columns = sql`${shown}, p.key AS project, g.name AS tag,
  t.project_id AS "projectId", t.tag_id AS "tagId", t.segment, t.number, t.next_local_number AS "nextLocalNumber",
  t.fence::float8 AS fence, t.source`;

const source = sql`tasks t JOIN tags g ON g.id = t.tag_id JOIN projects p ON p.id = t.project_id
  LEFT JOIN tasks t_parent ON t_parent.id = t.parent_id`;

/** Digits of ts_rank that make up a score: whole numbers pass through cursors unharmed. */
const scoreScale = 1_000_000_000;

export function createTaskStore(db: Db, organizationId: string): TaskStore {
  const own = sql`t.organization_id = ${organizationId}::uuid`;

  const selected = (condition: Sql, rest: Sql): Sql =>
    sql`SELECT ${columns} FROM ${source} WHERE ${own} AND ${condition} ${rest}`;

  const read = async (condition: Sql, rest: Sql): Promise<TaskRecord[]> =>
    await db.query<TaskRecord>(selected(condition, rest));

  const find = async (locator: TaskLocator): Promise<TaskRecord | undefined> =>
    // A task whose own id holds a dot can share its local id with a subtask; the task goes first, always the same one.
    first(
      await db.lookup<TaskRecord>(
        selected(located(locator, organizationId), sql`ORDER BY (t.parent_id IS NOT NULL) LIMIT 1`),
      ),
    );

  return {
    find,

    async list({ tagId, project, tag }, filter, { limit, after }) {
      const wanted = filtered(filter);
      const conditions = [sql`t.tag_id = ${tagId}::uuid`, ...wanted];
      if (after !== undefined) conditions.push(sql`(t.rank, t.id) > (${after[0]}, ${after[1]}::uuid)`);
      const page = sql`
        SELECT ${shown} FROM tasks t LEFT JOIN tasks t_parent ON t_parent.id = t.parent_id
        WHERE ${own} AND ${and(conditions)} ORDER BY t.rank, t.id LIMIT ${limit + 1}`;
      // Of all tasks it reads so many and no more; to find those of a filter it may have to look at every one.
      const rows = await (wanted.length === 0 ? db.lookup<Task>(page) : db.query<Task>(page));
      for (const row of rows) Object.assign(row, { project, tag });
      return rows;
    },

    async subtasks(parentId) {
      return await read(sql`t.parent_id = ${parentId}::uuid`, sql`ORDER BY t.rank, t.id`);
    },

    async listAll(tagId) {
      return await read(
        sql`t.tag_id = ${tagId}::uuid`,
        sql`ORDER BY (t.parent_id IS NOT NULL), t.rank, t.id`,
      );
    },

    async search(projectId, words, { limit, after }) {
      const [score, id] = after ?? [null, null];
      const found = await db.query<TaskRecord & { score: number }>(sql`
        SELECT ${columns}, hit.score
        FROM ${source} JOIN (
          SELECT id, round(ts_rank(search, q) * ${scoreScale}::float8)::float8 AS score
          FROM tasks, websearch_to_tsquery('simple', ${words}) q
          WHERE project_id = ${projectId}::uuid AND organization_id = ${organizationId}::uuid AND search @@ q
        ) hit ON hit.id = t.id
        WHERE ${own} AND (${score}::float8 IS NULL OR hit.score < ${score}::float8
          OR (hit.score = ${score}::float8 AND t.id > ${id}::uuid))
        ORDER BY hit.score DESC, t.id LIMIT ${limit + 1}`);
      return found.map(({ score, ...task }) => ({ task, score }));
    },

    async insert(tasks) {
      if (tasks.length === 0) return;
      const made = await db.execute(sql`
        INSERT INTO tasks (id, organization_id, project_id, tag_id, parent_id, segment, number, title, description,
          details, test_strategy, status, priority, rank, assignee, effort, actual_effort, labels, complexity, metadata,
          extra, source, next_local_number)
        SELECT x.id, g.organization_id, g.project_id, g.id, x.parent_id, x.segment, x.number, x.title, x.description,
          x.details, x.test_strategy, x.status, x.priority, x.rank, x.assignee, x.effort, x.actual_effort, x.labels,
          x.complexity, x.metadata, x.extra, x.source, x.next_local_number
        FROM json_to_recordset(${records(tasks.map(row))}::json) AS x(id uuid, project_id uuid, tag_id uuid,
          parent_id uuid, segment text, number int, title text, description text, details text, test_strategy text,
          status text, priority text, rank text, assignee text, effort float8, actual_effort float8, labels text[],
          complexity jsonb, metadata jsonb, extra jsonb, source jsonb, next_local_number int)
        JOIN tags g ON g.id = x.tag_id AND g.project_id = x.project_id AND g.organization_id = ${organizationId}::uuid`);
      if (made !== tasks.length) throw new AppError("conflict", "The tag is gone.");
    },

    async update(id, change, version) {
      const update = sql`
        UPDATE tasks t SET
          ${assignments(changed(change))}
          version = version + 1, updated_at = clock_timestamp()
        WHERE ${own} AND id = ${id}::uuid AND (${version}::int IS NULL OR version = ${version}::int)`;
      // Read by a statement of its own: one that waited for the row still sees what was before the wait.
      const after = selected(located({ id }, organizationId), empty);
      const { touched, rows } = await db.executeAndQuery<TaskRecord>(update, after);
      return touched === 0 ? undefined : first(rows);
    },

    async delete(id, version) {
      const touched = await db.execute(sql`
        DELETE FROM tasks t
        WHERE ${own} AND id = ${id}::uuid AND (${version}::int IS NULL OR version = ${version}::int)`);
      return touched > 0;
    },

    async takeSubtaskNumber(parentId) {
      const rows = await db.query<{ number: number }>(sql`
        UPDATE tasks t SET next_local_number = next_local_number + 1
        WHERE ${own} AND id = ${parentId}::uuid RETURNING next_local_number - 1 AS number`);
      const taken = first(rows);
      if (taken === undefined) throw notFound("task", parentId);
      return taken.number;
    },

    async lock(ids) {
      const taken = sql`
        SELECT id FROM tasks t WHERE ${own} AND id = ANY(${ids}::uuid[])
        ORDER BY (parent_id IS NOT NULL), id FOR NO KEY UPDATE`;
      const found = selected(sql`t.id = ANY(${ids}::uuid[])`, sql`ORDER BY (t.parent_id IS NOT NULL), t.id`);
      return (await db.executeAndQuery<TaskRecord>(taken, found)).rows;
    },

    async subtaskStatuses(parentId) {
      const rows = await db.query<{ status: Status }>(
        sql`SELECT status FROM tasks t WHERE ${own} AND parent_id = ${parentId}::uuid ORDER BY rank, id`,
      );
      return rows.map(({ status }) => status);
    },

    async neighbourRank(tagId, parentId, rank, side) {
      const level = parentId === null ? sql`parent_id IS NULL` : sql`parent_id = ${parentId}::uuid`;
      const before = sql`(${rank}::text IS NULL OR rank < ${rank}) ORDER BY rank DESC`;
      const after = sql`rank > ${rank} ORDER BY rank`;
      const rows = await db.query<{ rank: string }>(sql`
        SELECT rank FROM tasks t
        WHERE ${own} AND tag_id = ${tagId}::uuid AND ${level} AND ${side === "before" ? before : after} LIMIT 1`);
      return first(rows)?.rank ?? null;
    },

    async graph(tagId) {
      const tasks = await db.query<GraphTask>(sql`
        SELECT t.id, ${localId("t")} AS "localId", t.title, t.status, t.parent_id AS parent, t.segment, t.number,
          t.rank, t.priority, t.effort, c.holder_id AS "holderId"
        FROM tasks t LEFT JOIN tasks t_parent ON t_parent.id = t.parent_id
        LEFT JOIN claims c ON c.live_task_id = t.id AND c.expires_at > clock_timestamp()
        WHERE ${own} AND t.tag_id = ${tagId}::uuid
        ORDER BY (t.parent_id IS NOT NULL), t.rank, t.id`);
      const edges = await db.query<EdgeRecord>(sql`
        SELECT d.task_id AS "from", d.depends_on_id AS "to" FROM dependencies d
        WHERE d.organization_id = ${organizationId}::uuid AND d.tag_id = ${tagId}::uuid AND d.depends_on_id IS NOT NULL
        ORDER BY d.task_id, d.position, d.id`);
      return { tasks, edges };
    },

    async candidates(query) {
      const rows = await db.query<{ id: string }>(candidates(query, organizationId));
      return rows.map(({ id }) => id);
    },
  };
}

function located(locator: TaskLocator, organizationId: string): Sql {
  if ("id" in locator) return sql`t.id = ${locator.id}::uuid`;
  // Only the segment narrows by index; a slug may hold dots itself, so the whole local id decides.
  const segments = locator.localId.split(".").map((_, cut, parts) => parts.slice(cut).join("."));
  return sql`p.organization_id = ${organizationId}::uuid AND p.key = ${locator.project} AND g.name = ${locator.tag}
    AND t.segment = ANY(${segments}::text[]) AND ${localId("t")} = ${locator.localId}`;
}

function filtered(filter: TaskFilter): Sql[] {
  const conditions: (Sql | false)[] = [
    filter.statuses !== undefined && sql`t.status = ANY(${filter.statuses}::text[])`,
    filter.priorities !== undefined && sql`t.priority = ANY(${filter.priorities}::text[])`,
    filter.assignee !== undefined && sql`t.assignee = ${filter.assignee}`,
    filter.label !== undefined && sql`${filter.label} = ANY(t.labels)`,
    filter.level !== undefined &&
      (filter.level === "task" ? sql`t.parent_id IS NULL` : sql`t.parent_id IS NOT NULL`),
    filter.parentId !== undefined && sql`t.parent_id = ${filter.parentId}::uuid`,
  ];
  return conditions.filter((condition) => condition !== false);
}

function row(task: TaskInsert): object {
  return {
    ...task,
    project_id: task.projectId,
    tag_id: task.tagId,
    parent_id: task.parentId,
    test_strategy: task.testStrategy,
    actual_effort: task.actualEffort,
    next_local_number: task.nextLocalNumber,
  };
}

function changed(change: TaskChange): (Sql | false)[] {
  return [
    change.title !== undefined && sql`title = ${change.title}`,
    change.description !== undefined && sql`description = ${change.description}`,
    change.details !== undefined && sql`details = ${change.details}`,
    change.testStrategy !== undefined && sql`test_strategy = ${change.testStrategy}`,
    change.status !== undefined && sql`status = ${change.status}`,
    change.priority !== undefined && sql`priority = ${change.priority}`,
    change.assignee !== undefined && sql`assignee = ${change.assignee}`,
    change.effort !== undefined && sql`effort = ${change.effort}::float8`,
    change.actualEffort !== undefined && sql`actual_effort = ${change.actualEffort}::float8`,
    change.labels !== undefined && sql`labels = ${change.labels}::text[]`,
    change.complexity !== undefined && sql`complexity = ${json(change.complexity)}::jsonb`,
    change.metadata !== undefined && sql`metadata = ${json(change.metadata)}::jsonb`,
    change.extra !== undefined && sql`extra = ${json(change.extra)}::jsonb`,
    change.tagId !== undefined && sql`tag_id = ${change.tagId}::uuid`,
    change.parentId !== undefined && sql`parent_id = ${change.parentId}::uuid`,
    change.segment !== undefined && sql`segment = ${change.segment}`,
    change.number !== undefined && sql`number = ${change.number}::int`,
    change.rank !== undefined && sql`rank = ${change.rank}`,
    change.source !== undefined && sql`source = ${json(change.source)}::jsonb`,
  ];
}

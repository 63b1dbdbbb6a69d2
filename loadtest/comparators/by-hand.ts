import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import Fastify from "fastify";
import { generateKeyBetween } from "fractional-indexing";
import pg from "pg";
import { Type } from "typebox";
import { v7 } from "uuid";
import { NewTask, pageOf, Task, TaskPatch } from "../../service/src/core/index.ts";

/**
 * What the server is compared with (P5, P8): the same handlers as somebody writes them by hand for these four requests
 * alone, on Fastify and a pool of pg, with prepared statements and the same schemas, on the same tables. It knows no other
 * route, role, webhook, metric or limit, and looks at a token once a second.
 */

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const app = Fastify({
  ajv: { customOptions: { strict: false, removeAdditional: false, coerceTypes: true } },
});

interface Caller {
  organizationId: string;
  userId: string;
  name: string;
  readAt: number;
}
const callers = new Map<string, Caller>();
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

class Refusal extends Error {
  statusCode: number;
  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

async function callerOf(authorization = ""): Promise<Caller> {
  const hash = sha256(authorization.slice("Bearer ".length));
  const known = callers.get(hash);
  if (known !== undefined && performance.now() - known.readAt < 1_000) return known;
  const { rows } = await pool.query<Omit<Caller, "readAt">>({
    name: "token",
    text: `SELECT m.organization_id AS "organizationId", u.id AS "userId", u.name FROM access_tokens k
      JOIN memberships m ON m.id = k.membership_id JOIN users u ON u.id = m.user_id
      WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())`,
    values: [hash],
  });
  if (rows[0] === undefined) throw new Refusal(401, "The token is not good.");
  const caller = { ...rows[0], readAt: performance.now() };
  callers.set(hash, caller);
  return caller;
}

const instant = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
const select = `SELECT t.id, p.key AS project, g.name AS tag, t.parent_id AS parent,
    concat_ws('.', u.segment, t.segment) AS "localId", t.title, t.description, t.details,
    t.test_strategy AS "testStrategy", t.status, t.priority, t.rank, t.assignee, t.effort,
    t.actual_effort AS "actualEffort", t.labels, t.complexity, t.metadata, t.extra, t.version,
    ARRAY(SELECT concat_ws('.', ou.segment, o.segment) FROM dependencies d JOIN tasks o ON o.id = d.depends_on_id
      LEFT JOIN tasks ou ON ou.id = o.parent_id WHERE d.task_id = t.id ORDER BY d.position, d.id) AS dependencies,
    (SELECT json_build_object('id', c.id, 'fence', c.fence, 'expiresAt', ${instant("c.expires_at")},
        'holder', json_build_object('kind', c.holder_kind, 'id', c.holder_id, 'name', c.holder_name))
      FROM claims c WHERE c.live_task_id = t.id AND c.expires_at > clock_timestamp()) AS claim,
    ${instant("t.created_at")} AS "createdAt", ${instant("t.updated_at")} AS "updatedAt"
  FROM tasks t JOIN tags g ON g.id = t.tag_id JOIN projects p ON p.id = t.project_id
  LEFT JOIN tasks u ON u.id = t.parent_id`;

type Queryable = Pick<pg.Pool, "query">;

async function getTask(db: Queryable, { organizationId }: Caller, id: string): Promise<Task> {
  const { rows } = await db.query<Task>({
    name: "get",
    text: `${select} WHERE t.id = $1 AND t.organization_id = $2`,
    values: [id, organizationId],
  });
  if (rows[0] === undefined) throw new Refusal(404, "There is no such task.");
  return rows[0];
}

async function getTag(db: Queryable, { organizationId }: Caller, key: string, name: string) {
  const { rows } = await db.query<{ id: string; projectId: string }>({
    name: "tag",
    text: `SELECT g.id, g.project_id AS "projectId" FROM tags g JOIN projects p ON p.id = g.project_id
      WHERE p.organization_id = $1 AND p.key = $2 AND g.name = $3`,
    values: [organizationId, key, name],
  });
  if (rows[0] === undefined) throw new Refusal(404, "There is no such tag.");
  return rows[0];
}

/** In one transaction, and once an Idempotency-Key. */
async function change(
  caller: Caller,
  { headers, params, body }: { headers: IncomingHttpHeaders; params: unknown; body: unknown },
  work: (db: pg.PoolClient) => Promise<Task>,
): Promise<Task> {
  const given = headers["idempotency-key"];
  const key = given === undefined ? undefined : String(given);
  const client = await pool.connect();
  const of = [caller.organizationId, caller.userId, sha256(key ?? "")];
  try {
    await client.query("BEGIN");
    if (key !== undefined) {
      const fingerprint = sha256(JSON.stringify([params, body]));
      const { rowCount } = await client.query({
        name: "reserve",
        text: `INSERT INTO idempotency_records (organization_id, actor_id, key_hash, fingerprint, result)
          VALUES ($1, $2, $3, $4, '') ON CONFLICT (organization_id, actor_id, key_hash) DO NOTHING`,
        values: [...of, fingerprint],
      });
      if (rowCount === 0) {
        const { rows } = await client.query<{ fingerprint: string; result: string }>({
          name: "earlier",
          text: `SELECT fingerprint, result FROM idempotency_records
            WHERE organization_id = $1 AND actor_id = $2 AND key_hash = $3`,
          values: of,
        });
        await client.query("COMMIT");
        if (rows[0]?.fingerprint !== fingerprint)
          throw new Refusal(422, "The key was used for something else.");
        return JSON.parse(rows[0].result) as Task;
      }
    }
    const task = await work(client);
    if (key !== undefined) {
      await client.query({
        name: "complete",
        text: `UPDATE idempotency_records SET result = $4
          WHERE organization_id = $1 AND actor_id = $2 AND key_hash = $3`,
        values: [...of, JSON.stringify(task)],
      });
    }
    await client.query("COMMIT");
    return task;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

async function record(
  db: Queryable,
  { organizationId, userId, name }: Caller,
  projectId: string,
  taskId: string,
  type: string,
  requestId: string,
  data: object,
): Promise<void> {
  await db.query({
    name: "event",
    text: `INSERT INTO events (organization_id, project_id, type, task_id, actor_id, actor_kind, actor_name, request_id, data)
      VALUES ($1, $2, $3, $4, $5, 'user', $6, $7, $8)`,
    values: [organizationId, projectId, type, taskId, userId, name, requestId, JSON.stringify(data)],
  });
}

app.get<{ Params: { id: string } }>(
  "/api/v1/tasks/:id",
  { schema: { response: { 200: Task } } },
  async (request, reply) => {
    const task = await getTask(pool, await callerOf(request.headers.authorization), request.params.id);
    return reply.header("etag", `"${task.version}"`).send(task);
  },
);

app.get<{ Params: { key: string; tag: string }; Querystring: { limit: number; cursor?: string } }>(
  "/api/v1/projects/:key/tags/:tag/tasks",
  {
    schema: {
      querystring: Type.Object({
        limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
        cursor: Type.Optional(Type.String()),
      }),
      response: { 200: pageOf(Task) },
    },
  },
  async (request, reply) => {
    const caller = await callerOf(request.headers.authorization);
    const tag = await getTag(pool, caller, request.params.key, request.params.tag);
    const { limit, cursor } = request.query;
    const [rank, id] =
      cursor === undefined
        ? ["", "00000000-0000-0000-0000-000000000000"]
        : (JSON.parse(Buffer.from(cursor, "base64url").toString()) as [string, string]);
    const { rows } = await pool.query<Task>({
      name: "list",
      text: `${select} WHERE t.tag_id = $1 AND t.organization_id = $2 AND (t.rank, t.id) > ($3, $4::uuid)
        ORDER BY t.rank, t.id LIMIT $5`,
      values: [tag.id, caller.organizationId, rank, id, limit + 1],
    });
    const items = rows.slice(0, limit);
    const last = items.at(-1);
    const next =
      rows.length > limit && last !== undefined
        ? Buffer.from(JSON.stringify([last.rank, last.id])).toString("base64url")
        : null;
    if (next !== null) reply.header("link", `<${request.url}&cursor=${next}>; rel="next"`);
    return reply.send({ items, nextCursor: next });
  },
);

app.post<{ Params: { key: string; tag: string }; Body: NewTask }>(
  "/api/v1/projects/:key/tags/:tag/tasks",
  { schema: { body: NewTask, response: { 201: Task } } },
  async (request, reply) => {
    const caller = await callerOf(request.headers.authorization);
    const { params, body } = request;
    const task = await change(caller, request, async (db) => {
      const tag = await getTag(db, caller, params.key, params.tag);
      const { rows: taken } = await db.query<{ number: number }>({
        name: "number",
        text: "UPDATE tags SET next_local_number = next_local_number + 1 WHERE id = $1 RETURNING next_local_number - 1 AS number",
        values: [tag.id],
      });
      const { rows: last } = await db.query<{ rank: string }>({
        name: "last",
        text: "SELECT rank FROM tasks WHERE tag_id = $1 AND parent_id IS NULL ORDER BY rank DESC LIMIT 1",
        values: [tag.id],
      });
      const number = taken[0]?.number ?? 1;
      const id = v7();
      await db.query({
        name: "insert",
        text: `INSERT INTO tasks (id, organization_id, project_id, tag_id, segment, number, title, description, details,
            test_strategy, status, priority, rank, assignee, effort, actual_effort, labels, complexity, metadata)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
        values: [
          id,
          caller.organizationId,
          tag.projectId,
          tag.id,
          String(number),
          number,
          body.title,
          body.description ?? "",
          body.details ?? "",
          body.testStrategy ?? "",
          body.status ?? "pending",
          body.priority ?? null,
          generateKeyBetween(last[0]?.rank ?? null, null),
          body.assignee ?? null,
          body.effort ?? null,
          body.actualEffort ?? null,
          body.labels ?? [],
          body.complexity ?? null,
          body.metadata ?? {},
        ],
      });
      const made = await getTask(db, caller, id);
      const { localId, title, status } = made;
      await record(db, caller, tag.projectId, id, "task.created", request.id, {
        tag: params.tag,
        localId,
        title,
        status,
      });
      return made;
    });
    return reply
      .code(201)
      .header("location", `/api/v1/tasks/${task.id}`)
      .header("etag", `"${task.version}"`)
      .send(task);
  },
);

const columns: Record<string, string> = {
  title: "title",
  description: "description",
  details: "details",
  testStrategy: "test_strategy",
  status: "status",
  priority: "priority",
  assignee: "assignee",
  effort: "effort",
  actualEffort: "actual_effort",
  labels: "labels",
};

app.patch<{ Params: { id: string }; Body: TaskPatch }>(
  "/api/v1/tasks/:id",
  { schema: { body: TaskPatch, response: { 200: Task } } },
  async (request, reply) => {
    const caller = await callerOf(request.headers.authorization);
    const match = request.headers["if-match"];
    if (match === undefined) throw new Refusal(428, "Say which version you have seen.");
    const { params, body } = request;
    const task = await change(caller, request, async (db) => {
      const before = await getTask(db, caller, params.id);
      const fields = Object.keys(body).filter((field) => field in columns);
      const assignments = fields.map((field, i) => `${columns[field]} = $${i + 4}`);
      const { rows } = await db.query<{ projectId: string }>({
        name: `update ${fields.join(" ")}`,
        text: `UPDATE tasks SET ${assignments.join(", ")}, version = version + 1, updated_at = clock_timestamp()
          WHERE id = $1 AND organization_id = $2 AND version = $3 RETURNING project_id AS "projectId"`,
        values: [
          params.id,
          caller.organizationId,
          Number(match.replaceAll('"', "")),
          ...fields.map((field) => Reflect.get(body, field)),
        ],
      });
      if (rows[0] === undefined) throw new Refusal(412, "The task has another version.");
      const changes = Object.fromEntries(
        fields.map((field) => [field, [Reflect.get(before, field), Reflect.get(body, field)]]),
      );
      await record(db, caller, rows[0].projectId, params.id, "task.updated", request.id, {
        version: before.version + 1,
        changes,
      });
      return await getTask(db, caller, params.id);
    });
    return reply.header("etag", `"${task.version}"`).send(task);
  },
);

process.stdout.write(`listens at ${await app.listen({ host: "127.0.0.1", port: 0 })}\n`);

import { createHmac } from "node:crypto";
import type { Context, Core, IssuedReceiver, Task } from "../../../src/core/index.ts";
import type { Permission } from "../../../src/core/policy.ts";
import { api } from "./harness.ts";

/** Something of every kind, in one organization. */
export interface World {
  slug: string;
  project: string;
  projectVersion: number;
  tag: string;
  tagVersion: number;
  task: Task;
  other: Task;
  subtask: Task;
  comment: string;
  link: string;
  receiver: IssuedReceiver;
  agent: string;
  membership: string;
  accessToken: string;
  claim: string;
  fence: number;
  webhook: string;
  webhookVersion: number;
  /** A dead letter of it. */
  delivery: string;
}

const linked = "https://github.com/acme/web/issues/12";
let count = 0;

/** `actor` writes the comment and holds the claim and the token where it may; otherwise the owner does. */
export async function buildWorld(core: Core, owner: Context, actor: Context = owner): Promise<World> {
  count++;
  const may = (needed: Context["role"][]) => (needed.includes(actor.role) ? actor : owner);
  const project = await core.projects.create(owner, {
    key: `W${count}`,
    name: `marker-${owner.organizationId}`,
  });
  const tag = await core.tags.create(owner, project.key, { name: "a: b/ü" });
  const task = await core.tasks.create(owner, project.key, tag.name, { title: "first", priority: "high" });
  const other = await core.tasks.create(owner, project.key, tag.name, { title: "second" });
  const third = await core.tasks.create(owner, project.key, tag.name, { title: "third" });
  await core.dependencies.add(owner, task.id, third.id);
  const subtask = await core.tasks.createSubtask(owner, task.id, { title: "part" });
  const worker = may(["owner", "admin", "member", "agent"]);
  const comment = await core.comments.create(worker, task.id, { body: "said" });
  const link = await core.links.add(worker, task.id, { url: linked });
  const claim = await core.claims.claim(worker, third.id, {});
  const receiver = await core.receivers.create(owner, { name: `receiver ${count}` });
  const agent = await core.agents.create(owner, { name: `agent ${count}` });
  const membership = await core.memberships.create(owner, {
    email: `w${count}@example.com`,
    name: "W",
    role: "viewer",
  });
  const webhook = await findWebhook(core, owner);
  const accessToken = await core.tokens.create(may(["owner", "admin", "member", "viewer"]), { name: "own" });
  const organization = await core.access
    .listOrganizations({ ...owner, tokenId: null })
    .then((all) => all.find((one) => one.organization.id === owner.organizationId));
  const { version: tagVersion } = await core.tags.get(owner, project.key, tag.name);
  const { version: projectVersion } = await core.projects.get(owner, project.key);
  return {
    slug: organization?.organization.slug ?? "",
    project: project.key,
    projectVersion,
    tag: tag.name,
    tagVersion,
    task: await core.tasks.get(owner, task.id),
    other,
    subtask: await core.tasks.get(owner, subtask.id),
    comment: comment.id,
    link: link.id,
    receiver,
    agent: agent.id,
    membership: membership.id,
    accessToken: accessToken.id,
    claim: claim.id,
    fence: claim.fence,
    ...webhook,
  };
}

/** The organization's webhook with a dead letter, made when there is none any more: it can have a hundred. */
async function findWebhook(
  core: Core,
  owner: Context,
): Promise<Pick<World, "webhook" | "webhookVersion" | "delivery">> {
  const { items } = await core.webhooks.list(owner, {});
  const url = "https://example.com/hook";
  const { id, version } =
    items[0] ?? (await core.webhooks.create(owner, { url, events: ["webhook.deleted"] }));
  const dead = await core.webhooks.listDeliveries(owner, id, { state: "dead" });
  if (dead.items[0] !== undefined)
    return { webhook: id, webhookVersion: version, delivery: dead.items[0].id };
  const delivery = await core.webhooks.test(owner, id);
  // What waits when it is disabled is given up.
  const disabled = await core.webhooks.update(owner, id, { disabled: true }, version);
  const enabled = await core.webhooks.update(owner, id, { disabled: false }, disabled.version);
  return { webhook: id, webhookVersion: enabled.version, delivery: delivery.id };
}

export interface RouteCase {
  /** Undefined where everybody who is signed in may. */
  permission?: Permission;
  url(w: World): string;
  body?(w: World): unknown;
  headers?(w: World): Record<string, string>;
  /** The status of the good answer. */
  ok: number;
  /** Whether the good answer has no end, so that only its beginning can be waited for. */
  endless?: true;
  /** Whether it is open to whoever has another credential than a token. */
  open?: true;
  /** Whether the address names nothing of the tenant's, so that a stranger's request is about its own. */
  own?: true;
}

const tagUrl = (w: World, rest = "") =>
  `${api}/projects/${w.project}/tags/${encodeURIComponent(w.tag)}${rest}`;
const taskUrl = (w: World, rest = "") => `${api}/tasks/${w.task.id}${rest}`;
const version = (value: number) => ({ "if-match": `"${value}"` });
let unique = 0;
const fresh = () => `n${++unique}`;

/** How to ask each route for something that it grants. A route without an entry here fails the tests. */
export const cases: Record<string, RouteCase> = {
  "GET /me": { url: () => `${api}/me`, ok: 200, own: true },
  "GET /flags": { url: () => `${api}/flags`, ok: 200, own: true },
  "GET /organizations": { url: () => `${api}/organizations`, ok: 200, own: true },
  "POST /organizations": {
    permission: "organization:create",
    url: () => `${api}/organizations`,
    body: () => ({ slug: fresh(), name: "New" }),
    ok: 201,
    own: true,
  },
  "GET /organizations/:slug": {
    permission: "organization:read",
    url: (w) => `${api}/organizations/${w.slug}`,
    ok: 200,
  },
  "PATCH /organizations/:slug": {
    permission: "organization:update",
    url: (w) => `${api}/organizations/${w.slug}`,
    body: () => ({}),
    headers: () => version(1),
    ok: 200,
  },
  "POST /sessions": { url: () => `${api}/sessions`, body: () => ({}), ok: 201, own: true },
  "GET /memberships": { permission: "member:read", url: () => `${api}/memberships`, ok: 200, own: true },
  "POST /memberships": {
    permission: "member:write",
    url: () => `${api}/memberships`,
    body: () => ({ email: `${fresh()}@example.com`, name: "N", role: "viewer" }),
    ok: 201,
    own: true,
  },
  "GET /memberships/:id": {
    permission: "member:read",
    url: (w) => `${api}/memberships/${w.membership}`,
    ok: 200,
  },
  "PATCH /memberships/:id": {
    permission: "member:write",
    url: (w) => `${api}/memberships/${w.membership}`,
    body: () => ({ role: "member" }),
    headers: () => version(1),
    ok: 200,
  },
  "DELETE /memberships/:id": {
    permission: "member:write",
    url: (w) => `${api}/memberships/${w.membership}`,
    headers: () => version(1),
    ok: 204,
  },
  "GET /agents": { permission: "agent:read", url: () => `${api}/agents`, ok: 200, own: true },
  "POST /agents": {
    permission: "agent:write",
    url: () => `${api}/agents`,
    body: () => ({ name: fresh(), capabilities: ["typescript"] }),
    ok: 201,
    own: true,
  },
  "GET /agents/:id": { permission: "agent:read", url: (w) => `${api}/agents/${w.agent}`, ok: 200 },
  "PATCH /agents/:id": {
    permission: "agent:write",
    url: (w) => `${api}/agents/${w.agent}`,
    body: () => ({ disabled: true }),
    headers: () => version(1),
    ok: 200,
  },
  "DELETE /agents/:id": {
    permission: "agent:write",
    url: (w) => `${api}/agents/${w.agent}`,
    headers: () => version(1),
    ok: 204,
  },
  "GET /tokens": { permission: "token:own", url: () => `${api}/tokens`, ok: 200, own: true },
  "POST /tokens": {
    permission: "token:own",
    url: () => `${api}/tokens`,
    body: () => ({ name: "another" }),
    ok: 201,
    own: true,
  },
  "GET /tokens/:id": { permission: "token:own", url: (w) => `${api}/tokens/${w.accessToken}`, ok: 200 },
  "DELETE /tokens/:id": { permission: "token:own", url: (w) => `${api}/tokens/${w.accessToken}`, ok: 204 },
  "GET /projects": { permission: "project:read", url: () => `${api}/projects`, ok: 200, own: true },
  "POST /projects": {
    permission: "project:create",
    url: () => `${api}/projects`,
    body: () => ({ key: fresh().toUpperCase(), name: "New" }),
    ok: 201,
    own: true,
  },
  "GET /projects/:key": { permission: "project:read", url: (w) => `${api}/projects/${w.project}`, ok: 200 },
  "PATCH /projects/:key": {
    permission: "project:update",
    url: (w) => `${api}/projects/${w.project}`,
    body: () => ({ name: "Changed" }),
    headers: (w) => version(w.projectVersion),
    ok: 200,
  },
  "DELETE /projects/:key": {
    permission: "project:delete",
    url: (w) => `${api}/projects/${w.project}`,
    headers: (w) => version(w.projectVersion),
    ok: 204,
  },
  "GET /projects/:key/search": {
    permission: "project:read",
    url: (w) => `${api}/projects/${w.project}/search?q=first`,
    ok: 200,
  },
  "GET /projects/:key/tags": {
    permission: "project:read",
    url: (w) => `${api}/projects/${w.project}/tags`,
    ok: 200,
  },
  "POST /projects/:key/tags": {
    permission: "tag:write",
    url: (w) => `${api}/projects/${w.project}/tags`,
    body: () => ({ name: "new tag" }),
    ok: 201,
  },
  "GET /projects/:key/tags/:tag": { permission: "project:read", url: (w) => tagUrl(w), ok: 200 },
  "PATCH /projects/:key/tags/:tag": {
    permission: "tag:write",
    url: (w) => tagUrl(w),
    body: () => ({ name: "renamed" }),
    headers: (w) => version(w.tagVersion),
    ok: 200,
  },
  "DELETE /projects/:key/tags/:tag": {
    permission: "tag:write",
    url: (w) => tagUrl(w),
    headers: (w) => version(w.tagVersion),
    ok: 204,
  },
  "POST /projects/:key/tags/:tag/copy": {
    permission: "tag:write",
    url: (w) => tagUrl(w, "/copy"),
    body: () => ({ name: "copied" }),
    ok: 201,
  },
  "GET /projects/:key/tags/:tag/tasks": {
    permission: "project:read",
    url: (w) => tagUrl(w, "/tasks?status=pending&status=done&priority=high&limit=5"),
    ok: 200,
  },
  "POST /projects/:key/tags/:tag/tasks": {
    permission: "task:write",
    url: (w) => tagUrl(w, "/tasks"),
    body: (w) => ({ title: "new", dependencies: [w.task.localId] }),
    ok: 201,
  },
  "POST /projects/:key/tags/:tag/tasks::batch": {
    permission: "task:write",
    url: (w) => tagUrl(w, "/tasks:batch"),
    body: () => ({
      operations: [
        { op: "create", name: "a", task: { title: "a" } },
        { op: "create", parent: "#a", task: { title: "b" } },
      ],
    }),
    ok: 200,
  },
  "POST /projects/:key/tags/:tag/parse-prd": {
    permission: "task:write",
    url: (w) => tagUrl(w, "/parse-prd"),
    body: () => ({ text: "A shop." }),
    // There is no model in these tests; what is another's is not found all the same.
    ok: 409,
  },
  "POST /projects/:key/tags/:tag/draft-task": {
    permission: "task:write",
    url: (w) => tagUrl(w, "/draft-task"),
    body: () => ({ prompt: "A shop." }),
    ok: 409,
  },
  "POST /projects/:key/tags/:tag/analyze-complexity": {
    permission: "task:write",
    url: (w) => tagUrl(w, "/analyze-complexity"),
    body: () => ({}),
    ok: 409,
  },
  "POST /tasks/:id/expand": {
    permission: "task:write",
    url: (w) => taskUrl(w, "/expand"),
    body: () => ({ count: 2 }),
    ok: 409,
  },
  "POST /tasks/:id/revise": {
    permission: "task:write",
    url: (w) => taskUrl(w, "/revise"),
    body: () => ({ prompt: "Better" }),
    headers: (w) => version(w.task.version),
    ok: 409,
  },
  "GET /tasks/:id": { permission: "project:read", url: (w) => taskUrl(w, "?fields=id,title"), ok: 200 },
  "PATCH /tasks/:id": {
    permission: "task:write",
    url: (w) => taskUrl(w),
    body: () => ({ title: "changed" }),
    headers: (w) => version(w.task.version),
    ok: 200,
  },
  "DELETE /tasks/:id": {
    permission: "task:write",
    url: (w) => taskUrl(w),
    headers: (w) => version(w.task.version),
    ok: 204,
  },
  "POST /tasks/:id/move": {
    permission: "task:write",
    url: (w) => taskUrl(w, "/move"),
    body: (w) => ({ after: w.other.id }),
    headers: (w) => version(w.task.version),
    ok: 200,
  },
  "GET /tasks/:id/subtasks": { permission: "project:read", url: (w) => taskUrl(w, "/subtasks"), ok: 200 },
  "POST /tasks/:id/subtasks": {
    permission: "task:write",
    url: (w) => taskUrl(w, "/subtasks"),
    body: () => ({ title: "part two" }),
    ok: 201,
  },
  "GET /tasks/:id/dependencies": {
    permission: "project:read",
    url: (w) => taskUrl(w, "/dependencies"),
    ok: 200,
  },
  "PUT /tasks/:id/dependencies/:other": {
    permission: "task:write",
    url: (w) => taskUrl(w, `/dependencies/${w.other.id}`),
    ok: 200,
  },
  "DELETE /tasks/:id/dependencies/:other": {
    permission: "task:write",
    url: (w) => taskUrl(w, `/dependencies/${encodeURIComponent(`${w.project}:${w.tag}:3`)}`),
    ok: 204,
  },
  "GET /links": {
    permission: "project:read",
    url: () => `${api}/links?url=${encodeURIComponent(linked)}`,
    ok: 200,
    own: true,
  },
  "GET /tasks/:id/links": { permission: "project:read", url: (w) => taskUrl(w, "/links"), ok: 200 },
  "POST /tasks/:id/links": {
    permission: "task:write",
    url: (w) => taskUrl(w, "/links"),
    body: () => ({ url: "https://github.com/acme/web/pull/13" }),
    ok: 201,
  },
  "GET /tasks/:id/links/:link": {
    permission: "project:read",
    url: (w) => taskUrl(w, `/links/${w.link}`),
    ok: 200,
  },
  "DELETE /tasks/:id/links/:link": {
    permission: "task:write",
    url: (w) => taskUrl(w, `/links/${w.link}`),
    ok: 204,
  },
  "GET /receivers": { permission: "receiver:write", url: () => `${api}/receivers`, ok: 200, own: true },
  "POST /receivers": {
    permission: "receiver:write",
    url: () => `${api}/receivers`,
    body: () => ({ name: fresh() }),
    ok: 201,
    own: true,
  },
  "GET /receivers/:id": {
    permission: "receiver:write",
    url: (w) => `${api}/receivers/${w.receiver.id}`,
    ok: 200,
  },
  "PATCH /receivers/:id": {
    permission: "receiver:write",
    url: (w) => `${api}/receivers/${w.receiver.id}`,
    body: () => ({ statuses: { issueReopened: null } }),
    headers: () => version(1),
    ok: 200,
  },
  "DELETE /receivers/:id": {
    permission: "receiver:write",
    url: (w) => `${api}/receivers/${w.receiver.id}`,
    headers: () => version(1),
    ok: 204,
  },
  "POST /receivers/:id/rotate": {
    permission: "receiver:write",
    url: (w) => `${api}/receivers/${w.receiver.id}/rotate`,
    ok: 200,
  },
  "POST /receivers/github/:id": {
    url: (w) => `${api}/receivers/github/${w.receiver.id}`,
    body: () => ({}),
    headers: (w) => ({
      "x-github-event": "ping",
      "x-github-delivery": fresh(),
      "x-hub-signature-256": `sha256=${createHmac("sha256", w.receiver.secret).update("{}").digest("hex")}`,
    }),
    ok: 204,
    own: true,
    open: true,
  },
  "GET /projects/:key/tags/:tag/validate": {
    permission: "project:read",
    url: (w) => tagUrl(w, "/validate"),
    ok: 200,
  },
  "POST /projects/:key/tags/:tag/fix": { permission: "task:write", url: (w) => tagUrl(w, "/fix"), ok: 200 },
  "GET /projects/:key/tags/:tag/graph": {
    permission: "project:read",
    url: (w) => tagUrl(w, "/graph"),
    ok: 200,
  },
  "GET /projects/:key/tags/:tag/ready": {
    permission: "project:read",
    url: (w) => tagUrl(w, "/ready"),
    ok: 200,
  },
  "GET /projects/:key/tags/:tag/blocked": {
    permission: "project:read",
    url: (w) => tagUrl(w, "/blocked"),
    ok: 200,
  },
  "GET /projects/:key/tags/:tag/critical-path": {
    permission: "project:read",
    url: (w) => tagUrl(w, "/critical-path"),
    ok: 200,
  },
  "GET /projects/:key/tags/:tag/next": {
    permission: "project:read",
    url: (w) => tagUrl(w, "/next?mode=smart"),
    ok: 200,
  },
  "GET /projects/:key/tags/:tag/claims": {
    permission: "project:read",
    url: (w) => tagUrl(w, "/claims"),
    ok: 200,
  },
  "POST /projects/:key/tags/:tag/claims": {
    permission: "claim",
    url: (w) => tagUrl(w, "/claims"),
    body: () => ({ ttlSeconds: 60 }),
    ok: 201,
  },
  "POST /tasks/:id/claims": {
    permission: "claim",
    url: (w) => `${api}/tasks/${w.other.id}/claims`,
    ok: 201,
  },
  "GET /tasks/:id/attempts": { permission: "project:read", url: (w) => taskUrl(w, "/attempts"), ok: 200 },
  "GET /claims/:id": { permission: "project:read", url: (w) => `${api}/claims/${w.claim}`, ok: 200 },
  "POST /claims/:id/heartbeat": {
    permission: "claim",
    url: (w) => `${api}/claims/${w.claim}/heartbeat`,
    body: (w) => ({ fence: w.fence }),
    ok: 200,
  },
  "POST /claims/:id/release": {
    permission: "claim",
    url: (w) => `${api}/claims/${w.claim}/release`,
    body: (w) => ({ fence: w.fence }),
    ok: 200,
  },
  "POST /claims/:id/complete": {
    permission: "claim",
    url: (w) => `${api}/claims/${w.claim}/complete`,
    body: (w) => ({ fence: w.fence, note: "done" }),
    ok: 200,
  },
  "POST /claims/:id/fail": {
    permission: "claim",
    url: (w) => `${api}/claims/${w.claim}/fail`,
    body: (w) => ({ fence: w.fence, note: "it broke" }),
    ok: 200,
  },
  "GET /tasks/:id/comments": { permission: "project:read", url: (w) => taskUrl(w, "/comments"), ok: 200 },
  "POST /tasks/:id/comments": {
    permission: "comment:write",
    url: (w) => taskUrl(w, "/comments"),
    body: () => ({ body: "more" }),
    ok: 201,
  },
  "GET /comments/:id": { permission: "project:read", url: (w) => `${api}/comments/${w.comment}`, ok: 200 },
  "PATCH /comments/:id": {
    permission: "comment:write",
    url: (w) => `${api}/comments/${w.comment}`,
    body: () => ({ body: "changed" }),
    headers: () => version(1),
    ok: 200,
  },
  "DELETE /comments/:id": {
    permission: "comment:write",
    url: (w) => `${api}/comments/${w.comment}`,
    headers: () => version(1),
    ok: 204,
  },
  "POST /projects/:key/import": {
    permission: "import",
    url: (w) => `${api}/projects/${w.project}/import`,
    body: () => ({ imported: { tasks: [{ id: 1, title: "one", status: "pending" }] } }),
    ok: 200,
  },
  "GET /projects/:key/export": {
    permission: "project:read",
    url: (w) => `${api}/projects/${w.project}/export`,
    ok: 200,
  },
  "GET /projects/:key/imports": {
    permission: "project:read",
    url: (w) => `${api}/projects/${w.project}/imports`,
    ok: 200,
  },
  "GET /projects/:key/events": {
    permission: "project:read",
    url: (w) => `${api}/projects/${w.project}/events`,
    ok: 200,
  },
  "GET /projects/:key/events/stream": {
    permission: "project:read",
    url: (w) => `${api}/projects/${w.project}/events/stream?after=0`,
    ok: 200,
    endless: true,
  },
  "GET /webhooks": { permission: "webhook:read", url: () => `${api}/webhooks`, ok: 200, own: true },
  "POST /webhooks": {
    permission: "webhook:write",
    url: () => `${api}/webhooks`,
    body: () => ({ url: "https://example.com/new", events: ["task.*"] }),
    ok: 201,
    own: true,
  },
  "GET /webhooks/:id": { permission: "webhook:read", url: (w) => `${api}/webhooks/${w.webhook}`, ok: 200 },
  "PATCH /webhooks/:id": {
    permission: "webhook:write",
    url: (w) => `${api}/webhooks/${w.webhook}`,
    body: () => ({ events: ["*"], description: "changed" }),
    headers: (w) => version(w.webhookVersion),
    ok: 200,
  },
  "DELETE /webhooks/:id": {
    permission: "webhook:write",
    url: (w) => `${api}/webhooks/${w.webhook}`,
    headers: (w) => version(w.webhookVersion),
    ok: 204,
  },
  "POST /webhooks/:id/rotate-secret": {
    permission: "webhook:write",
    url: (w) => `${api}/webhooks/${w.webhook}/rotate-secret`,
    ok: 200,
  },
  "POST /webhooks/:id/test": {
    permission: "webhook:write",
    url: (w) => `${api}/webhooks/${w.webhook}/test`,
    ok: 202,
  },
  "POST /webhooks/:id/replay": {
    permission: "webhook:write",
    url: (w) => `${api}/webhooks/${w.webhook}/replay`,
    ok: 202,
  },
  "GET /webhooks/:id/deliveries": {
    permission: "webhook:read",
    url: (w) => `${api}/webhooks/${w.webhook}/deliveries?state=dead`,
    ok: 200,
  },
  "GET /deliveries/:id": {
    permission: "webhook:read",
    url: (w) => `${api}/deliveries/${w.delivery}`,
    ok: 200,
  },
  "POST /deliveries/:id/replay": {
    permission: "webhook:write",
    url: (w) => `${api}/deliveries/${w.delivery}/replay`,
    ok: 202,
  },
  "GET /audit": { permission: "audit:read", url: () => `${api}/audit`, ok: 200, own: true },
};

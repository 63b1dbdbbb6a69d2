import { AppError } from "../../core/errors.ts";
import type { ChangeSet, Draft, Reading, TaskRow } from "./model.ts";
import { pair } from "./model.ts";
import { gone, removeMembership, removeProject, removeTag, removeTask } from "./rows.ts";

/**
 * What the database's constraints are to PostgreSQL: looked at when a transaction commits, on what it has changed and
 * what others have committed meanwhile. `rows` are all rows with the changes in them. Throws already_exists or conflict.
 */
export function enforce(rows: Draft, changes: ChangeSet): void {
  cascade(rows, changes);
  const { puts } = changes;
  for (const row of puts.organizations ?? []) {
    unique(rows.organizations.where("slug", row.slug), "an organization with this slug");
  }
  for (const row of puts.users ?? []) {
    unique(rows.users.where("email", row.email), "a user with this address");
    if (row.issuer !== null && rows.users.where("identity", pair(row.issuer, row.subject)).length > 1) {
      throw new AppError("already_exists", "This identity is bound to another user already.");
    }
  }
  for (const row of puts.agents ?? []) {
    unique(rows.agents.where("name", pair(row.organizationId, row.name)), "an agent with this name");
  }
  for (const row of puts.memberships ?? []) {
    if ((row.role === "agent") !== (row.agentId !== null)) throw gone();
    present(row.userId === null ? rows.agents.get(row.agentId ?? "") : rows.users.get(row.userId));
    const same = rows.memberships
      .where("user", row.userId ?? "")
      .filter((other) => other.organizationId === row.organizationId);
    if (same.length > 1) throw new AppError("already_exists", "This person is a member already.");
  }
  for (const row of puts.tokens ?? []) present(rows.memberships.get(row.membershipId));
  for (const row of puts.projects ?? []) {
    unique(rows.projects.where("key", pair(row.organizationId, row.key)), "a project with this key");
  }
  for (const row of puts.tags ?? []) {
    present(rows.projects.get(row.projectId));
    unique(rows.tags.where("name", pair(row.projectId, row.name)), "a tag with this name");
  }
  for (const row of puts.tasks ?? []) enforceTask(rows, row);
  for (const row of puts.dependencies ?? []) enforceEdge(rows, row.id);
  for (const row of puts.claims ?? []) {
    present(rows.tasks.get(row.taskId));
    if (rows.claims.where("live", row.taskId).length > 1) {
      throw new AppError("already_exists", "The task has a live claim already.");
    }
  }
  for (const row of [...(puts.attempts ?? []), ...(puts.comments ?? [])]) present(rows.tasks.get(row.taskId));
  for (const row of puts.links ?? []) {
    present(rows.tasks.get(row.taskId));
    const same = rows.links.where("task", row.taskId).filter(({ url }) => url === row.url);
    unique(same, "a link of the task to this address");
  }
  for (const row of puts.importRuns ?? []) present(rows.projects.get(row.projectId));
}

/** What another transaction has hung on a row that this one takes away goes with it. */
function cascade(rows: Draft, { removed }: ChangeSet): void {
  for (const id of removed.projects ?? []) removeProject(rows, id);
  for (const id of removed.tags ?? []) removeTag(rows, id);
  for (const id of removed.tasks ?? []) removeTask(rows, id);
  for (const id of removed.memberships ?? []) removeMembership(rows, id);
}

function enforceTask(rows: Reading, row: TaskRow): void {
  present(rows.tags.get(row.tagId));
  unique(rows.tasks.where("place", pair(row.tagId, row.parentId, row.segment)), "a task with this local id");
  if (row.parentId !== null) {
    const parent = present(rows.tasks.get(row.parentId));
    if (parent.id === row.id || parent.parentId !== null || rows.tasks.where("parent", row.id).length > 0) {
      throw new AppError("conflict", "A subtask cannot have subtasks of its own.");
    }
    if (parent.tagId !== row.tagId) throw new AppError("conflict", "A subtask lies in its task's tag.");
  }
  for (const subtask of rows.tasks.where("parent", row.id)) {
    if (subtask.tagId !== row.tagId) throw new AppError("conflict", "A subtask lies in its task's tag.");
  }
  for (const edge of rows.dependencies.where("task", row.id)) enforceEdge(rows, edge.id);
  for (const edge of rows.dependencies.where("target", row.id)) enforceEdge(rows, edge.id);
}

function enforceEdge(rows: Reading, id: string): void {
  const edge = rows.dependencies.get(id);
  if (edge === undefined) return;
  const task = present(rows.tasks.get(edge.taskId));
  if (task.tagId !== edge.tagId) throw gone();
  if (edge.dependsOnId === null) return;
  if (edge.dependsOnId === edge.taskId) throw new AppError("conflict", "A task cannot wait for itself.");
  if (present(rows.tasks.get(edge.dependsOnId)).tagId !== edge.tagId) {
    throw new AppError("conflict", "A task can only wait for one of its own tag.");
  }
  const same = rows.dependencies
    .where("task", edge.taskId)
    .filter((other) => other.dependsOnId === edge.dependsOnId);
  if (same.length > 1) throw new AppError("already_exists", "The task waits for that one already.");
}

function unique(rows: unknown[], what: string): void {
  if (rows.length > 1) throw new AppError("already_exists", `There is ${what} already.`);
}

function present<R>(row: R | undefined): R {
  if (row === undefined) throw gone();
  return row;
}

import type { Actor } from "../../core/context.ts";
import type { TaskSummary } from "../../core/dependencies/schema.ts";
import { AppError } from "../../core/errors.ts";
import type { Keyset } from "../../core/page.ts";
import type { NewEvent } from "../../core/storage.ts";
import {
  type ClaimRow,
  type Draft,
  type EventRow,
  type MembershipRow,
  type Reading,
  type TaskRow,
  timestamp,
} from "./model.ts";

export function localIdOf(rows: Reading, task: TaskRow): string {
  const parent = task.parentId === null ? undefined : rows.tasks.get(task.parentId);
  return parent === undefined ? task.segment : `${parent.segment}.${task.segment}`;
}

export function summaryOf(rows: Reading, task: TaskRow): TaskSummary {
  return { id: task.id, localId: localIdOf(rows, task), title: task.title, status: task.status };
}

/** The task's claim that has neither ended nor expired. */
export function liveClaim(rows: Reading, taskId: string): ClaimRow | undefined {
  return rows.claims.where("live", taskId).find((claim) => !isExpired(claim));
}

export function isExpired(claim: ClaimRow): boolean {
  return claim.expiresAt <= timestamp();
}

export function compare(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function byId(a: { id: string }, b: { id: string }): number {
  return compare(a.id, b.id);
}

export function byRank(a: { rank: string; id: string }, b: { rank: string; id: string }): number {
  return compare(a.rank, b.rank) || compare(a.id, b.id);
}

export function byTask(
  a: { taskId: string; position: number; id: string },
  b: { taskId: string; position: number; id: string },
): number {
  return compare(a.taskId, b.taskId) || a.position - b.position || compare(a.id, b.id);
}

/** One more than is given out, behind the keyset's id. */
export function pageById<R extends { id: string }>(rows: R[], { limit, after }: Keyset): R[] {
  const start = after?.[0];
  return rows
    .filter((row) => start === undefined || row.id > String(start))
    .sort(byId)
    .slice(0, limit + 1);
}

/** Whom a membership is of. */
export function memberOf(rows: Reading, membership: MembershipRow): Actor {
  const user = membership.userId === null ? undefined : rows.users.get(membership.userId);
  if (user !== undefined) return { kind: "user", id: user.id, name: user.name };
  const agent = membership.agentId === null ? undefined : rows.agents.get(membership.agentId);
  return { kind: "agent", id: agent?.id ?? "", name: agent?.name ?? "" };
}

/** JSON as it will be read back, so that nothing of the caller's can change it, and it cannot be changed in passing. */
export function plain<T>(value: T): T {
  return value === null || typeof value !== "object"
    ? value
    : (freeze(JSON.parse(JSON.stringify(value))) as T);
}

function freeze(value: unknown): unknown {
  if (typeof value === "object" && value !== null) {
    Object.freeze(value);
    for (const member of Object.values(value)) freeze(member);
  }
  return value;
}

/** The last instant that RFC 3339 can say. */
const lastInstant = Date.parse("9999-12-31T23:59:59.999Z");

/** So many milliseconds after an instant, as rows have it. */
export function timestampAfter(instant: number, ms: number): string {
  if (instant + ms > lastInstant) {
    throw new AppError("invalid_input", "A time is later than can be stored; make it sooner.");
  }
  return timestamp(instant + ms);
}

export function gone(): AppError {
  return new AppError("conflict", "The change contradicts what is stored now; read again and try anew.");
}

/** Without the id and the sequence, which the commit gives. */
export type EventDraft = Omit<EventRow, "id" | "sequence">;

export function eventDraft(organizationId: string, event: NewEvent, createdAt: string): EventDraft {
  return plain({ ...event, organizationId, createdAt });
}

/** Takes a task away with all that hangs on it. */
export function removeTask(rows: Draft, id: string): void {
  for (const subtask of rows.tasks.where("parent", id)) removeTask(rows, subtask.id);
  for (const edge of rows.dependencies.where("task", id)) rows.dependencies.remove(edge.id);
  for (const edge of rows.dependencies.where("target", id)) rows.dependencies.remove(edge.id);
  for (const claim of rows.claims.where("task", id)) rows.claims.remove(claim.id);
  for (const attempt of rows.attempts.where("task", id)) rows.attempts.remove(attempt.id);
  for (const comment of rows.comments.where("task", id)) rows.comments.remove(comment.id);
  for (const link of rows.links.where("task", id)) rows.links.remove(link.id);
  rows.tasks.remove(id);
}

export function removeTag(rows: Draft, id: string): void {
  for (const task of rows.tasks.where("tag", id)) removeTask(rows, task.id);
  rows.tags.remove(id);
}

/** The events stay. */
export function removeProject(rows: Draft, id: string): void {
  for (const tag of rows.tags.where("project", id)) removeTag(rows, tag.id);
  for (const run of rows.importRuns.where("project", id)) rows.importRuns.remove(run.id);
  rows.projects.remove(id);
}

export function removeMembership(rows: Draft, id: string): void {
  for (const token of rows.tokens.where("membership", id)) rows.tokens.remove(token.id);
  rows.memberships.remove(id);
}

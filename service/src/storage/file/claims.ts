import { AppError, notFound } from "../../core/errors.ts";
import type { ClaimRecord, ClaimStore } from "../../core/storage.ts";
import { findCandidates } from "./candidates.ts";
import type { Db, Tx } from "./engine.ts";
import { type ClaimRow, type Reading, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { byId, isExpired, liveClaim, localIdOf, pageById, plain, timestampAfter } from "./rows.ts";

function claimRecord(rows: Reading, claim: ClaimRow): ClaimRecord {
  const { organizationId: _, projectId, taskId, ...values } = claim;
  const task = rows.tasks.get(taskId);
  if (task === undefined) throw notFound("claim", claim.id);
  return {
    ...values,
    task: taskId,
    project: rows.projects.get(projectId)?.key ?? "",
    tag: rows.tags.get(task.tagId)?.name ?? "",
    localId: localIdOf(rows, task),
    projectId,
    tagId: task.tagId,
    expired: isExpired(claim),
  };
}

export function createClaimStore(db: Db, organizationId: string): ClaimStore {
  const { own, getLocked } = owned(organizationId);

  const liveIn = (rows: Reading, tagId: string): ClaimRow[] =>
    rows.tasks
      .where("tag", tagId)
      .filter((task) => own(task) !== undefined)
      .flatMap(({ id }) => liveClaim(rows, id) ?? [])
      .sort(byId);

  const rootOf = (rows: Reading, taskId: string): string | undefined => {
    const task = own(rows.tasks.get(taskId));
    return task === undefined ? undefined : (task.parentId ?? task.id);
  };

  const lockFamily = async ({ rows, lock, tryLock }: Tx, taskId: string, wait: boolean): Promise<boolean> => {
    let root = rootOf(rows, taskId);
    while (root !== undefined) {
      if (!wait && !tryLock("tasks", root)) return false;
      await lock("tasks", root);
      // While we waited the task may have become another's subtask, or have gone.
      const now = rootOf(rows, taskId);
      if (now === root) return true;
      root = now;
    }
    return false;
  };

  /** The claim while it lives. */
  const live = async (tx: Tx, id: string): Promise<ClaimRow> => {
    const claim = await getLocked(tx, "claims", id);
    if (claim === undefined || claim.endedAt !== null) {
      throw new AppError("claim_ended", "The claim has ended.");
    }
    return claim;
  };

  return {
    find: async (id) =>
      await db.read((rows) => {
        const claim = own(rows.claims.get(id));
        return claim && claimRecord(rows, claim);
      }),

    lockFamily: async (taskId, wait) => await db.write(async (tx) => await lockFamily(tx, taskId, wait)),

    lockCandidate: async (query) =>
      await db.write(async (tx) => {
        const tasks = tx.rows.tasks.where("tag", query.tagId).filter((task) => own(task) !== undefined);
        for (const id of findCandidates(tx.rows, tasks, { ...query, limit: tasks.length })) {
          if (await lockFamily(tx, id, false)) return id;
        }
        return undefined;
      }),

    findLocked: async (id) =>
      await db.write(async (tx) => {
        const claim = own(tx.rows.claims.get(id));
        if (claim === undefined || !(await lockFamily(tx, claim.taskId, true))) return undefined;
        await tx.lock("claims", id);
        const now = own(tx.rows.claims.get(id));
        return now && claimRecord(tx.rows, now);
      }),

    list: async (tagId, keyset) =>
      await db.read((rows) => pageById(liveIn(rows, tagId), keyset).map((claim) => claimRecord(rows, claim))),

    findForeign: async (tagId, holderId) =>
      await db.write(async (tx) => {
        const families = tx.rows.tasks.where("tag", tagId).filter((task) => task.parentId === null);
        for (const { id } of families.filter((task) => own(task) !== undefined).sort(byId)) {
          await tx.lock("tasks", id);
        }
        const claim = liveIn(tx.rows, tagId).find(({ holder }) => holder.id !== holderId);
        return claim && claimRecord(tx.rows, claim);
      }),

    liveAround: async (taskId) =>
      await db.read((rows) => {
        const task = own(rows.tasks.get(taskId));
        if (task === undefined) return [];
        const around = [task.id, task.parentId, ...rows.tasks.where("parent", task.id).map(({ id }) => id)];
        return around
          .flatMap((id) => (id === null ? [] : rows.claims.where("live", id)))
          .sort(byId)
          .map((claim) => claimRecord(rows, claim));
      }),

    insert: async ({ id, task: { id: taskId }, holder, ttlSeconds, previousStatus }) =>
      await db.write(async (tx) => {
        const task = await getLocked(tx, "tasks", taskId);
        if (task === undefined) throw notFound("task", taskId);
        if (tx.rows.claims.where("live", taskId).length > 0) {
          throw new AppError("already_exists", "The task has a live claim already.");
        }
        const now = Date.now();
        const fence = task.fence + 1;
        tx.rows.tasks.put({ ...task, fence });
        const claim: ClaimRow = {
          ...{ id, organizationId, projectId: task.projectId, taskId, fence, ttlSeconds, previousStatus },
          holder: plain(holder),
          createdAt: timestamp(now),
          expiresAt: timestampAfter(now, ttlSeconds * 1000),
          outcome: null,
          endedAt: null,
        };
        tx.rows.claims.put(claim);
        return claimRecord(tx.rows, claim);
      }),

    renew: async (id, ttlSeconds) =>
      await db.write(async (tx) => {
        const expiresAt = timestampAfter(Date.now(), ttlSeconds * 1000);
        const claim: ClaimRow = { ...(await live(tx, id)), ttlSeconds, expiresAt };
        tx.rows.claims.put(claim);
        return claimRecord(tx.rows, claim);
      }),

    end: async (id, outcome) =>
      await db.write(async (tx) => {
        const claim: ClaimRow = { ...(await live(tx, id)), outcome, endedAt: timestamp() };
        tx.rows.claims.put(claim);
        return claimRecord(tx.rows, claim);
      }),
  };
}

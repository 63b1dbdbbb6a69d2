import { change, record, type Services } from "../change.ts";
import type { Context } from "../context.ts";
import { systemActor } from "../context.ts";
import { AppError } from "../errors.ts";
import { demandFlag } from "../flags/service.ts";
import { isRunnable, lockCandidate } from "../graph/next.ts";
import { rankSmart } from "../graph/rules.ts";
import { loadGraph } from "../graph/service.ts";
import { newId } from "../ids.ts";
import { getById, getTag, getTask } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { allows, authorize } from "../policy.ts";
import type { ClaimRecord, TaskRecord, Transaction } from "../storage.ts";
import { setStatus, workableStatuses } from "../tasks/status.ts";
import { claimedBy } from "./guard.ts";
import type {
  Claim,
  ClaimEnd,
  ClaimFailure,
  ClaimOutcome,
  Heartbeat,
  NewClaim,
  NewNextClaim,
  NextMode,
  TaskClaim,
} from "./schema.ts";

export interface Claims {
  /** The live claims of a tag. */
  list(ctx: Context, project: string, tag: string, page: PageRequest): Promise<Page<Claim>>;
  get(ctx: Context, id: string): Promise<Claim>;
  /** Next and claim in one transaction, never waiting for another claimer; null when nothing is ready. */
  claimNext(ctx: Context, project: string, tag: string, input: NewNextClaim): Promise<Claim | null>;
  /** Claims a task by name. Refused with claimed when it, its parent or one of its subtasks is another's. */
  claim(ctx: Context, reference: string, input: NewClaim): Promise<Claim>;
  heartbeat(ctx: Context, id: string, input: Heartbeat): Promise<Claim>;
  /** Gives the task back in the status it had. An admin may release anybody's claim. */
  release(ctx: Context, id: string, input: ClaimEnd): Promise<Claim>;
  /** The task is done. */
  complete(ctx: Context, id: string, input: ClaimEnd): Promise<Claim>;
  /** Gives the task back with a note of what went wrong. */
  fail(ctx: Context, id: string, input: ClaimFailure): Promise<Claim>;
  /** Ends the claims that are past their expiry and puts their tasks back; returns how many. Run at intervals. */
  expire(): Promise<number>;
}

const defaultTtlSeconds = 900;
const attemptsAtNext = 10;

export function createClaims(services: Services): Claims {
  return {
    async list(ctx, key, name, page) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const tag = await getTag(tx, key, name);
      const keyset = openPage(`claims ${tag.id}`, page, ["uuid"]);
      const result = closePage(`claims ${tag.id}`, keyset, await tx.claims.list(tag.id, keyset), (row) => [
        row.id,
      ]);
      return { items: result.items.map(toClaim), nextCursor: result.nextCursor };
    },

    async get(ctx, id) {
      authorize(ctx, "project:read");
      return toClaim(await getById("claim", id, services.storage.reader(ctx.organizationId).claims.find));
    },

    async claimNext(ctx, key, name, input) {
      authorize(ctx, "claim");
      const { ttlSeconds = defaultTtlSeconds, mode = "compat" } = input;
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await change(
            services,
            ctx,
            { operation: "claim.next", input: { key, name, input } },
            async (tx) => {
              // In here, because a repeat under an Idempotency-Key gets its answer whatever was switched off since.
              if (mode === "smart") await demandFlag(services, ctx, "smart-next", tx);
              const tag = await getTag(tx, key, name);
              const found = await takeNext(tx, ctx, tag.id, mode, ttlSeconds);
              // Thrown, so that nothing is kept under the Idempotency-Key for a call that changed nothing.
              if (found === null) throw nothingReady;
              if (found === "busy") throw busyTag;
              return found;
            },
          );
        } catch (error) {
          if (error === nothingReady) return null;
          if (error !== busyTag || attempt === attemptsAtNext) throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 5 * attempt));
      }
    },

    async claim(ctx, reference, input) {
      authorize(ctx, "claim");
      const { ttlSeconds = defaultTtlSeconds } = input;
      return change(services, ctx, { operation: "claim.task", input: { reference, input } }, async (tx) => {
        const found = await getTask(tx, reference);
        await tx.claims.lockFamily(found.id, true);
        const [task, dependsOn, around] = await Promise.all([
          getTask(tx, found.id),
          tx.dependencies.dependsOn(found.id),
          tx.claims.liveAround(found.id),
        ]);
        const other = conflicting(ctx, task, around);
        if (other !== undefined) throw claimedBy(other);
        if (!workableStatuses.includes(task.status)) {
          throw new AppError(
            "conflict",
            `Task ${task.localId} is ${task.status}; only a pending or in-progress task can be claimed.`,
          );
        }
        if (!isRunnable(task, dependsOn)) {
          throw new AppError(
            "conflict",
            `Task ${task.localId} waits for ${task.dependencies.join(", ")}; claim what is ready, or take the dependency away.`,
          );
        }
        return begin(tx, ctx, task, around, ttlSeconds);
      });
    },

    async heartbeat(ctx, id, input) {
      authorize(ctx, "claim");
      return change(services, ctx, { operation: "claim.heartbeat", input: { id, input } }, async (tx) => {
        const claim = await getOwn(tx, ctx, id, input.fence);
        const renewed = await tx.claims.renew(claim.id, input.ttlSeconds ?? claim.ttlSeconds);
        await record(
          tx,
          ctx,
          "claim.renewed",
          { projectId: claim.projectId, taskId: claim.task },
          {
            claim: claim.id,
            changes: { claim: [shown(claim), shown(renewed)] },
          },
        );
        return toClaim(renewed);
      });
    },

    async release(ctx, id, input) {
      authorize(ctx, "claim");
      return change(services, ctx, { operation: "claim.release", input: { id, input } }, async (tx) => {
        const claim = await getOwn(tx, ctx, id, input.fence, allows(ctx, "claim:any"));
        return end(tx, ctx, claim, "released", input.note ?? "");
      });
    },

    async complete(ctx, id, input) {
      authorize(ctx, "claim");
      return change(services, ctx, { operation: "claim.complete", input: { id, input } }, async (tx) =>
        end(tx, ctx, await getOwn(tx, ctx, id, input.fence), "completed", input.note ?? ""),
      );
    },

    async fail(ctx, id, input) {
      authorize(ctx, "claim");
      return change(services, ctx, { operation: "claim.fail", input: { id, input } }, async (tx) =>
        end(tx, ctx, await getOwn(tx, ctx, id, input.fence), "failed", input.note),
      );
    },

    async expire() {
      const expired = await services.storage.upkeep.listExpiredClaims(100);
      let count = 0;
      const failures: unknown[] = [];
      for (const { organizationId, claimId } of expired) {
        try {
          const ended = await services.storage.transaction(organizationId, async (tx) => {
            const claim = await tx.claims.findLocked(claimId);
            // Behind the lock a heartbeat may have come, or another server may have ended it.
            if (claim === undefined || claim.outcome !== null || !claim.expired) return false;
            await end(tx, expiry, claim, "expired", "");
            return true;
          });
          if (ended) count += 1;
        } catch (error) {
          // The oldest comes first in every round: one that cannot be ended may not keep all others from it.
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
      return count;
    },
  };
}

const expiry = { actor: systemActor, requestId: "claim-expiry" };

const nothingReady = new AppError("not_found", "Nothing is ready.");
const busyTag = new AppError(
  "unavailable",
  "Other claimers have their hands on every ready task of the tag; try again in a moment.",
);

/** How often a claimer that came too late for what it found looks again before it lets others go on. */
const looksAtNext = 16;

/** The first that nobody is about to take. "busy" when there was work but other claimers had their hands on all of it. */
async function takeNext(
  tx: Transaction,
  ctx: Context,
  tagId: string,
  mode: NextMode,
  ttlSeconds: number,
): Promise<Claim | null | "busy"> {
  if (mode === "smart") {
    const ranked = rankSmart(await loadGraph(tx, tagId), ctx.actor.id, true);
    for (const { task } of ranked) {
      if (!(await tx.claims.lockFamily(task.id, false))) continue;
      const claim = await takeLocked(tx, ctx, task.id, ttlSeconds);
      if (claim !== undefined) return claim;
    }
    return ranked.length > 0 ? "busy" : null;
  }
  for (let look = 1; look <= looksAtNext; look += 1) {
    const found = await lockCandidate(tx, tagId, ctx.actor.id);
    if (found === undefined) return null;
    if (found === "busy") return "busy";
    const claim = await takeLocked(tx, ctx, found, ttlSeconds);
    if (claim !== undefined) return claim;
  }
  return "busy";
}

/** Behind the lock the task may be another's by now, or done, or wait for something new: then undefined. */
async function takeLocked(
  tx: Transaction,
  ctx: Context,
  id: string,
  ttlSeconds: number,
): Promise<Claim | undefined> {
  const [task, dependsOn, around] = await Promise.all([
    tx.tasks.find({ id }),
    tx.dependencies.dependsOn(id),
    tx.claims.liveAround(id),
  ]);
  if (task === undefined || !isRunnable(task, dependsOn) || conflicting(ctx, task, around) !== undefined)
    return undefined;
  return await begin(tx, ctx, task, around, ttlSeconds);
}

/** A live claim of another on the task, its parent or one of its subtasks; or the caller's own on the very task. */
function conflicting(ctx: Context, task: TaskRecord, around: ClaimRecord[]): ClaimRecord | undefined {
  return around.find(
    (claim) => !claim.expired && (claim.holder.id !== ctx.actor.id || claim.task === task.id),
  );
}

/** The caller holds the family's lock and has seen that nobody else's claim, of those around it, is in the way. */
async function begin(
  tx: Transaction,
  ctx: Context,
  found: TaskRecord,
  around: ClaimRecord[],
  ttlSeconds: number,
): Promise<Claim> {
  const over = around.find((claim) => claim.expired && claim.task === found.id);
  if (over !== undefined) await end(tx, expiry, over, "expired", "");
  const task = over === undefined ? found : await getTask(tx, found.id);
  const claim = await tx.claims.insert({
    id: newId(),
    task,
    holder: ctx.actor,
    ttlSeconds,
    previousStatus: task.status,
  });
  await Promise.all([
    record(
      tx,
      ctx,
      "claim.created",
      { projectId: task.projectId, taskId: task.id },
      {
        claim: claim.id,
        tag: task.tag,
        localId: task.localId,
        changes: { claim: [null, shown(claim)] },
      },
    ),
    setStatus(tx, ctx, task, "in-progress", { claim: claim.id }),
  ]);
  return toClaim(claim);
}

async function getOwn(
  tx: Transaction,
  ctx: Context,
  id: string,
  fence: number,
  anybodys = false,
): Promise<ClaimRecord> {
  const claim = await getById("claim", id, tx.claims.findLocked);
  if (claim.holder.id !== ctx.actor.id && !anybodys) throw claimedBy(claim);
  if (claim.outcome !== null || claim.expired) {
    const how = claim.outcome ?? "expired";
    throw new AppError(
      "claim_ended",
      `The claim on task ${claim.localId} has ended (${how}); claim the task again.`,
      {
        details: { outcome: how },
      },
    );
  }
  if (claim.fence !== fence) {
    throw new AppError(
      "stale_fence",
      `The fence ${fence} is not that of this claim, which is ${claim.fence}.`,
      {
        details: { fence: claim.fence },
      },
    );
  }
  return claim;
}

const eventOf = {
  completed: "claim.completed",
  failed: "claim.failed",
  released: "claim.released",
  expired: "claim.expired",
} as const;

async function end(
  tx: Transaction,
  ctx: Pick<Context, "actor" | "requestId">,
  claim: ClaimRecord,
  outcome: ClaimOutcome,
  note: string,
): Promise<Claim> {
  const ended = await tx.claims.end(claim.id, outcome);
  const [task] = await Promise.all([
    getTask(tx, claim.task),
    tx.attempts.insert({ id: newId(), claim: ended, outcome, note }),
  ]);
  const recorded = record(
    tx,
    ctx,
    eventOf[outcome],
    { projectId: claim.projectId, taskId: claim.task },
    {
      claim: claim.id,
      tag: claim.tag,
      localId: claim.localId,
      holder: claim.holder,
      note,
      changes: { claim: [shown(claim), null] },
    },
  );
  // What the holder set on purpose, such as review, stays; the mark of being worked on does not.
  const status =
    outcome === "completed" ? "done" : task.status === "in-progress" ? claim.previousStatus : task.status;
  await Promise.all([recorded, setStatus(tx, ctx, task, status, { claim: claim.id })]);
  return toClaim(ended);
}

function toClaim(record: ClaimRecord): Claim {
  const { projectId: _p, tagId: _t, expired: _e, ...claim } = record;
  return claim;
}

/** As a task shows it. */
function shown(claim: Claim): TaskClaim {
  const { id, holder, fence, expiresAt } = claim;
  return { id, holder, fence, expiresAt };
}

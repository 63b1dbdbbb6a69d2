import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import type { ClaimRecord, TaskRecord, Transaction } from "../storage.ts";

/**
 * Lets a change of a task's status, place or existence pass only when nobody holds it, or when the caller shows the
 * fence of its own claim. Takes the family's lock first, so that no claim is made in between. A claim on a task covers
 * its subtasks.
 */
export async function guardClaim(
  tx: Transaction,
  ctx: Pick<Context, "actor">,
  task: TaskRecord,
  fence: number | undefined,
  withSubtasks = false,
): Promise<void> {
  await tx.claims.lockFamily(task.id, true);
  const around = (await tx.claims.liveAround(task.id)).filter((claim) => !claim.expired);
  const covering = around.filter((claim) => claim.task === task.id || claim.task === task.parent);
  const inside = withSubtasks
    ? around.filter((claim) => claim.task !== task.id && claim.task !== task.parent)
    : [];
  const foreign = inside.find((claim) => claim.holder.id !== ctx.actor.id);
  if (foreign !== undefined) throw claimedBy(foreign);
  if (fence === undefined) {
    const [claim] = covering;
    if (claim !== undefined) throw claimedBy(claim);
    return;
  }
  if (!covering.some((claim) => claim.holder.id === ctx.actor.id && claim.fence === fence)) {
    throw new AppError(
      "stale_fence",
      `The fence ${fence} is not that of a live claim of yours on task ${task.localId}; it has ended or passed on.`,
      { details: { fence: task.fence } },
    );
  }
}

export function claimedBy(claim: ClaimRecord): AppError {
  return new AppError(
    "claimed",
    `Task ${claim.localId} is held by ${claim.holder.name} until ${claim.expiresAt}; its holder sends the claim's fence with a change.`,
    { details: { claim: claim.id, task: claim.task, holder: claim.holder, expiresAt: claim.expiresAt } },
  );
}

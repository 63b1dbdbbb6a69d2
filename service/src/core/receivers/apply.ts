import { guardClaim } from "../claims/guard.ts";
import { addComment } from "../comments/add.ts";
import type { Actor, Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { getTask } from "../locate.ts";
import type { Status } from "../schema.ts";
import type { LinkRecord, TaskRecord, Transaction } from "../storage.ts";
import { closedStatuses, setStatus } from "../tasks/status.ts";
import type { Told } from "./github.ts";
import type { Receipt, Statuses } from "./schema.ts";

export interface Delivery {
  receiverId: string;
  /** GitHub's id of it, the same over its repeats. */
  id: string;
  /** SHA-256 of the body: what was signed, which the id is not. */
  digest: string;
  told: Told;
}

type Entry = Receipt["tasks"][number];

/** Brings the tasks that link to it where it says. Each task is decided on behind its family's lock. */
export async function apply(
  tx: Transaction,
  ctx: Pick<Context, "actor" | "requestId">,
  statuses: Statuses,
  delivery: Delivery,
): Promise<Entry[]> {
  const all = { limit: Number.MAX_SAFE_INTEGER - 1, after: undefined };
  const links = await tx.links.list({ url: delivery.told.url }, all);
  const entries: Entry[] = [];
  // Always in the same order, so that two deliveries of the same do not wait for each other in a circle.
  for (const { id, task } of links.sort((a, b) => (a.task < b.task ? -1 : 1))) {
    if (!(await tx.claims.lockFamily(task, true))) continue;
    const link = await tx.links.find(id);
    if (link === undefined) continue;
    entries.push(await applyTo(tx, ctx, statuses, delivery, link));
  }
  return entries;
}

async function applyTo(
  tx: Transaction,
  ctx: Pick<Context, "actor" | "requestId">,
  statuses: Statuses,
  delivery: Delivery,
  link: LinkRecord,
): Promise<Entry> {
  const task = await getTask(tx, link.task);
  const { project, tag, localId } = task;
  const entry = (outcome: Entry["outcome"], status = task.status): Entry => ({
    task: task.id,
    project,
    tag,
    localId,
    outcome,
    status,
  });
  if (isRepeat(link, delivery)) return entry("repeated");
  await tx.links.tell(link.id, { at: delivery.told.at, delivery: delivery.id, digest: delivery.digest });

  const status = statusFor(task.status, statuses, delivery.told);
  if (status === undefined) return entry("unchanged");
  const holder = await findHolder(tx, ctx, task);
  if (holder !== undefined) {
    await addComment(tx, ctx, task, sentence(link, delivery.told, task, holder));
    return entry("held");
  }
  const after = await setStatus(tx, ctx, task, status, {
    receiver: delivery.receiverId,
    delivery: delivery.id,
    link: link.url,
    by: delivery.told.by,
  });
  return entry("changed", after.status);
}

/**
 * Whether this, or something later, was told of the link before. The id of a delivery is not signed, so that what was sent
 * counts as well: neither an old body under a new id nor a late one takes back what came since.
 */
function isRepeat({ told }: LinkRecord, { id, digest, told: { at } }: Delivery): boolean {
  if (told === null) return false;
  return told.delivery === id || told.digest === digest || at < told.at;
}

/** Undefined where the task says the same already, or was brought further by somebody. */
function statusFor(now: Status, statuses: Statuses, { trigger }: Told): Status | undefined {
  const wanted = statuses[trigger];
  if (wanted === null || wanted === now) return undefined;
  const closed = closedStatuses.includes(now);
  if (trigger !== "issueReopened") return closed ? undefined : wanted;
  const byClosing = now === statuses.issueClosed || now === statuses.issueNotPlanned;
  return closed || byClosing ? wanted : undefined;
}

/** Whoever holds the task decides on it: a change under them would make their own next write surprise them. */
async function findHolder(
  tx: Transaction,
  ctx: Pick<Context, "actor">,
  task: TaskRecord,
): Promise<Actor | undefined> {
  try {
    await guardClaim(tx, ctx, task, undefined);
    return undefined;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "claimed") throw error;
    return error.details.holder as Actor;
  }
}

function sentence({ key }: LinkRecord, { what, by }: Told, task: TaskRecord, holder: Actor): string {
  return (
    `${key} ${what} at GitHub by ${by}. The task is held by ${holder.name}, so it stays ${task.status}; ` +
    "whoever holds it decides what follows."
  );
}

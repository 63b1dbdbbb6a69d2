import { record } from "../change.ts";
import type { Context } from "../context.ts";
import { newId } from "../ids.ts";
import type { TaskRecord, Transaction } from "../storage.ts";
import type { Comment } from "./schema.ts";

/** A comment by whoever acts, with its event. */
export async function addComment(
  tx: Transaction,
  ctx: Pick<Context, "actor" | "requestId">,
  task: TaskRecord,
  body: string,
): Promise<Comment> {
  const comment = await tx.comments.insert({ id: newId(), taskId: task.id, author: ctx.actor, body });
  await record(
    tx,
    ctx,
    "comment.created",
    { projectId: task.projectId, taskId: task.id },
    { comment: comment.id, body: comment.body },
  );
  return comment;
}

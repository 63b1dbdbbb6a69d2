import type { Comment } from "../../core/comments/schema.ts";
import { notFound } from "../../core/errors.ts";
import type { CommentStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { type CommentRow, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { pageById, plain } from "./rows.ts";

function commentOf({ organizationId: _, taskId, ...comment }: CommentRow): Comment {
  return { ...comment, task: taskId };
}

export function createCommentStore(db: Db, organizationId: string): CommentStore {
  const { own, getLocked } = owned(organizationId);

  return {
    list: async (taskId, keyset) =>
      await db.read((rows) => {
        const comments = rows.comments.where("task", taskId).filter((row) => own(row) !== undefined);
        return pageById(comments, keyset).map(commentOf);
      }),

    find: async (id) =>
      await db.read((rows) => {
        const comment = own(rows.comments.get(id));
        const task = comment && rows.tasks.get(comment.taskId);
        return task && { ...commentOf(comment), projectId: task.projectId };
      }),

    insert: async ({ id, taskId, author, body }) =>
      await db.write(({ rows }) => {
        if (own(rows.tasks.get(taskId)) === undefined) throw notFound("task", taskId);
        const now = timestamp();
        const dates = { version: 1, createdAt: now, updatedAt: now };
        const comment: CommentRow = { id, organizationId, taskId, author: plain(author), body, ...dates };
        rows.comments.put(comment);
        return commentOf(comment);
      }),

    update: async (id, body, version) =>
      await db.write(async (tx) => {
        const comment = await getLocked(tx, "comments", id);
        if (comment?.version !== version) return undefined;
        const after: CommentRow = { ...comment, body, version: version + 1, updatedAt: timestamp() };
        tx.rows.comments.put(after);
        return commentOf(after);
      }),

    delete: async (id, version) =>
      await db.write(async (tx) => {
        const comment = await getLocked(tx, "comments", id);
        if (comment?.version !== version) return false;
        tx.rows.comments.remove(id);
        return true;
      }),
  };
}

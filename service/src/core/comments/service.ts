import { change, record, type Services, staleWrite, versionMismatch } from "../change.ts";
import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { getById, getTask } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { allows, authorize } from "../policy.ts";
import type { CommentRecord } from "../storage.ts";
import { addComment } from "./add.ts";
import type { Comment, CommentPatch, NewComment } from "./schema.ts";

export interface Comments {
  list(ctx: Context, task: string, page: PageRequest): Promise<Page<Comment>>;
  get(ctx: Context, id: string): Promise<Comment>;
  create(ctx: Context, task: string, input: NewComment): Promise<Comment>;
  /** Only by its author. */
  update(ctx: Context, id: string, patch: CommentPatch, version: number): Promise<Comment>;
  /** By its author or an admin. */
  delete(ctx: Context, id: string, version: number): Promise<void>;
}

export function createComments(services: Services): Comments {
  return {
    async list(ctx, reference, page) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const task = await getTask(tx, reference);
      const keyset = openPage(`comments ${task.id}`, page, ["uuid"]);
      const rows = await tx.comments.list(task.id, keyset);
      return closePage(`comments ${task.id}`, keyset, rows, (row) => [row.id]);
    },

    async get(ctx, id) {
      authorize(ctx, "project:read");
      return toComment(
        await getById("comment", id, services.storage.reader(ctx.organizationId).comments.find),
      );
    },

    async create(ctx, reference, input) {
      authorize(ctx, "comment:write");
      return change(
        services,
        ctx,
        { operation: "comment.create", input: { reference, input } },
        async (tx) => {
          const task = await getTask(tx, reference);
          return addComment(tx, ctx, task, input.body);
        },
      );
    },

    async update(ctx, id, patch, version) {
      authorize(ctx, "comment:write");
      return change(
        services,
        ctx,
        { operation: "comment.update", input: { id, patch, version } },
        async (tx) => {
          const before = await getById("comment", id, tx.comments.find);
          if (before.author.id !== ctx.actor.id)
            throw new AppError("forbidden", "A comment is changed by its author only.");
          if (before.version !== version) throw versionMismatch("comment", version, before.version);
          if (patch.body === undefined || patch.body === before.body) return toComment(before);
          const after = await tx.comments.update(before.id, patch.body, version);
          if (after === undefined) throw await staleWrite("comment", before.id, version, tx.comments.find);
          await record(
            tx,
            ctx,
            "comment.updated",
            { projectId: before.projectId, taskId: before.task },
            {
              comment: before.id,
              changes: { body: [before.body, after.body] },
            },
          );
          return after;
        },
      );
    },

    async delete(ctx, id, version) {
      authorize(ctx, "comment:write");
      await change(services, ctx, { operation: "comment.delete", input: { id, version } }, async (tx) => {
        const before = await getById("comment", id, tx.comments.find);
        if (before.author.id !== ctx.actor.id && !allows(ctx, "comment:any")) {
          throw new AppError("forbidden", "A comment is deleted by its author or an admin only.");
        }
        if (!(await tx.comments.delete(before.id, version)))
          throw await staleWrite("comment", before.id, version, tx.comments.find);
        await record(
          tx,
          ctx,
          "comment.deleted",
          { projectId: before.projectId, taskId: before.task },
          {
            comment: before.id,
            body: before.body,
          },
        );
      });
    },
  };
}

function toComment(record: CommentRecord): Comment {
  const { projectId: _, ...comment } = record;
  return comment;
}

import { change, changesOf, record, type Services, versionMismatch } from "../change.ts";
import type { Context } from "../context.ts";
import { AppError, notFound } from "../errors.ts";
import { newId } from "../ids.ts";
import { getProject, getTag } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { TagRecord, Transaction } from "../storage.ts";
import type { NewTag, Tag, TagCopy, TagPatch } from "./schema.ts";

export interface Tags {
  list(ctx: Context, project: string): Promise<Tag[]>;
  get(ctx: Context, project: string, name: string): Promise<Tag>;
  create(ctx: Context, project: string, input: NewTag): Promise<Tag>;
  /** Renames with `name`. */
  update(ctx: Context, project: string, name: string, patch: TagPatch, version: number): Promise<Tag>;
  /** With its tasks; refused with claimed while somebody else holds one of them. */
  delete(ctx: Context, project: string, name: string, version: number): Promise<void>;
  /** A new tag with the same tasks, subtasks and dependencies; claims, attempts and comments stay behind. */
  copy(ctx: Context, project: string, name: string, input: TagCopy): Promise<Tag>;
}

export function createTags(services: Services): Tags {
  async function stale(tx: Transaction, tag: TagRecord, version: number) {
    const now = await tx.tags.findById(tag.id);
    return now === undefined ? notFound("tag", tag.name) : versionMismatch("tag", version, now.version);
  }

  return {
    async list(ctx, key) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const project = await getProject(tx, key);
      return (await tx.tags.list(project.id)).map(toTag);
    },

    async get(ctx, key, name) {
      authorize(ctx, "project:read");
      return toTag(await getTag(services.storage.reader(ctx.organizationId), key, name));
    },

    async create(ctx, key, input) {
      authorize(ctx, "tag:write");
      return change(services, ctx, { operation: "tag.create", input: { key, input } }, async (tx) => {
        const project = await getProject(tx, key);
        const tag = await tx.tags.insert({
          id: newId(),
          projectId: project.id,
          name: input.name,
          description: input.description ?? "",
          metadata: input.metadata ?? {},
          source: null,
          nextLocalNumber: 1,
        });
        await record(tx, ctx, "tag.created", { projectId: project.id }, { tag: tag.id, name: tag.name });
        return toTag(tag);
      });
    },

    async update(ctx, key, name, patch, version) {
      authorize(ctx, "tag:write");
      return change(
        services,
        ctx,
        { operation: "tag.update", input: { key, name, patch, version } },
        async (tx) => {
          const before = await getTag(tx, key, name);
          if (before.version !== version) throw versionMismatch("tag", version, before.version);
          const changes = changesOf<Tag>(before, patch);
          if (Object.keys(changes).length === 0) return toTag(before);
          const after = await tx.tags.update(before.id, patch, version);
          if (after === undefined) throw await stale(tx, before, version);
          await record(
            tx,
            ctx,
            "tag.updated",
            { projectId: before.projectId },
            { tag: before.id, name: before.name, changes },
          );
          return toTag(after);
        },
      );
    },

    async delete(ctx, key, name, version) {
      authorize(ctx, "tag:write");
      await change(services, ctx, { operation: "tag.delete", input: { key, name, version } }, async (tx) => {
        const tag = await getTag(tx, key, name);
        await tx.tags.lockGraphs([tag.id]);
        const held = await tx.claims.findForeign(tag.id, ctx.actor.id);
        if (held !== undefined) {
          throw new AppError(
            "claimed",
            `${held.holder.name} holds task ${held.localId} until ${held.expiresAt}; wait, or release the claim.`,
            { details: { claim: held.id } },
          );
        }
        if (!(await tx.tags.delete(tag.id, version))) throw await stale(tx, tag, version);
        await record(tx, ctx, "tag.deleted", { projectId: tag.projectId }, { tag: tag.id, name: tag.name });
      });
    },

    async copy(ctx, key, name, input) {
      authorize(ctx, "tag:write");
      return change(services, ctx, { operation: "tag.copy", input: { key, name, input } }, async (tx) => {
        const from = await getTag(tx, key, name);
        // Behind the lock, so that the copy is one state of the graph and not a mixture of two.
        const [source] = await tx.tags.lockGraphs([from.id]);
        if (source === undefined) throw notFound("tag", name);
        const copy = await tx.tags.insert({
          id: newId(),
          projectId: from.projectId,
          name: input.name,
          description: input.description ?? source.description,
          metadata: source.metadata,
          source: null,
          nextLocalNumber: source.nextLocalNumber,
        });
        const tasks = await tx.tasks.listAll(source.id);
        const ids = new Map(tasks.map((task) => [task.id, newId()]));
        const renamed = (id: string) => ids.get(id) ?? id;
        await tx.tasks.insert(
          tasks.map((task) => ({
            ...task,
            id: renamed(task.id),
            tagId: copy.id,
            parentId: task.parent === null ? null : renamed(task.parent),
          })),
        );
        const edges = await tx.dependencies.listAll(source.id);
        await tx.dependencies.insert(
          edges.map((edge) => ({
            ...edge,
            id: newId(),
            tagId: copy.id,
            taskId: renamed(edge.taskId),
            dependsOnId: edge.dependsOnId === null ? null : renamed(edge.dependsOnId),
          })),
        );
        await record(
          tx,
          ctx,
          "tag.copied",
          { projectId: from.projectId },
          {
            tag: copy.id,
            name: copy.name,
            from: source.name,
            tasks: tasks.length,
          },
        );
        return toTag(copy);
      });
    },
  };
}

function toTag(record: TagRecord): Tag {
  const { projectId: _p, position: _o, nextLocalNumber: _n, source: _s, ...tag } = record;
  return tag;
}

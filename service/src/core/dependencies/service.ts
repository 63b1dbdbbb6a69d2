import { change, record, type Services } from "../change.ts";
import type { Context } from "../context.ts";
import { newId } from "../ids.ts";
import { getTag, getTask, getTaskLocked } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { DependencyRecord, Repositories, TaskRecord } from "../storage.ts";
import { addEdge, recordEdges, removeEdge } from "./edges.ts";
import type { FixResult, QuarantinedDependency, TaskDependencies, Validation } from "./schema.ts";

export interface Dependencies {
  list(ctx: Context, reference: string): Promise<TaskDependencies>;
  /** Makes `reference` wait for `other`; nothing happens when it does already. Refused with cycle, naming the path. */
  add(ctx: Context, reference: string, other: string): Promise<TaskDependencies>;
  /** Not found when there is no such edge. */
  remove(ctx: Context, reference: string, other: string): Promise<void>;
  /** The quarantined edges of a tag: active ones cannot be wrong. */
  validate(ctx: Context, project: string, tag: string): Promise<Validation>;
  /** Activates the quarantined edges that hold by now, and removes the others. */
  fix(ctx: Context, project: string, tag: string): Promise<FixResult>;
}

export function createDependencies(services: Services): Dependencies {
  async function listOf(tx: Repositories, task: TaskRecord): Promise<TaskDependencies> {
    const dependsOn = await tx.dependencies.dependsOn(task.id);
    const dependents = await tx.dependencies.dependents(task.id);
    const quarantined = await tx.dependencies.quarantined({ taskId: task.id });
    return { dependsOn, dependents, quarantined: quarantined.map(toQuarantined) };
  }

  return {
    async list(ctx, reference) {
      authorize(ctx, "project:read");
      return services.storage.snapshot(ctx.organizationId, async (tx) =>
        listOf(tx, await getTask(tx, reference)),
      );
    },

    async add(ctx, reference, other) {
      authorize(ctx, "task:write");
      return change(
        services,
        ctx,
        { operation: "dependency.add", input: { reference, other } },
        async (tx) => {
          const task = await getTaskLocked(tx, reference);
          const target = await getTask(tx, other, { project: task.project, tag: task.tag });
          await addEdge(tx, ctx, task, target);
          return listOf(tx, task);
        },
      );
    },

    async remove(ctx, reference, other) {
      authorize(ctx, "task:write");
      await change(
        services,
        ctx,
        { operation: "dependency.remove", input: { reference, other } },
        async (tx) => {
          const task = await getTaskLocked(tx, reference);
          const target = await getTask(tx, other, { project: task.project, tag: task.tag });
          await removeEdge(tx, ctx, task, target);
        },
      );
    },

    async validate(ctx, key, name) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const tag = await getTag(tx, key, name);
      const problems = (await tx.dependencies.quarantined({ tagId: tag.id })).map(toQuarantined);
      return { tag: tag.name, valid: problems.length === 0, problems };
    },

    async fix(ctx, key, name) {
      authorize(ctx, "task:write");
      return change(services, ctx, { operation: "dependency.fix", input: { key, name } }, async (tx) => {
        const tag = await getTag(tx, key, name);
        await tx.tags.lockGraphs([tag.id]);
        const edges = await tx.dependencies.quarantined({ tagId: tag.id });
        const activated: QuarantinedDependency[] = [];
        const removed: QuarantinedDependency[] = [];
        for (const edge of edges) {
          const target = await targetOf(tx, tag.project, tag.name, edge);
          const holds =
            target !== undefined &&
            target.id !== edge.taskId &&
            !(await tx.dependencies.dependsOn(edge.taskId)).some((other) => other.id === target.id) &&
            (await tx.dependencies.path(tag.id, target.id, edge.taskId)) === undefined;
          await tx.dependencies.deleteById([edge.id]);
          if (holds) {
            const task = await getTask(tx, edge.taskId);
            await tx.dependencies.insert([{ ...edge, id: newId(), dependsOnId: target.id, problem: null }]);
            await recordEdges(tx, ctx, "dependency.added", task, { dependsOn: target.localId });
          }
          (holds ? activated : removed).push(toQuarantined(edge));
        }
        if (edges.length > 0) {
          await record(
            tx,
            ctx,
            "dependency.fixed",
            { projectId: tag.projectId },
            { tag: tag.name, activated, removed },
          );
        }
        return { tag: tag.name, activated, removed };
      });
    },
  };
}

/** The task that a quarantined reference names by now: in a subtask a bare number is a sibling first. */
async function targetOf(
  tx: Repositories,
  project: string,
  tag: string,
  edge: DependencyRecord,
): Promise<TaskRecord | undefined> {
  const reference = edge.raw === null ? undefined : readReference(edge.raw);
  if (reference === undefined) return undefined;
  const task = await tx.tasks.find({ id: edge.taskId });
  const parent = task?.parent ? await tx.tasks.find({ id: task.parent }) : undefined;
  const sibling =
    parent === undefined || reference.includes(".")
      ? undefined
      : await tx.tasks.find({ project, tag, localId: `${parent.localId}.${reference}` });
  return sibling ?? (await tx.tasks.find({ project, tag, localId: reference }));
}

function readReference(raw: string): string | undefined {
  const value: unknown = JSON.parse(raw);
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}

function toQuarantined(edge: DependencyRecord): QuarantinedDependency {
  return { task: edge.task, raw: edge.raw ?? "null", problem: edge.problem ?? "unreadable" };
}

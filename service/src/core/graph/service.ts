import type { Services } from "../change.ts";
import type { NextMode } from "../claims/schema.ts";
import type { Context } from "../context.ts";
import type { TaskSummary } from "../dependencies/schema.ts";
import { demandFlag } from "../flags/service.ts";
import { getTag } from "../locate.ts";
import { authorize } from "../policy.ts";
import type { GraphTask, Repositories, TagRecord } from "../storage.ts";
import { toTask } from "../tasks/wire.ts";
import { findCandidates } from "./next.ts";
import { blockedTasks, buildGraph, criticalPath, rankSmart, readyTasks, type TaskGraph } from "./rules.ts";
import type { BlockedList, CriticalPath, Graph, GraphNode, NextAnswer, ReadyList } from "./schema.ts";

export interface Graphs {
  graph(ctx: Context, project: string, tag: string): Promise<Graph>;
  /** Pending tasks and subtasks whose dependencies are all complete, unclaimed, by priority and rank. */
  ready(ctx: Context, project: string, tag: string): Promise<ReadyList>;
  /** Open tasks and subtasks that wait for something, with what they wait for. */
  blocked(ctx: Context, project: string, tag: string): Promise<BlockedList>;
  criticalPath(ctx: Context, project: string, tag: string): Promise<CriticalPath>;
  next(ctx: Context, project: string, tag: string, mode: NextMode): Promise<NextAnswer>;
}

/** How many runners-up an answer of smart mode names. */
const alternatives = 3;

export function createGraphs(services: Services): Graphs {
  async function load(
    ctx: Context,
    key: string,
    name: string,
  ): Promise<{ tag: TagRecord; graph: TaskGraph }> {
    authorize(ctx, "project:read");
    return services.storage.snapshot(ctx.organizationId, async (tx) => {
      const tag = await getTag(tx, key, name);
      return { tag, graph: await loadGraph(tx, tag.id) };
    });
  }

  return {
    async graph(ctx, key, name) {
      const { tag, graph } = await load(ctx, key, name);
      const edges = graph.tasks.flatMap((task) =>
        (graph.dependsOn.get(task.id) ?? []).map((other) => ({ from: task.id, to: other.id })),
      );
      return { tag: tag.name, nodes: graph.tasks.map(toNode), edges };
    },

    async ready(ctx, key, name) {
      const { tag, graph } = await load(ctx, key, name);
      return { tag: tag.name, tasks: readyTasks(graph).map(toNode) };
    },

    async blocked(ctx, key, name) {
      const { tag, graph } = await load(ctx, key, name);
      const tasks = blockedTasks(graph).map(({ task, waitsFor }) => ({
        ...toNode(task),
        waitsFor: waitsFor.map(toSummary),
      }));
      return { tag: tag.name, tasks };
    },

    async criticalPath(ctx, key, name) {
      const { tag, graph } = await load(ctx, key, name);
      const { effort, tasks } = criticalPath(graph);
      return { tag: tag.name, effort, tasks: tasks.map(toNode) };
    },

    async next(ctx, key, name, mode) {
      authorize(ctx, "project:read");
      if (mode === "smart") await demandFlag(services, ctx, "smart-next");
      return services.storage.snapshot(ctx.organizationId, async (tx) => {
        const tag = await getTag(tx, key, name);
        const ranked = await findNext(tx, tag.id, mode, ctx.actor.id, 1 + alternatives);
        const [first, ...others] = ranked;
        const task = first && (await tx.tasks.find({ id: first.id }));
        if (task === undefined) return { tag: tag.name, mode, task: null, reasons: [], alternatives: [] };
        const runnersUp = mode === "smart" ? others.map((other) => other.localId) : [];
        return {
          tag: tag.name,
          mode,
          task: toTask(task),
          reasons: first?.reasons ?? [],
          alternatives: runnersUp,
        };
      });
    },
  };
}

/** The tasks to work on, in order, by either rule. */
async function findNext(
  tx: Repositories,
  tagId: string,
  mode: NextMode,
  holderId: string,
  limit: number,
): Promise<{ id: string; localId: string; reasons: string[] }[]> {
  if (mode === "compat") {
    const ids = await findCandidates(tx, tagId, holderId, limit);
    return ids.map((id) => ({
      id,
      localId: "",
      reasons: ["First by priority, then fewer dependencies, then id."],
    }));
  }
  const ranked = rankSmart(await loadGraph(tx, tagId), holderId).slice(0, limit);
  return ranked.map(({ task, reasons }) => ({ id: task.id, localId: task.localId, reasons }));
}

export async function loadGraph(tx: Repositories, tagId: string): Promise<TaskGraph> {
  const { tasks, edges } = await tx.tasks.graph(tagId);
  return buildGraph(tasks, edges);
}

function toNode(task: GraphTask): GraphNode {
  const { id, localId, title, status, parent, priority, effort, holderId } = task;
  return { id, localId, title, status, parent, priority, effort, claimed: holderId !== null };
}

function toSummary(task: GraphTask): TaskSummary {
  const { id, localId, title, status } = task;
  return { id, localId, title, status };
}

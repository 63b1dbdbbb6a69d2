import { renderExport, type TagTexts } from "../../core/import-export/export.ts";
import type { ExportTag } from "../../core/import-export/export-input.ts";
import type { DependencyRow, Reading, TagRow, TaskRow } from "./model.ts";
import { byRank, byTask, localIdOf } from "./rows.ts";

/** The tags in the file's order, each with its tasks in the file's order. */
export interface FileTag {
  tag: TagRow;
  /** Each task, then its subtasks. */
  tasks: TaskRow[];
}

export function fileTags(rows: Reading, projectId: string): FileTag[] {
  const tags = rows.tags.where("project", projectId).sort((a, b) => a.position - b.position);
  return tags.map((tag) => {
    const children = Map.groupBy(rows.tasks.where("tag", tag.id).sort(byRank), (task) => task.parentId);
    const tasks = (children.get(null) ?? []).flatMap((task) => [task, ...(children.get(task.id) ?? [])]);
    return { tag, tasks };
  });
}

/** Writes the text of tasks.json for a project: as it came, with what changed since. */
export type Renderer = (rows: Reading, projectId: string) => string;

/** One that remembers the tags of its last text: a change touches one of them, and the file can have many. */
export function createRenderer(): Renderer {
  const texts: TagTexts = new WeakMap();
  let known = new Map<string, { parts: unknown[]; exported: ExportTag }>();
  return (rows, projectId) => {
    const next: typeof known = new Map();
    const tags = fileTags(rows, projectId).map(({ tag, tasks }) => {
      const edges = rows.dependencies.where("tag", tag.id).sort(byTask);
      const parts = [tag, ...tasks, ...edges];
      const before = known.get(tag.id);
      const exported =
        before !== undefined && isEqual(before.parts, parts)
          ? before.exported
          : exportedTag(rows, tag, tasks, edges);
      next.set(tag.id, { parts, exported });
      return exported;
    });
    known = next;
    return renderExport({ project: rows.projects.get(projectId)?.source ?? null, tags }, "preserve", texts);
  };
}

/** Whether they are the very same rows: a changed row is another object. */
function isEqual(a: unknown[], b: unknown[]): boolean {
  return a.length === b.length && a.every((part, index) => part === b[index]);
}

function exportedTag(rows: Reading, tag: TagRow, tasks: TaskRow[], edges: DependencyRow[]): ExportTag {
  const byTaskId = Map.groupBy(edges, (edge) => edge.taskId);
  return {
    ...tag,
    tasks: tasks.map((task) => ({
      ...task,
      localId: localIdOf(rows, task),
      dependencies: (byTaskId.get(task.id) ?? []).map(({ dependsOnId, raw, problem }) => {
        const target = dependsOnId === null ? undefined : rows.tasks.get(dependsOnId);
        return { localId: target === undefined ? null : localIdOf(rows, target), raw, problem };
      }),
    })),
  };
}

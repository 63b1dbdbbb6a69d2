import { renderExport } from "../../core/import-export/export.ts";
import type { ExportInput, ExportTask } from "../../core/import-export/export-input.ts";
import type { DependencyRow, Reading, TagRow, TaskRow } from "./model.ts";
import { byRank, localIdOf } from "./rows.ts";

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

/** The text of tasks.json for a project: as it came, with what changed since. */
export function renderProject(rows: Reading, projectId: string): string {
  const input: ExportInput = {
    project: rows.projects.get(projectId)?.source ?? null,
    tags: fileTags(rows, projectId).map(({ tag, tasks }) => {
      const edges = Map.groupBy(rows.dependencies.where("tag", tag.id), (edge) => edge.taskId);
      return { ...tag, tasks: tasks.map((task) => exported(rows, task, edges.get(task.id) ?? [])) };
    }),
  };
  return renderExport(input, "preserve");
}

function exported(rows: Reading, task: TaskRow, edges: DependencyRow[]): ExportTask {
  return {
    ...task,
    localId: localIdOf(rows, task),
    dependencies: edges
      .sort((a, b) => a.position - b.position)
      .map(({ dependsOnId, raw, problem }) => {
        const target = dependsOnId === null ? undefined : rows.tasks.get(dependsOnId);
        return { localId: target === undefined ? null : localIdOf(rows, target), raw, problem };
      }),
  };
}

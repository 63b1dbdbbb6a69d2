import type { ExportInput, ExportTag, ExportTask } from "../../../src/core/import-export/export-input.ts";
import type { ImportPlan, PlannedTag } from "../../../src/core/import-export/plan.ts";

/** What the plan's rows would be once stored and loaded again: with ids, and jsonb's order of members. */
export function toExportInput(plan: ImportPlan): ExportInput {
  return { project: stored(plan.source), tags: plan.tags.map(toExportTag) };
}

function toExportTag(tag: PlannedTag, position: number): ExportTag {
  const id = (index: number): string =>
    `00000000-0000-7000-8000-${String(position * 1_000_000 + index).padStart(12, "0")}`;
  const localIds = tag.tasks.map((task) => {
    const parent = task.parent === null ? undefined : tag.tasks[task.parent];
    return parent === undefined ? task.segment : `${parent.segment}.${task.segment}`;
  });
  const edges = Map.groupBy(tag.edges, (edge) => edge.from);
  const tasks = tag.tasks.map(({ parent, nextLocalNumber: _, ...task }, index): ExportTask => {
    return {
      ...task,
      id: id(index),
      localId: localIds[index] ?? "",
      parentId: parent === null ? null : id(parent),
      complexity: stored(task.complexity),
      metadata: stored(task.metadata),
      extra: stored(task.extra),
      source: stored(task.source),
      updatedAt: "2026-01-02T03:04:05.678Z",
      dependencies: (edges.get(index) ?? [])
        .toSorted((a, b) => a.position - b.position)
        .map(({ to, raw, problem }) => ({
          localId: to === null ? null : (localIds[to] ?? null),
          raw,
          problem,
        })),
    };
  });
  return {
    name: tag.name,
    description: tag.description,
    metadata: stored(tag.metadata),
    source: stored(tag.source),
    createdAt: "2026-01-01T00:00:00.000Z",
    updatedAt: "2026-01-01T00:00:00.000Z",
    tasks,
  };
}

/** Sorts members as jsonb does, by the length of the name in bytes and then by its bytes. */
function stored<T>(value: T): T {
  return JSON.parse(JSON.stringify(sorted(value))) as T;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const members = Object.entries(value).map(
    ([key, member]) => [Buffer.from(key), key, sorted(member)] as const,
  );
  members.sort(([a], [b]) => a.length - b.length || a.compare(b));
  return Object.fromEntries(members.map(([, key, member]) => [key, member]));
}

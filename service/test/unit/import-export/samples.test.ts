import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { renderExport } from "../../../src/core/import-export/export.ts";
import { planImport } from "../../../src/core/import-export/plan.ts";
import { toExportInput } from "./round-trip.ts";

const folder = process.env.SAMPLES_DIR ?? resolve(import.meta.dirname, "../../../../../shared/samples");

/** Tags / tasks / subtasks / edges / edges that cannot hold. */
const samples: Record<string, [number, number, number, number, number]> = {
  "ambiguous-cyclic-subtask-deps.json": [1, 10, 63, 107, 7],
  "bare-list-tag.json": [1, 12, 62, 19, 0],
  "legacy-flat-mixed-subtask-ids.json": [1, 20, 36, 27, 0],
  "odd-statuses-cross-task-deps.json": [1, 54, 144, 193, 0],
  "string-ids.json": [1, 16, 36, 27, 0],
  "tagged-many-tags.json": [5, 68, 238, 316, 0],
};

if (existsSync(folder)) {
  describe.each(Object.entries(samples))("%s", (name, counts) => {
    const text = readFileSync(join(folder, name), "utf8");
    const plan = planImport(text, { defaultTag: "master" });
    const input = toExportInput(plan);

    it("is taken by quarantine", () => {
      expect(plan.problems.filter((problem) => problem.fatal)).toEqual([]);
      const tasks = plan.tags.flatMap((tag) => tag.tasks);
      const edges = plan.tags.flatMap((tag) => tag.edges);
      expect([
        plan.tags.length,
        tasks.filter((task) => task.parent === null).length,
        tasks.filter((task) => task.parent !== null).length,
        edges.length,
        edges.filter((edge) => edge.to === null).length,
      ]).toEqual(counts);
    });

    it("comes back byte for byte", () => {
      expect(renderExport(input, "preserve") === text).toBe(true);
    });

    it("has a canonical form without problems, with all active edges", () => {
      const canonical = planImport(renderExport(input, "canonical"), { defaultTag: "master" });
      expect(canonical.problems).toEqual([]);
      const active = (tags: typeof plan.tags) =>
        tags.map((tag) => tag.edges.filter((edge) => edge.to !== null).map(({ from, to }) => [from, to]));
      expect(active(canonical.tags)).toEqual(active(plan.tags));
      expect(canonical.tags.map((tag) => tag.tasks.map((task) => [task.title, task.status]))).toEqual(
        plan.tags.map((tag) => tag.tasks.map((task) => [task.title, task.status])),
      );
    });
  });
} else {
  console.warn(
    `Left out: the tests on real files, because there is no folder ${folder}. SAMPLES_DIR names another.`,
  );
  it("has no real files here and says so", () => {
    expect(existsSync(folder)).toBe(false);
  });
}

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const folder = fileURLToPath(
  new URL("../../../../charts/task-master-pro/files/dashboards/", import.meta.url),
);

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  datasource?: { uid: string };
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string; legendFormat: string; refId: string; datasource: { uid: string } }[];
  fieldConfig?: { defaults: { unit: string; thresholds?: { steps: { value: number | null }[] } } };
}
interface Board {
  uid: string;
  title: string;
  templating: { list: { name: string; type: string }[] };
  annotations: object;
  panels: Panel[];
}
const boards = readdirSync(folder).map((file) => ({
  file,
  board: JSON.parse(readFileSync(`${folder}${file}`, "utf8")) as Board,
}));

const overlap = (a: Panel["gridPos"], b: Panel["gridPos"]) =>
  a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

describe.each(boards)("$file", ({ board }) => {
  it("has panels that lie beside each other, within the width, what matters first", () => {
    for (const [index, panel] of board.panels.entries()) {
      const { x, w } = panel.gridPos;
      expect(x + w, panel.title).toBeLessThanOrEqual(24);
      for (const other of board.panels.slice(index + 1)) {
        expect(overlap(panel.gridPos, other.gridPos), `${panel.title} and ${other.title}`).toBe(false);
      }
    }
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
    // In one row, so that a look takes them in: at most six, and each with a colour that says whether it is well.
    const first = board.panels.filter(({ gridPos }) => gridPos.y === 0);
    expect(first.length).toBeLessThanOrEqual(6);
    for (const { type, title, fieldConfig } of first) {
      expect(type, title).toBe("stat");
      expect(fieldConfig?.defaults.thresholds?.steps.length, title).toBeGreaterThan(0);
    }
  });

  it("says of every panel what it shows, in which unit, and asks the Prometheus that is chosen", () => {
    const titles = board.panels.map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
    const source = "$" + "{datasource}";
    for (const { title, type, description, datasource, targets = [], fieldConfig } of board.panels) {
      expect(title).toMatch(/\w/);
      if (type === "row") continue;
      expect(description, title).toMatch(/\w/);
      expect(fieldConfig?.defaults.unit, title).toMatch(/^(none|percentunit|s|bytes|reqps|ops)$/);
      expect(datasource?.uid, title).toBe(source);
      expect(targets.length, title).toBeGreaterThan(0);
      for (const { expr, legendFormat, datasource: of } of targets) {
        expect(of.uid, title).toBe(source);
        expect(legendFormat, title).toMatch(/\S/);
        expect(expr, title).toMatch(/job="\$(job|backups)",namespace=~"\$namespace"/);
      }
      // A share as a percentage, and not as a number that has to be read.
      if (/:ratio/.test(targets[0]?.expr ?? "") && !/burns/.test(title)) {
        expect(fieldConfig?.defaults.unit, title).toBe("percentunit");
      }
    }
  });

  it("has the variables that its queries use, and no other", () => {
    const text = JSON.stringify([board.panels, board.annotations]);
    const used = new Set([...text.matchAll(/\$\{?([a-z]+)/g)].map(([, name]) => name));
    const known = board.templating.list.map(({ name }) => name);
    expect([...used].sort()).toEqual([...known].sort());
  });
});

it("each has a place of its own in Grafana", () => {
  expect(new Set(boards.map(({ board }) => board.uid)).size).toBe(boards.length);
  expect(new Set(boards.map(({ board }) => board.title)).size).toBe(boards.length);
});

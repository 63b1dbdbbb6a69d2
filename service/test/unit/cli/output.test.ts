import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { createOutput } from "../../../src/cli/output.ts";
import { widthOf } from "../../../src/cli/text.ts";

function render(width: number, color: boolean, rows: string[][]): string[] {
  let said = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      said += String(chunk);
      done();
    },
  });
  createOutput(stream, { json: false, color, width }).table(
    [{ title: "ID" }, { title: "TITLE", grows: true }, { title: "WHO", optional: true }],
    rows.map(([id = "", title = "", who = ""]) => [{ text: id, style: "bold" as const }, title, who]),
  );
  return said.split("\n").slice(0, -1);
}

const rows = [
  ["1", "A title that is rather long for a narrow terminal", "ada"],
  ["10", "日本語のタイトルはとても長いです、本当に", "bob"],
];

it.each([200, 80, 40, 30])("fits %i columns: the title is cut, and the others stay aligned", (width) => {
  const lines = render(width, false, rows);
  expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(width);
  const starts = lines.map((line) => widthOf(line.slice(0, /WHO|ada|bob/.exec(line)?.index)));
  expect(new Set(starts).size).toBe(1);
});

it("leaves out what is optional where there is no room for it", () => {
  expect(render(20, false, rows)[0]).toBe("ID  TITLE");
  expect(render(20, false, rows)[1]).toBe("1   A title that is…");
});

it("cuts nothing without a terminal", () => {
  expect(render(Number.POSITIVE_INFINITY, false, rows)[2]).toContain("とても長いです、本当に   ");
});

it("colours only when asked, and never what is empty", () => {
  expect(render(80, false, rows).join("")).not.toContain("\u001b");
  expect(render(80, true, rows)[1]).toContain("\u001b[1m1\u001b[22m   A title");
  expect(render(80, true, [["", "x", ""]])[1]).toBe("    x");
});

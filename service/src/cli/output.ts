import { styleText } from "node:util";
import { clean, cutTo, oneLine, pad, widthOf } from "./text.ts";

type Style = Parameters<typeof styleText>[0];

export interface Cell {
  text: string;
  style?: Style;
}

export interface Column {
  title: string;
  /** Takes the room that the others leave, and is cut to it; without a terminal nothing is cut. */
  grows?: boolean;
  /** Left out first where the terminal is too narrow. */
  optional?: boolean;
}

export interface OutputOptions {
  json: boolean;
  color: boolean;
  /** Of the terminal, in columns; infinite where there is none. */
  width: number;
}

export interface Output {
  /** Whether the reader is a program: then nothing but `value` goes to standard output. */
  readonly json: boolean;
  /** The answer as JSON. */
  value(value: unknown): void;
  /** The same on one line, where many follow each other. */
  line(value: unknown): void;
  /** A sentence or a block of our own words. */
  say(text?: string): void;
  /** Text of others, as it is but for what a terminal would obey. */
  quote(text: string): void;
  table(columns: readonly Column[], rows: readonly (readonly (Cell | string)[])[]): void;
  style(style: Style, text: string): string;
  /** Text of others as part of a line of ours. */
  oneLine(text: string): string;
}

const gap = 2;
const narrowest = 12;

export function createOutput(stream: NodeJS.WritableStream, { json, color, width }: OutputOptions): Output {
  const style = (format: Style, text: string) =>
    color ? styleText(format, text, { validateStream: false }) : text;
  const say = (text = "") => {
    stream.write(`${text}\n`);
  };
  return {
    json,
    value: (value) => say(JSON.stringify(value, null, 2)),
    line: (value) => say(JSON.stringify(value)),
    say,
    quote: (text) => say(clean(text)),
    style,
    oneLine,
    table(columns, rows) {
      const cells = rows.map((row) =>
        row.map((cell) =>
          typeof cell === "string" ? { text: oneLine(cell) } : { ...cell, text: oneLine(cell.text) },
        ),
      );
      const { shown, widths } = layout(columns, cells, width);
      const line = (row: readonly Cell[]) =>
        shown
          .map((index, place) => {
            const { text = "", style: format } = row[index] ?? {};
            const cut = cutTo(text, widths[index] ?? 0);
            const padded = place === shown.length - 1 ? cut : pad(cut, widths[index] ?? 0);
            return format === undefined || cut === ""
              ? padded
              : padded.replace(cut, () => style(format, cut));
          })
          .join(" ".repeat(gap))
          .trimEnd();
      say(line(columns.map(({ title }) => ({ text: title, style: ["bold"] }))));
      for (const row of cells) say(line(row));
    },
  };
}

/** Which columns are shown, and how wide each is. */
function layout(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number,
): { shown: number[]; widths: number[] } {
  const widths = columns.map(({ title }, index) =>
    Math.max(widthOf(title), ...rows.map((row) => widthOf(row[index]?.text ?? ""))),
  );
  let shown = columns.map((_, index) => index);
  const growing = columns.findIndex(({ grows }) => grows === true);
  const fixed = () =>
    shown.reduce((sum, index) => sum + (index === growing ? 0 : (widths[index] ?? 0)), 0) +
    gap * (shown.length - 1);
  while (width - fixed() < Math.min(narrowest, widths[growing] ?? 0)) {
    const dropped = shown.findLast((index) => columns[index]?.optional === true);
    if (dropped === undefined) break;
    shown = shown.filter((index) => index !== dropped);
  }
  if (growing >= 0) {
    widths[growing] = Math.min(widths[growing] ?? 0, Math.max(narrowest, width - fixed()));
  }
  return { shown, widths };
}

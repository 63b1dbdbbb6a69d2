import { stripVTControlCharacters } from "node:util";
import stringWidth from "string-width";

// Escape sequences in somebody's title could move the cursor, rename the window or hide text, and so could characters
// that turn the direction of writing.
const controls = /(?![\n\t])\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu;

/** Text of others, safe on a terminal; lines stay lines. */
export function clean(text: string): string {
  return stripVTControlCharacters(text.replaceAll("\r\n", "\n")).replace(controls, "\u{fffd}");
}

/** The same on one line. */
export function oneLine(text: string): string {
  return clean(text.replaceAll(/\s+/g, " ")).trim();
}

/** How many columns of a terminal the text takes: wide characters count as two. */
export const widthOf = (text: string): number => stringWidth(text);

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** Cut to so many columns between what a reader takes for characters, with an ellipsis for the rest. */
export function cutTo(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let cut = "";
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    const next = widthOf(segment);
    if (used + next > width - 1) break;
    cut += segment;
    used += next;
  }
  return `${cut}…`;
}

export function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}

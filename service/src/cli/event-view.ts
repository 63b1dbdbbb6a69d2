import type { Event } from "../core/index.ts";
import type { Output } from "./output.ts";

/** Longer values are named and not shown. */
const longest = 40;
/** Changes with every change. */
const dull = new Set(["version", "updatedAt", "rank", "claim"]);

/** An event on one line: when, what of, what, by whom, and what it changed. */
export function eventLine(out: Output, { createdAt, type, actor, data }: Event): void {
  const time = new Date(createdAt).toLocaleTimeString("en-GB");
  const [noun = "", verb = ""] = type.split(".");
  const { tag, localId, title, note, changes } = data;
  const parts = [
    out.style("dim", time),
    out.style("bold", out.oneLine([tag, localId].filter((part) => typeof part === "string").join(" "))),
    `${noun} ${out.style(verb === "failed" || verb === "deleted" ? "red" : "cyan", verb)}`,
    out.style("dim", `by ${out.oneLine(actor.name)}`),
    ...[title, note].flatMap((text) => (typeof text === "string" && text !== "" ? [out.oneLine(text)] : [])),
    ...Object.entries(isObject(changes) ? changes : {}).flatMap(([field, change]) =>
      changeOf(out, field, change),
    ),
  ];
  out.say(parts.filter((part) => part !== "").join("  "));
}

function changeOf(out: Output, field: string, change: unknown): string[] {
  if (dull.has(field) || !Array.isArray(change)) return [];
  const [before, after] = change.map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  const text = `${before} → ${after}`;
  return [`${field} ${text.length > 2 * longest ? "changed" : out.oneLine(text)}`];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

import type { TaskRow } from "./model.ts";
import { compare } from "./rows.ts";

/** What a word's find in each text is worth, beside the others. */
const weights = [
  ["title", 1_000_000],
  ["description", 400_000],
  ["details", 200_000],
  ["testStrategy", 100_000],
] as const;

/** Words that must stand one after another, or must not. */
interface Term {
  words: string[];
  wanted: boolean;
}

/**
 * The tasks that match, best first. As PostgreSQL's websearch_to_tsquery with the `simple` configuration reads it: all
 * words, in any of the texts and whole, whatever their case; "some words" next to each other; -word not at all; `or`
 * between words. The score counts each word once for a text, a title's highest. It reads all texts at every call.
 */
export function searchTasks(tasks: TaskRow[], query: string): { task: TaskRow; score: number }[] {
  const choices = readQuery(query);
  if (choices.length === 0) return [];
  const hits = tasks.flatMap((task) => {
    const texts = weights.map(([field, weight]) => ({ words: wordsOf(task[field]), weight }));
    const scores = choices.flatMap((terms) => scoreOf(texts, terms) ?? []);
    return scores.length === 0 ? [] : [{ task, score: Math.max(...scores) }];
  });
  return hits.sort((a, b) => b.score - a.score || compare(a.task.id, b.task.id));
}

/** Undefined when a term is not met. */
function scoreOf(texts: { words: string[]; weight: number }[], terms: Term[]): number | undefined {
  let score = 0;
  for (const { words, wanted } of terms) {
    const found = texts.filter((text) => contains(text.words, words));
    if (found.length > 0 !== wanted) return undefined;
    if (wanted) score += found.reduce((sum, { weight }) => sum + weight, 0);
  }
  return score;
}

function contains(text: string[], words: string[]): boolean {
  const [first] = words;
  for (
    let at = first === undefined ? -1 : text.indexOf(first);
    at !== -1;
    at = text.indexOf(first ?? "", at + 1)
  ) {
    if (words.every((word, place) => text[at + place] === word)) return true;
  }
  return false;
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
}

/** What stands between two `or`s is one choice. */
function readQuery(query: string): Term[][] {
  const choices: Term[][] = [[]];
  for (const [, minus, phrase, word] of query.matchAll(/(-?)(?:"([^"]*)"|([^\s"]+))/g)) {
    if (word?.toLowerCase() === "or" && minus === "") choices.push([]);
    else {
      const words = wordsOf(phrase ?? word ?? "");
      if (words.length > 0) choices.at(-1)?.push({ words, wanted: minus === "" });
    }
  }
  return choices.filter((terms) => terms.length > 0);
}

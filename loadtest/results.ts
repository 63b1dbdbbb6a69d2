import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";

/** Writes what was measured to loadtest/results/NAME.json, for a later run to be compared with. Returns the file. */
export async function writeResult(name: string, result: object): Promise<string> {
  const file = path.join(import.meta.dirname, "results", `${name}.json`);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(result, null, 2)}\n`);
  return file;
}

/** The smallest value that so large a share of the sorted ones does not exceed; 0 where there is none. */
export function rank(sorted: number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

/** The value behind so large a share of the numbers; NaN where there is none. */
export function quantile(numbers: number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

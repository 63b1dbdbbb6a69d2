import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, totalmem } from "node:os";
import path from "node:path";

export const resultsFolder = path.join(import.meta.dirname, "results");

/** A figure beside what was set as its goal (P1 to P12 of docs/performance.md). */
export interface Goal {
  id: string;
  what: string;
  /** With its unit, such as "1.33 (1.29 to 1.36)". */
  value: string;
  goal: string;
  met: boolean;
}

/** How long requests took, milliseconds: the shortest, each hundredth of them, the longest; 101 numbers. */
export interface Distribution {
  name: string;
  percentiles: number[];
}

/** Lines over a common axis. */
export interface Chart {
  title: string;
  x: string;
  y: string;
  /** In powers of ten. */
  logX?: boolean;
  lines: { name: string; points: [number, number][] }[];
}

/** What a bench found; every result has it for people to read (see page.ts), and more for a program. */
export interface Shown {
  goals?: Goal[];
  distributions?: Distribution[];
  charts?: Chart[];
}

/** Writes what was measured, where and when, to loadtest/results/NAME.json. Returns the file. */
export async function writeResult(name: string, result: Shown & Record<string, unknown>): Promise<string> {
  const file = path.join(resultsFolder, `${name}.json`);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(
    file,
    `${JSON.stringify({ measuredAt: new Date().toISOString(), machine: describeMachine(), ...result }, null, 2)}\n`,
  );
  return file;
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** What the figures of a run depend on. */
function describeMachine() {
  return {
    cpus: availableParallelism(),
    model: cpus()[0]?.model ?? "?",
    gigabytes: Math.round(totalmem() / 1e9),
    node: process.version,
  };
}

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../src/bin/cli.ts", import.meta.url));

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The real program as a process of its own, in the given environment only. Killed when a minute is over. */
export function startCli(
  args: string[],
  env: Record<string, string>,
): { child: ChildProcess; ended: Promise<Ended>; until(pattern: RegExp): Promise<string> } {
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => {
    output.stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output.stderr += chunk.toString();
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, ...output }));
  });
  return {
    child,
    ended,
    /** Waits until it has said something like that, and answers the first group of it. */
    async until(pattern) {
      for (;;) {
        const found = pattern.exec(output.stdout + output.stderr);
        if (found !== null) return found[1] ?? found[0];
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`it ended before it said ${pattern}:\n${output.stdout}${output.stderr}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

export async function runCli(args: string[], env: Record<string, string>): Promise<Ended> {
  return await startCli(args, env).ended;
}

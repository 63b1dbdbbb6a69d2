import { spawn } from "node:child_process";

export interface Outcome {
  /** The exit code; null when the program could not be started or was killed. */
  code: number | null;
  /** What it wrote, trimmed, both streams in one. */
  output: string;
}

export interface RunOptions {
  cwd?: string;
  uid?: number;
  gid?: number;
}

/** Ends with the program itself, not with its output: a server that it leaves behind may hold that open. */
export async function run(program: string, args: string[], options: RunOptions = {}): Promise<Outcome> {
  return await new Promise((resolve) => {
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    const chunks: Buffer[] = [];
    const output = () => Buffer.concat(chunks).toString("utf8").trim();
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.once("error", (error) => resolve({ code: null, output: error.message }));
    child.once("exit", (code) => {
      // What was written last may still lie in the pipe.
      setImmediate(() => {
        resolve({ code, output: output() });
        child.stdout.destroy();
        child.stderr.destroy();
      });
    });
  });
}

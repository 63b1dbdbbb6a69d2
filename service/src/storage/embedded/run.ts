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

/** How long to wait for the end of the output after the program's own. */
const graceMs = 500;

/** Ends soon after the program itself, even when a server that it leaves behind holds its output open. */
export async function run(program: string, args: string[], options: RunOptions = {}): Promise<Outcome> {
  return await new Promise((resolve) => {
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    const chunks: Buffer[] = [];
    const finish = (code: number | null, message = "") => {
      resolve({ code, output: Buffer.concat(chunks).toString("utf8").trim() || message });
      child.stdout.destroy();
      child.stderr.destroy();
    };
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.once("error", (error) => finish(null, error.message));
    // The last of the output can come after the exit: on a busy machine well after.
    child.once("exit", (code) => setTimeout(finish, graceMs, code));
    child.once("close", (code) => finish(code));
  });
}

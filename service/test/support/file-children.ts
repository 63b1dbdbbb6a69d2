import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("./file-child.ts", import.meta.url));

/** The tasks.json that the children work on: one task, whose title counts their changes. */
export const text = `${JSON.stringify({ master: { tasks: [{ id: 1, title: "0", description: "", status: "pending" }], metadata: {} } }, null, 2)}\n`;

interface ChildOptions {
  /** The step of its writing at which it kills itself. */
  step?: number;
  /** When it is killed, counted from its first acknowledgement. */
  killAfterMs?: number;
}

interface Ended {
  signal: NodeJS.Signals | null;
  code: number | null;
  /** The changes that were acknowledged. */
  acknowledged: number[];
  output: string;
  errors: string;
}

/** Runs `file-child.ts` on a project's folder, to its end or until it is killed. */
export async function runFileChild(
  directory: string,
  changes: number,
  { step, killAfterMs }: ChildOptions = {},
): Promise<Ended> {
  const args = [program, directory, String(changes), ...(step === undefined ? [] : [String(step)])];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
  let [output, errors] = ["", ""];
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  child.stdout.on("data", (chunk: Buffer) => {
    if (output === "" && killAfterMs !== undefined) setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    output += chunk.toString();
  });
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      const acknowledged = output.split("\n").filter((line) => /^\d+$/.test(line));
      resolve({ signal, code, acknowledged: acknowledged.map(Number), output, errors });
    });
  });
}

import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import type { Host } from "./host.ts";
import { problem } from "./problem.ts";

/** Asks on the terminal for what must not be seen on it. */
export async function askSecret({ stdin, stderr }: Host, question: string): Promise<string> {
  // What is typed is echoed into nothing.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: nowhere, terminal: true });
  const stop = new AbortController();
  lines.once("SIGINT", () => stop.abort());
  lines.once("close", () => stop.abort());
  stderr.write(question);
  try {
    return await lines.question("", { signal: stop.signal });
  } catch (error) {
    throw problem("interrupted", "No token was given.", error);
  } finally {
    stderr.write("\n");
    lines.close();
  }
}

import type { ClientConfig } from "../client-config.ts";
import type { Transport } from "./transport.ts";

export interface ProgressBar {
  /** `done` of `total`, in whatever unit the step counts. */
  step(name: string, done: number, total: number): void;
  close(): void;
}

/** What the command line is given by the process that it runs in, or by a test. */
export interface Host {
  /** What the process ends with. */
  exitCode: number;
  config: ClientConfig;
  /** For the commands that it starts. */
  environment: Record<string, string | undefined>;
  cwd: string;
  stdin: NodeJS.ReadableStream & { isTTY?: boolean };
  stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number; hasColors?: () => boolean };
  stderr: NodeJS.WritableStream & { isTTY?: boolean };
  /** The API over a project's folder, whose tasks are its .taskmaster/tasks/tasks.json, in this process, as its owner. */
  openFile(folder: string): Promise<Transport>;
  /** A bar on standard error; undefined where nobody would see it. */
  openProgress(): Promise<ProgressBar | undefined>;
  /** Aborted by the first Ctrl-C from here on. */
  onInterrupt(): { signal: AbortSignal; dispose(): void };
}

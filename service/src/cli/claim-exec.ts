import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Claim, Task } from "../core/index.ts";
import type { Call } from "./command.ts";
import { CliError, exitCodes } from "./problem.ts";

/**
 * Runs a command under a claim: the claim is renewed while it runs, completed when it succeeds and failed when it does
 * not. A claim that is lost ends the command, whose writes would come too late. Returns the command's exit code, as a
 * shell gives it.
 */
export async function runClaimed(
  call: Call,
  claim: Claim,
  task: Task,
  command: string,
  note: string | undefined,
): Promise<number> {
  const { host } = call;
  const folder = await mkdtemp(join(tmpdir(), "task-"));
  const interrupt = host.onInterrupt();
  const ended = new AbortController();
  try {
    const file = join(folder, "task.json");
    await writeFile(file, `${JSON.stringify(task, null, 2)}\n`, { mode: 0o600 });
    host.stderr.write(`task-master-pro: ${claim.localId} is claimed; running ${command}\n`);
    const child = spawn(command, {
      shell: true,
      stdio: "inherit",
      cwd: host.cwd,
      env: { ...host.environment, ...variablesOf(claim, task, file) },
      // In a group of its own, so that what the shell has started can be stopped with it; at a terminal it must stay
      // in the foreground, where Ctrl-C reaches all of it anyway.
      detached: host.stdin.isTTY !== true,
    });
    const stop = () => stopAll(child, host.stdin.isTTY !== true);
    const exit = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
    if (interrupt.signal.aborted) stop();
    interrupt.signal.addEventListener("abort", stop);
    const lost = keepAlive(call, claim, stop, ended.signal);
    const [code, signal] = await exit.catch(async (error: unknown) => {
      await end(call, claim, "release", "The command could not be started.");
      throw error;
    });
    ended.abort();
    const loss = await lost;
    if (loss !== undefined) throw loss;
    if (interrupt.signal.aborted) {
      await end(call, claim, "release", note ?? "Interrupted.");
      return exitCodes.interrupted;
    }
    const status = code ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 0);
    if (status === 0) await end(call, claim, "complete", note);
    else await end(call, claim, "fail", note ?? `${command} ended with exit code ${status}.`);
    return status;
  } finally {
    ended.abort();
    interrupt.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

function variablesOf(claim: Claim, task: Task, file: string): Record<string, string> {
  return {
    TASK_ID: task.id,
    TASK_LOCAL_ID: task.localId,
    TASK_PROJECT: task.project,
    TASK_TAG: task.tag,
    TASK_TITLE: task.title,
    TASK_CLAIM: claim.id,
    TASK_FENCE: String(claim.fence),
    TASK_FILE: file,
  };
}

/** Renews until the command has ended. Resolves with the error that says that the claim is lost. */
async function keepAlive(
  { client }: Call,
  { id, fence, ttlSeconds }: Claim,
  stop: () => void,
  ended: AbortSignal,
): Promise<CliError | undefined> {
  for (;;) {
    try {
      await sleep((ttlSeconds * 1000) / 3, undefined, { signal: ended });
    } catch {
      return undefined;
    }
    try {
      await client.request("POST", `/claims/${id}/heartbeat`, { body: { fence } });
    } catch (error) {
      // A server that is away for a moment may be back before the claim expires.
      if (error instanceof CliError && error.exitCode === exitCodes.unavailable) continue;
      stop();
      if (error instanceof CliError) return error;
      throw error;
    }
  }
}

function stopAll(child: ChildProcess, isGroup: boolean): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  try {
    process.kill(isGroup ? -child.pid : child.pid, "SIGTERM");
  } catch (error) {
    // It has just ended by itself.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function end(
  { client }: Call,
  { id, fence }: Claim,
  how: string,
  note: string | undefined,
): Promise<void> {
  await client.request("POST", `/claims/${id}/${how}`, {
    body: { fence, ...(note === undefined ? {} : { note }) },
  });
}

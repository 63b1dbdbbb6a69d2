import { setTimeout as sleep } from "node:timers/promises";
import { AppError, type Event } from "../core/index.ts";
import type { Call } from "./tool.ts";

/** However much happens to a task, its watchers are told at most so often; they read the newest state anyway. */
const spacingMs = 200;
/** What changes tasks without an event of each one's own. */
const sweeping = new Set<Event["type"]>(["project.imported", "tag.updated", "tag.deleted"]);

/**
 * Calls `changed` after events by which the task may read differently, until the returned function is called. Throws
 * not_found when the caller cannot read it. Ends by itself when the project is gone, after a last call, and within a
 * second of the caller's credential being good no longer.
 */
export async function watchTask(
  { core, ctx }: Call,
  reference: string,
  changed: () => void,
): Promise<() => void> {
  const { id, project } = await core.tasks.get(ctx, reference);
  const controller = new AbortController();
  const { signal } = controller;
  const touches = ({ task, type }: Event) =>
    task === id ? !type.startsWith("comment.") : sweeping.has(type);

  async function follow(): Promise<() => Promise<void>> {
    const following = await core.events.follow(ctx, project, { signal });
    return async () => {
      for (let after = following.from; ; ) {
        const events = await following.next(after);
        after = events.at(-1)?.sequence ?? after;
        if (!events.some(touches)) continue;
        changed();
        await sleep(spacingMs, undefined, { signal });
      }
    };
  }

  async function run(first: () => Promise<void>): Promise<void> {
    for (let listen = first; ; listen = await follow()) {
      try {
        await listen();
      } catch (error) {
        const code = error instanceof AppError ? error.code : undefined;
        if (signal.aborted || code === "unauthenticated" || code === "forbidden") throw error;
        changed();
        // The log was set back, as by a restore: what comes from now on counts.
        if (code !== "conflict") throw error;
      }
    }
  }

  try {
    const first = await follow();
    // Whoever watches learns of the end by reading: there is no message for it.
    void run(first).catch(() => controller.abort());
  } catch (error) {
    controller.abort();
    throw error;
  }
  return () => controller.abort();
}

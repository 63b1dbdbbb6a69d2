import type { Status, Task, TaskPatch } from "../core/index.ts";
import type { Call } from "./command.ts";
import { CliError, exitCodes } from "./problem.ts";

/** The headers of a change that was decided on this very state of the task. */
export async function conditionOf({ client }: Call, task: Task): Promise<Record<string, string>> {
  const fence = await ownFence();
  return {
    "if-match": `"${task.version}"`,
    ...(fence === undefined ? {} : { "claim-fence": String(fence) }),
  };

  /** Of the caller's own claim on the task or its parent, which covers it; another's is not ours to show. */
  async function ownFence(): Promise<number | undefined> {
    const parent = task.parent === null ? null : await client.get<Task>(`/tasks/${task.parent}`);
    const claims = [task.claim, parent?.claim ?? null].filter((claim) => claim !== null);
    if (claims.length === 0) return undefined;
    const { actor } = await client.get<{ actor: { id: string } }>("/me");
    return claims.find(({ holder }) => holder.id === actor.id)?.fence;
  }
}

/** Changes a task as it is now. Another's change in between is said, never overwritten. */
export async function updateTask(call: Call, id: string, patch: TaskPatch): Promise<Task> {
  const task = await call.client.get<Task>(await call.task(id));
  return await patchTask(call, task, patch);
}

async function patchTask(call: Call, task: Task, patch: TaskPatch): Promise<Task> {
  return await call.client.request<Task>("PATCH", `/tasks/${task.id}`, {
    body: patch,
    headers: await conditionOf(call, task),
  });
}

const attempts = 10;

/**
 * Sets a status whatever else changed meanwhile: a status is no answer to the other members, so that reading again
 * and repeating overwrites nothing. Also settles a change whose answer was lost.
 */
export async function setStatus(call: Call, id: string, status: Status): Promise<Task> {
  for (let attempt = 1; ; attempt += 1) {
    const task = await call.client.get<Task>(await call.task(id));
    if (task.status === status) return task;
    try {
      return await patchTask(call, task, { status });
    } catch (error) {
      const again =
        error instanceof CliError &&
        (error.body.code === "version_mismatch" || error.exitCode === exitCodes.unavailable);
      if (!again || attempt === attempts) throw error;
    }
  }
}

import { type Command, Option } from "commander";
import type { Task } from "../../core/index.ts";
import { conditionOf, updateTask } from "../change.ts";
import { modelTimeoutSeconds } from "../client.ts";
import { action, type Call, examples, placed, splitIds } from "../command.ts";
import type { Host } from "../host.ts";
import { problem } from "../problem.ts";
import { taskLine } from "../task-view.ts";
import { type FieldOptions, fieldsOf, withFieldOptions } from "./add.ts";

export function addUpdate(program: Command, host: Host): void {
  const update = program
    .command("update")
    .alias("update-task")
    .description("change a task's words, priority, labels or assignee")
    .argument("<id>", "the task");
  withFieldOptions(update).option(
    "--prompt <text>",
    "have the server's language model change its words, out of these",
  );
  placed(update, "project", "tag");
  examples(update, "update 3 --priority critical --label kitchen", `update 2.1 --title "Check the fields"`);
  update.action(
    action<FieldOptions & { prompt?: string }, [string]>(host, async (call, { prompt, ...options }, id) => {
      const patch = fieldsOf(options);
      if (Object.keys(patch).length === 0 && prompt === undefined) {
        throw problem("usage", "Say what to change, such as: update 3 --priority high");
      }
      const task = await (prompt === undefined ? updateTask(call, id, patch) : revise(call, id, prompt));
      if (call.out.json) call.out.value(task);
      else {
        call.sayPlace(task);
        taskLine(call.out, task);
      }
      return undefined;
    }),
  );
}

async function revise(call: Call, id: string, prompt: string): Promise<Task> {
  const task = await call.client.get<Task>(await call.task(id));
  return await call.client.request("POST", `/tasks/${task.id}/revise`, {
    body: { prompt },
    headers: await conditionOf(call, task),
    timeoutSeconds: modelTimeoutSeconds,
  });
}

export function addRemove(program: Command, host: Host): void {
  const remove = program
    .command("remove")
    .aliases(["rm", "remove-task"])
    .description("delete tasks with their subtasks; an id is never used again")
    .argument("[ids...]", "the tasks")
    .addOption(new Option("-i, --id <ids>").hideHelp())
    .addOption(new Option("-y, --yes").hideHelp());
  placed(remove, "project", "tag");
  examples(remove, "remove 4", "set-status 4 cancelled          where it may matter to somebody");
  remove.action(
    action<{ id?: string }, [string[]]>(host, async (call, options, given) => {
      const { client, out } = call;
      const ids = splitIds(...given, options.id);
      if (ids.length === 0) throw problem("usage", "Say which task to delete, such as: remove 4");
      const removed: Task[] = [];
      for (const id of ids) {
        const task = await client.get<Task>(await call.task(id));
        await client.request("DELETE", `/tasks/${task.id}`, { headers: await conditionOf(call, task) });
        removed.push(task);
        if (out.json) continue;
        if (removed.length === 1) call.sayPlace(task);
        out.say(`Deleted ${out.oneLine(`${task.localId}: ${task.title}`)}`);
      }
      if (out.json) out.value({ items: removed, nextCursor: null });
      return undefined;
    }),
  );
}

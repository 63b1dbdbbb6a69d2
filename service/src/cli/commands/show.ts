import type { Command } from "commander";
import type { Attempt, Comment, Task } from "../../core/index.ts";
import { action, type Call, examples, placed, selectable, splitIds, splitList } from "../command.ts";
import type { Host } from "../host.ts";
import { problem } from "../problem.ts";
import { taskDetails } from "../task-details.ts";
import { fieldTable } from "../task-view.ts";

interface ShowOptions {
  id?: string;
  asOf?: string;
}

export function addShow(program: Command, host: Host): void {
  const show = program
    .command("show")
    .description("show a task with its subtasks, attempts and comments")
    .argument("[ids...]", "such as 2, 2.1, KEY:tag:2 or a UUID; several separated by commas or spaces")
    .option("-i, --id <ids>", "the same")
    .option("--as-of <instant>", "as it was then, such as 2026-01-31T12:00:00Z");
  selectable(placed(show, "project", "tag"));
  examples(show, "show 2", "show 2.1", "show 1,2,3 --json", "show 2 --as-of 2026-01-31T12:00:00Z");
  show.action(
    action<ShowOptions, [string[]]>(host, async (call, options, given) => {
      const { out } = call;
      const ids = splitIds(...given, options.id);
      if (ids.length === 0) throw problem("usage", "Say which task to show, such as: show 2.1");
      const tasks: Task[] = [];
      for (const id of ids) {
        tasks.push(
          await call.client.get<Task>(await call.task(id), { fields: options.fields, asOf: options.asOf }),
        );
      }
      if (out.json) {
        out.value(tasks.length === 1 ? tasks[0] : { items: tasks, nextCursor: null });
        return undefined;
      }
      if (options.fields !== undefined) {
        fieldTable(out, splitList(options.fields), tasks);
        return undefined;
      }
      for (const [index, task] of tasks.entries()) {
        if (index > 0) out.say();
        call.sayPlace(task);
        // What surrounds it now says nothing of what it was.
        taskDetails(out, task, options.asOf === undefined ? await surroundings(call, task) : undefined);
      }
      return undefined;
    }),
  );
}

async function surroundings({ client }: Call, { id, parent }: Task) {
  const at = (what: string) => `/tasks/${id}/${what}`;
  const [subtasks, attempts, comments] = await Promise.all([
    parent === null ? client.list<Task>(at("subtasks")) : { items: [] },
    client.list<Attempt>(at("attempts")),
    client.list<Comment>(at("comments")),
  ]);
  return { subtasks: subtasks.items, attempts: attempts.items, comments: comments.items };
}

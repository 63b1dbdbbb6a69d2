import { type Command, Option } from "commander";
import type { Task } from "../../core/index.ts";
import { action, examples, placed, positiveInteger, selectable, splitList } from "../command.ts";
import type { Host } from "../host.ts";
import { tagPath } from "../place.ts";
import { problem } from "../problem.ts";
import { asTree, countsOf, fieldTable, priorityNames, statusNames, taskTable } from "../task-view.ts";

interface ListOptions {
  status?: string;
  priority?: string;
  assignee?: string;
  label?: string;
  withSubtasks?: boolean;
  limit?: number;
}

export function addList(program: Command, host: Host): void {
  const list = program
    .command("list")
    .alias("ls")
    .description("list the tasks of a tag, in their order")
    .argument("[status]", `only these, separated by commas; or "all", with their subtasks`)
    .addOption(new Option("-s, --status <names>", `any of: ${statusNames.join(", ")}`))
    .addOption(new Option("--priority <names>", `any of: ${priorityNames.join(", ")}`))
    .option("--assignee <name>", "only whose assignee this is")
    .option("--label <name>", "only what has this label")
    .option("--with-subtasks", "subtasks as well, below their tasks")
    .option("--limit <count>", "the most to list; all of them by default", positiveInteger);
  selectable(placed(list, "project", "tag"));
  examples(
    list,
    "list",
    "list pending,in-progress --priority critical,high",
    "list all                                  with the subtasks",
    "list --json --fields localId,title,status",
  );
  list.action(
    action<ListOptions, [string | undefined]>(host, async (call, options, status) => {
      const { out, client } = call;
      const given = options.status ?? status;
      const withSubtasks = options.withSubtasks === true || status === "all";
      const names = options.fields === undefined ? undefined : splitList(options.fields);
      const place = await call.place();
      const page = await client.list<Task>(
        tagPath(place.project, place.tag, "tasks"),
        {
          status: given === undefined || given === "all" ? undefined : known(given, statusNames, "status"),
          priority:
            options.priority === undefined ? undefined : known(options.priority, priorityNames, "priority"),
          assignee: options.assignee,
          label: options.label,
          level: withSubtasks ? undefined : "task",
          fields: names?.join(","),
        },
        options.limit,
      );
      if (out.json) {
        out.value(page);
        return undefined;
      }
      call.sayPlace(place);
      if (names !== undefined) fieldTable(out, names, page.items);
      else if (page.items.length === 0) out.say("No tasks.");
      else {
        const { rows, indented } = asTree(page.items);
        taskTable(out, rows, indented);
        out.say(out.style("dim", countsOf(rows)));
      }
      if (page.nextCursor !== null) out.say(out.style("dim", "There are more; raise --limit to see them."));
      return undefined;
    }),
  );
}

/** Names out of a closed set; a wrong one is refused here, where the reader typed it. */
export function known<T extends string>(text: string, names: readonly T[], what: string): T[] {
  return splitList(text).map((name) => {
    const found = names.find((one) => one === name.toLowerCase());
    if (found !== undefined) return found;
    throw problem("usage", `${JSON.stringify(name)} is no ${what}; it is one of ${names.join(", ")}.`);
  });
}

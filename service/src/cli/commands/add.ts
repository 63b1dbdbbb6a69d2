import { type Command, Option } from "commander";
import type { NewTask, Task } from "../../core/index.ts";
import { modelTimeoutSeconds } from "../client.ts";
import { action, type Call, examples, hours, placed, splitIds, splitList } from "../command.ts";
import type { Host } from "../host.ts";
import { tagPath } from "../place.ts";
import { problem } from "../problem.ts";
import { priorityNames, statusNames, taskLine } from "../task-view.ts";

/** What of a task can be said on the command line, for `add` and `update`. */
export interface FieldOptions {
  title?: string;
  description?: string;
  details?: string;
  testStrategy?: string;
  status?: string;
  priority?: string;
  assignee?: string;
  label?: string[];
  effort?: number;
}

export function withFieldOptions(command: Command): Command {
  return command
    .option("--title <text>", "the title")
    .option("-d, --description <text>", "what is to be done, in short")
    .option("--details <text>", "how, at length")
    .option("--test-strategy <text>", "how to see that it is done")
    .addOption(new Option("-s, --status <name>", "the status").choices(statusNames))
    .addOption(new Option("--priority <name>", "the priority").choices(priorityNames))
    .option("--assignee <name>", "whose task it is")
    .option("--label <name>", "a label; may be repeated", (name: string, before: string[] = []) => [
      ...before,
      ...splitList(name),
    ])
    .option("--effort <hours>", "the estimate", hours);
}

export function fieldsOf(
  options: FieldOptions,
): Omit<NewTask, "title" | "dependencies"> & { title?: string } {
  const { title, description, details, testStrategy, status, priority, assignee, label, effort } = options;
  const fields = {
    title,
    description,
    details,
    testStrategy,
    status,
    priority,
    assignee,
    effort,
    labels: label,
  };
  // JSON leaves out what is undefined, but the count of members tells whether there is anything to change.
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

interface AddOptions extends FieldOptions {
  parent?: string;
  depends?: string;
  dependencies?: string;
  prompt?: string;
}

export function addAdd(program: Command, host: Host): void {
  const add = program
    .command("add")
    .alias("add-task")
    .description("add a task, or a subtask with --parent")
    .argument("[title...]", "the title");
  withFieldOptions(add)
    .option("--depends <ids>", "what it waits for, separated by commas")
    .addOption(new Option("--dependencies <ids>").hideHelp())
    .option("-p, --parent <id>", "the task to make it a subtask of")
    .option("--prompt <text>", "have the server's language model write the task, out of these words");
  placed(add, "project", "tag");
  examples(
    add,
    `add "Write the login page" --priority high --depends 1,2`,
    `add "Lay out its form" --parent 3`,
    `add --title "Check the fields" --details "$(cat notes.md)" --label web`,
  );
  add.action(
    action<AddOptions, [string[]]>(host, async (call, options, words) => {
      const task = await (options.prompt === undefined
        ? create(call, options, options.title ?? words.join(" "))
        : draft(call, options, options.prompt));
      if (call.out.json) call.out.value(task);
      else {
        call.sayPlace(task);
        taskLine(call.out, task);
      }
      return undefined;
    }),
  );
}

async function create(call: Call, options: AddOptions, title: string): Promise<Task> {
  if (title.trim() === "")
    throw problem("usage", 'A task needs a title, such as: add "Write the login page"');
  const body: NewTask = { ...fieldsOf(options), title, ...dependenciesOf(options) };
  const address =
    options.parent === undefined
      ? await call.place().then(({ project, tag }) => tagPath(project, tag, "tasks"))
      : await call.task(options.parent, "subtasks");
  return await call.client.request("POST", address, { body });
}

async function draft(call: Call, options: AddOptions, prompt: string): Promise<Task> {
  const { project, tag } = await call.place();
  const { priority } = options;
  return await call.client.request("POST", tagPath(project, tag, "draft-task"), {
    body: { prompt, ...(priority === undefined ? {} : { priority }), ...dependenciesOf(options) },
    timeoutSeconds: modelTimeoutSeconds,
  });
}

function dependenciesOf({ depends, dependencies }: AddOptions): { dependencies?: string[] } {
  const ids = splitIds(depends, dependencies);
  return ids.length === 0 ? {} : { dependencies: ids };
}

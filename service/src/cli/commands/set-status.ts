import { Argument, type Command, Option } from "commander";
import type { Status, Task } from "../../core/index.ts";
import { setStatus } from "../change.ts";
import { action, examples, placed, splitIds } from "../command.ts";
import type { Host } from "../host.ts";
import { CliError, problem } from "../problem.ts";
import { statusNames, taskLine } from "../task-view.ts";
import { known } from "./list.ts";

interface SetStatusOptions {
  id?: string;
  status?: string;
}

export function addSetStatus(program: Command, host: Host): void {
  const command = program
    .command("set-status")
    .alias("status")
    .description("set the status of one or more tasks; a parent follows its subtasks")
    .argument("[ids]", "such as 3, or 3,4.1")
    .addArgument(new Argument("[status]", "the status").choices(statusNames))
    .option("-i, --id <ids>", "the same")
    .addOption(new Option("-s, --status <name>", "the same").choices(statusNames));
  placed(command, "project", "tag");
  examples(command, "set-status 3 in-progress", "set-status 3,4.1 done", "set-status --id=3 --status=done");
  command.action(
    action<SetStatusOptions, [string | undefined, string | undefined]>(
      host,
      async (call, options, ...given) => {
        const { ids, status } = read(given, options);
        const changed: Task[] = [];
        const refusals: CliError[] = [];
        for (const id of ids) {
          try {
            const task = await setStatus(call, id, status);
            if (!call.out.json) {
              if (changed.length === 0) call.sayPlace(task);
              taskLine(call.out, task);
            }
            changed.push(task);
          } catch (error) {
            if (!(error instanceof CliError)) throw error;
            refusals.push(error);
          }
        }
        if (call.out.json && changed.length > 0) {
          call.out.value(ids.length === 1 ? changed[0] : { items: changed, nextCursor: null });
        }
        throwRefusals(refusals);
        return undefined;
      },
    ),
  );
}

function read(given: (string | undefined)[], options: SetStatusOptions): { ids: string[]; status: Status } {
  const operands = given.filter((one) => one !== undefined);
  // `set-status --id=3 done` leaves the status as the first operand.
  const status = options.status ?? operands.pop();
  const ids = splitIds(options.id, ...operands);
  const [wanted] = status === undefined ? [] : known(status, statusNames, "status");
  if (wanted === undefined || ids.length === 0) {
    throw problem("usage", "Say which task and which status, such as: set-status 3 done");
  }
  return { ids, status: wanted };
}

/** One refusal as it is; of several, the first with all that went wrong. */
function throwRefusals(refusals: CliError[]): void {
  const [first] = refusals;
  if (first === undefined) return;
  if (refusals.length === 1) throw first;
  throw new CliError({ ...first.body, detail: refusals.map(({ body }) => body.detail).join(" ") }, first);
}

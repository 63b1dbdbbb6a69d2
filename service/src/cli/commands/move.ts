import type { Command } from "commander";
import type { Task, TaskMove } from "../../core/index.ts";
import { conditionOf } from "../change.ts";
import { action, examples, placed } from "../command.ts";
import type { Host } from "../host.ts";
import { referenceIn } from "../place.ts";
import { problem } from "../problem.ts";
import { taskLine } from "../task-view.ts";

interface MoveOptions {
  from?: string;
  to?: string;
  before?: string;
  after?: string;
  parent?: string;
  top?: boolean;
  fromTag?: string;
  toTag?: string;
}

export function addMove(program: Command, host: Host): void {
  const move = program
    .command("move")
    .description("move a task among its siblings, under another task, or to another tag")
    .argument("[id]", "the task")
    .option("--before <id>", "the sibling to stand before")
    .option("--after <id>", "the sibling to stand behind")
    .option("--parent <id>", "the task to make it a subtask of")
    .option("--top", "make a subtask a task of its own")
    .option("--to-tag <name>", "the tag to move it to, with its subtasks")
    .option("--from <id>", "the task, as the task-master-ai tool says it")
    .option("--to <id>", "7.1 makes it a subtask of 7, 7 a task of its own; the server gives the number")
    .option("--from-tag <name>", "the tag that it is in now");
  placed(move, "project", "tag");
  examples(move, "move 5 --before 3", "move 5 --parent 2", "move 2.1 --top", "move 5 --to-tag sprint-2");
  move.action(
    action<MoveOptions, [string | undefined]>(host, async (call, options, operand) => {
      const { out, client } = call;
      const id = operand ?? options.from;
      if (id === undefined) throw problem("usage", "Say which task to move, such as: move 5 --before 3");
      const { project, tag } = await call.place();
      const from = referenceIn({ project, tag: options.fromTag ?? tag }, id);
      const task = await client.get<Task>(await call.task(from));
      const body = target(options, { project: task.project, tag: options.toTag ?? task.tag });
      const moved = await client.request<Task>("POST", `/tasks/${task.id}/move`, {
        body,
        headers: await conditionOf(call, task),
      });
      if (out.json) {
        out.value(moved);
        return undefined;
      }
      call.sayPlace(moved);
      taskLine(out, moved);
      if (moved.localId !== task.localId) out.say(`It was ${out.oneLine(`${task.tag} ${task.localId}`)}.`);
      return undefined;
    }),
  );
}

function target(options: MoveOptions, place: { project: string; tag: string }): TaskMove {
  const reference = (id: string) => referenceIn(place, id);
  const { to = "" } = options;
  const parentOfTo = to.includes(".") ? reference(to.slice(0, to.lastIndexOf("."))) : null;
  const parent =
    options.top === true
      ? null
      : options.parent !== undefined
        ? reference(options.parent)
        : options.to !== undefined
          ? parentOfTo
          : undefined;
  const move: TaskMove = {
    ...(options.toTag === undefined ? {} : { tag: options.toTag }),
    ...(parent === undefined ? {} : { parent }),
    ...(options.before === undefined ? {} : { before: reference(options.before) }),
    ...(options.after === undefined ? {} : { after: reference(options.after) }),
  };
  if (Object.keys(move).length === 0) {
    throw problem("usage", "Say where: one of --before, --after, --parent, --top and --to-tag.");
  }
  return move;
}

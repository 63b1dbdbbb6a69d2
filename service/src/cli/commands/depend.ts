import type { Command } from "commander";
import type { FixResult, Task, TaskDependencies, TaskSummary, Validation } from "../../core/index.ts";
import { action, type Call, examples, placed, splitIds } from "../command.ts";
import type { Host } from "../host.ts";
import type { Output } from "../output.ts";
import { tagPath } from "../place.ts";
import { exitCodes, problem } from "../problem.ts";
import { statusCell } from "../task-view.ts";

interface DependOptions {
  id?: string;
  on?: string;
  dependsOn?: string;
}

export function addDepend(program: Command, host: Host): void {
  const depend = program
    .command("depend")
    .alias("add-dependency")
    .description("make a task wait for others; a cycle is refused with its path");
  edges(depend, "what it waits for, separated by commas");
  examples(depend, "depend 4 --on 2", "depend 4 --on 2,3.1", "add-dependency --id=4 --depends-on=2");
  depend.action(
    action<DependOptions, [string | undefined]>(host, async (call, options, operand) => {
      const { id, others } = ends(operand, options, "depend 4 --on 2");
      let answer: TaskDependencies | undefined;
      for (const other of others) {
        answer = await call.client.request(
          "PUT",
          await call.task(id, "dependencies", await call.reference(other)),
        );
      }
      if (answer !== undefined) await show(call, id, answer);
      return undefined;
    }),
  );

  const undepend = program
    .command("undepend")
    .alias("remove-dependency")
    .description("make a task no longer wait for others");
  edges(undepend, "what it no longer waits for, separated by commas");
  examples(undepend, "undepend 4 --on 2");
  undepend.action(
    action<DependOptions, [string | undefined]>(host, async (call, options, operand) => {
      const { id, others } = ends(operand, options, "undepend 4 --on 2");
      for (const other of others) {
        await call.client.request("DELETE", await call.task(id, "dependencies", await call.reference(other)));
      }
      await show(call, id, await call.client.get<TaskDependencies>(await call.task(id, "dependencies")));
      return undefined;
    }),
  );
}

function edges(command: Command, description: string): void {
  command
    .argument("[id]", "the task that waits")
    .option("--on <ids>", description)
    .option("-i, --id <id>", "the task, as the task-master-ai tool says it")
    .option("-d, --depends-on <ids>", "the same as --on");
  placed(command, "project", "tag");
}

function ends(operand: string | undefined, options: DependOptions, example: string) {
  const id = operand ?? options.id;
  const others = splitIds(options.on, options.dependsOn);
  if (id === undefined || others.length === 0) {
    throw problem("usage", `Say which task waits for which, such as: ${example}`);
  }
  return { id, others };
}

async function show(call: Call, id: string, answer: TaskDependencies): Promise<void> {
  const { out } = call;
  if (out.json) {
    out.value(answer);
    return;
  }
  const task = await call.client.get<Task>(await call.task(id));
  call.sayPlace(task);
  out.say(out.style("bold", out.oneLine(`${task.localId}  ${task.title}`)));
  eachEnd(out, "waits for", answer.dependsOn);
  eachEnd(out, "is waited for by", answer.dependents);
}

function eachEnd(out: Output, words: string, tasks: readonly TaskSummary[]): void {
  if (tasks.length === 0) out.say(`  ${words} nothing`);
  for (const { localId, status, title } of tasks) {
    const { text, style } = statusCell(status);
    out.say(`  ${words} ${out.oneLine(localId)}  ${out.style(style, text)}  ${out.oneLine(title)}`);
  }
}

type Quarantined = Validation["problems"][number];

export function addValidate(program: Command, host: Host): void {
  const validate = program
    .command("validate")
    .alias("validate-dependencies")
    .description(
      `list the imported dependencies of a tag that cannot hold; exit code ${exitCodes.invalid} when there are any`,
    );
  placed(validate, "project", "tag");
  examples(validate, "validate", "validate --tag sprint-2 --json");
  validate.action(
    action<object, []>(host, async (call) => {
      const { out } = call;
      const place = await call.place();
      const answer = await call.client.get<Validation>(tagPath(place.project, place.tag, "validate"));
      if (out.json) out.value(answer);
      else {
        call.sayPlace(place);
        if (answer.valid) out.say("Every dependency holds.");
        else {
          problemTable(out, answer.problems);
          out.say('They are kept but do not count; "fix" settles them.');
        }
      }
      return answer.valid ? exitCodes.ok : exitCodes.invalid;
    }),
  );

  const fix = program
    .command("fix")
    .alias("fix-dependencies")
    .description("settle those dependencies: what can hold by now counts, what cannot goes");
  placed(fix, "project", "tag");
  examples(fix, "fix");
  fix.action(
    action<object, []>(host, async (call) => {
      const { out } = call;
      const place = await call.place();
      const answer = await call.client.request<FixResult>("POST", tagPath(place.project, place.tag, "fix"), {
        body: {},
      });
      if (out.json) {
        out.value(answer);
        return undefined;
      }
      call.sayPlace(place);
      if (answer.activated.length + answer.removed.length === 0) out.say("There was nothing to fix.");
      for (const [words, edges] of [
        ["These count from now on:", answer.activated],
        ["These are gone:", answer.removed],
      ] as const) {
        if (edges.length === 0) continue;
        out.say(words);
        problemTable(out, edges);
      }
      return undefined;
    }),
  );
}

function problemTable(out: Output, problems: readonly Quarantined[]): void {
  out.table(
    [{ title: "ID" }, { title: "PROBLEM" }, { title: "WAITS FOR" }, { title: "TITLE", grows: true }],
    problems.map(({ task, raw, problem: what }) => [
      { text: task.localId, style: "bold" as const },
      { text: what, style: "red" as const },
      raw,
      task.title,
    ]),
  );
}

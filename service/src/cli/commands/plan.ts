import { resolve } from "node:path";
import { type Command, Option } from "commander";
import type { ComplexityAnalysis, ExpandedTask, PlannedTasks } from "../../core/index.ts";
import { modelTimeoutSeconds } from "../client.ts";
import { action, examples, placed, positiveInteger, splitIds } from "../command.ts";
import { readInput, readText } from "../files.ts";
import type { Host } from "../host.ts";
import { tagPath } from "../place.ts";
import { problem } from "../problem.ts";
import { taskTable } from "../task-view.ts";

interface ExpandOptions {
  id?: string;
  count?: number;
  prompt?: string;
  replace?: boolean;
}

export function addExpand(program: Command, host: Host): void {
  const expand = program
    .command("expand")
    .description("have a task broken down into subtasks")
    .argument("[id]", "the task")
    .option("-n, --count <number>", "how many; as seems right by default", positiveInteger)
    .option("-p, --prompt <text>", "what to think of")
    .option("--replace", "remove the subtasks that are there")
    .addOption(new Option("-i, --id <id>").hideHelp());
  placed(expand, "project", "tag");
  examples(expand, "expand 3", `expand 3 --count 4 --prompt "One of them is the migration."`);
  expand.action(
    action<ExpandOptions, [string | undefined]>(host, async (call, options, operand) => {
      const { id = operand, count, prompt, replace } = options;
      if (id === undefined) throw problem("usage", "Say which task to break down, such as: expand 3");
      const answer = await call.client.request<ExpandedTask>("POST", await call.task(id, "expand"), {
        body: { count, prompt, replace },
        timeoutSeconds: modelTimeoutSeconds,
      });
      if (call.out.json) call.out.value(answer);
      else {
        call.sayPlace(answer.task);
        taskTable(call.out, [answer.task, ...answer.subtasks], new Set(answer.subtasks.map((one) => one.id)));
      }
      return undefined;
    }),
  );
}

interface ParseOptions {
  input?: string;
  count?: number;
  append?: boolean;
  replace?: boolean;
}

export function addParsePrd(program: Command, host: Host): void {
  const parse = program
    .command("parse-prd")
    .description("have tasks made of a requirements document")
    .argument("[file]", `the document; "-" is standard input`)
    .option("-n, --count <number>", "about how many", positiveInteger)
    .addOption(new Option("--append", "add them behind the tasks that are there").conflicts("replace"))
    .option("--replace", "remove the tasks that are there first; else a tag with tasks is refused")
    .addOption(new Option("-i, --input <path>").hideHelp());
  placed(parse, "project", "tag");
  examples(parse, "parse-prd requirements.md", "parse-prd requirements.md --count 10 --append");
  parse.action(
    action<ParseOptions, [string | undefined]>(host, async (call, options, operand) => {
      const { input: file = operand, count, append, replace } = options;
      if (file === undefined)
        throw problem("usage", "Say which document, such as: parse-prd requirements.md");
      const body = {
        text: file === "-" ? await readInput(host.stdin) : await readText(resolve(host.cwd, file)),
        count,
        existing: append === true ? "append" : replace === true ? "replace" : "refuse",
      };
      const place = await call.place();
      const answer = await call.client.request<PlannedTasks>(
        "POST",
        tagPath(place.project, place.tag, "parse-prd"),
        { body, timeoutSeconds: modelTimeoutSeconds },
      );
      if (call.out.json) call.out.value(answer);
      else {
        call.sayPlace(place);
        taskTable(call.out, answer.tasks);
      }
      return undefined;
    }),
  );
}

export function addAnalyzeComplexity(program: Command, host: Host): void {
  const analyze = program
    .command("analyze-complexity")
    .description("have the complexity of tasks judged, and keep it on them")
    .argument("[ids...]", "only these; all that are open by default")
    .addOption(new Option("-i, --id <ids>").hideHelp());
  placed(analyze, "project", "tag");
  examples(analyze, "analyze-complexity", "analyze-complexity 1,2");
  analyze.action(
    action<{ id?: string }, [string[]]>(host, async (call, { id }, given) => {
      const { out } = call;
      const tasks = await Promise.all(splitIds(...given, id).map((one) => call.reference(one)));
      const place = await call.place();
      const answer = await call.client.request<ComplexityAnalysis>(
        "POST",
        tagPath(place.project, place.tag, "analyze-complexity"),
        { body: tasks.length === 0 ? {} : { tasks }, timeoutSeconds: modelTimeoutSeconds },
      );
      if (out.json) {
        out.value(answer);
        return undefined;
      }
      call.sayPlace(place);
      out.table(
        [{ title: "ID" }, { title: "SCORE" }, { title: "SUBTASKS" }, { title: "TITLE", grows: true }],
        answer.scored.map(({ localId, title, complexity }) => [
          { text: localId, style: "bold" as const },
          String(complexity.score ?? ""),
          String(complexity.recommendedSubtasks ?? ""),
          title,
        ]),
      );
      if (answer.recommended.length > 0)
        out.say(`To be expanded: ${out.oneLine(answer.recommended.join(", "))}`);
      if (answer.skipped.length > 0) {
        out.say(`Changed meanwhile, and so not judged: ${out.oneLine(answer.skipped.join(", "))}`);
      }
      return undefined;
    }),
  );
}

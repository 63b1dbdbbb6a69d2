import { resolve } from "node:path";
import { type Command, Option } from "commander";
import type { ImportReport } from "../../core/index.ts";
import { pathOf } from "../client.ts";
import { action, type Call, examples, placed } from "../command.ts";
import { readInput, readText } from "../files.ts";
import type { Host } from "../host.ts";
import type { Output } from "../output.ts";
import { findFile } from "../place.ts";
import { CliError, exitCodes, problem } from "../problem.ts";

interface ImportOptions {
  dryRun?: boolean;
  mode: string;
}

const timeoutSeconds = 300;

export function addImport(program: Command, host: Host): void {
  const command = program
    .command("import")
    .description("import a tasks.json file: all of it, or nothing")
    .argument(
      "[file]",
      `the file; "-" is standard input, and the nearest .taskmaster/tasks/tasks.json the default`,
    )
    .option(
      "--dry-run",
      `report what would become of it; exit code ${exitCodes.invalid} if it would be refused`,
    )
    .addOption(
      new Option(
        "--mode <mode>",
        "strict refuses a file with any problem; quarantine keeps what cannot hold, inactive",
      )
        .choices(["strict", "quarantine"])
        .default("strict"),
    );
  placed(command, "project", "tag");
  examples(
    command,
    "import --dry-run",
    "import .taskmaster/tasks/tasks.json --project DEMO",
    "import old.json --mode quarantine",
    "import - < tasks.json",
  );
  command.action(
    action<ImportOptions, [string | undefined]>(host, async (call, options, given) => {
      const file = await read(host, given);
      const { project } = await call.place();
      const { report, refusal } = await send(call, project, file, options);
      if (call.out.json) call.out.value(report);
      else {
        call.sayPlace({ project });
        show(call.out, report);
      }
      // A dry run answers what would happen, and has succeeded at that; its reader wants to know all the same.
      return refusal || !report.accepted ? exitCodes.invalid : exitCodes.ok;
    }),
  );
}

async function read(host: Host, given: string | undefined): Promise<string> {
  if (given === "-") return await readInput(host.stdin);
  const path = given === undefined ? await findFile(host.cwd) : resolve(host.cwd, given);
  if (path === undefined) {
    throw problem(
      "usage",
      "There is no .taskmaster/tasks/tasks.json here or above; name the file to import.",
    );
  }
  return await readText(path);
}

async function send(
  call: Call,
  project: string,
  file: string,
  { dryRun = false, mode }: ImportOptions,
): Promise<{ report: ImportReport; refusal: boolean }> {
  const bar = await call.host.openProgress();
  try {
    const report = await call.client.request<ImportReport>("POST", pathOf("projects", project, "import"), {
      query: { dryRun, mode, tag: call.options.tag },
      text: file,
      timeoutSeconds,
      ...(bar === undefined ? {} : { onSent: (sent, total) => bar.step("sent", sent, total) }),
    });
    return { report, refusal: false };
  } catch (error) {
    // The refusal holds the report, which says more than its sentence.
    if (!(error instanceof CliError) || error.body.code !== "import_refused") throw error;
    const { report } = error.body;
    if (report === undefined) throw error;
    return { report: report as ImportReport, refusal: true };
  } finally {
    bar?.close();
  }
}

function show(out: Output, report: ImportReport): void {
  const { accepted, dryRun, mode, tags, problems, notices } = report;
  if (tags.length > 0) {
    out.table(
      [
        { title: "TAG", grows: true },
        { title: "TASKS" },
        { title: "SUBTASKS" },
        { title: "DEPENDENCIES" },
        { title: "QUARANTINED" },
      ],
      tags.map(({ name, tasks, subtasks, dependencies, quarantined }) => [
        { text: name, style: "bold" as const },
        String(tasks),
        String(subtasks),
        String(dependencies),
        quarantined === 0 ? "0" : { text: String(quarantined), style: "yellow" as const },
      ]),
    );
  }
  for (const { pointer, detail } of problems) {
    out.say(
      `${out.style("red", out.oneLine(pointer === "" ? "(the file)" : pointer))}  ${out.oneLine(detail)}`,
    );
  }
  for (const { pointer, detail } of notices) {
    out.say(`${out.style("yellow", out.oneLine(pointer))}  ${out.oneLine(detail)}`);
  }
  out.say(sentence(accepted, dryRun, mode, problems.length));
}

function sentence(accepted: boolean, dryRun: boolean, mode: string, count: number): string {
  const problems = count === 1 ? "1 problem" : `${count} problems`;
  if (!accepted) {
    const other = mode === "strict" ? " Mend the file, or take it as it is with --mode quarantine." : "";
    return `${dryRun ? "It would be refused" : "Nothing was imported"}: ${problems}.${other}`;
  }
  const kept = count === 0 ? "." : `, with ${problems} in quarantine.`;
  return dryRun ? `It would be imported${kept}` : `Imported${kept}`;
}

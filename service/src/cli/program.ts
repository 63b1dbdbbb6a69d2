import { Command } from "commander";
import { addAdd } from "./commands/add.ts";
import { addClaim, addStart } from "./commands/claim.ts";
import { addComment } from "./commands/comment.ts";
import { addDepend, addValidate } from "./commands/depend.ts";
import { addExport } from "./commands/export.ts";
import { addImport } from "./commands/import.ts";
import { addList } from "./commands/list.ts";
import { addLogin } from "./commands/login.ts";
import { addMove } from "./commands/move.ts";
import { addNext } from "./commands/next.ts";
import { addAnalyzeComplexity, addExpand, addParsePrd } from "./commands/plan.ts";
import { addProjects } from "./commands/projects.ts";
import { addSetStatus } from "./commands/set-status.ts";
import { addShow } from "./commands/show.ts";
import { addSlo } from "./commands/slo.ts";
import { addSmoke } from "./commands/smoke.ts";
import { addTags } from "./commands/tags.ts";
import { addRemove, addUpdate } from "./commands/update.ts";
import { addWatch } from "./commands/watch.ts";
import type { Host } from "./host.ts";

const epilogue = `
Where it works: --server, --profile or --file; else TASKMASTER_SERVER with TASKMASTER_TOKEN; else the profile of
"login"; else the nearest .taskmaster/tasks/tasks.json, here or above, which needs no server at all.

Exit codes: 0 done, 1 a defect, 2 wrong command line or settings, 3 not found, 4 refused by the present state (claimed,
a cycle, another version), 5 not allowed, 6 not reachable now, 7 not valid, 8 nothing is ready, 130 stopped by Ctrl-C.

With --json the answer is the REST API's, on standard output; an error is a problem (RFC 9457) on standard error.

Examples:
  $ task-master-pro login https://tasks.example.com       once; asks for the token
  $ task-master-pro next                                  what to do now
  $ task-master-pro claim 3                               so that nobody else does it
  $ task-master-pro claim complete 3 --note "Done so."    and hand over
  $ task-master-pro list --with-subtasks                  where everything stands
  $ task-master-pro serve                                 a server of your own, on port 3000`;

/** The commands of whoever works with tasks; the process adds those that run and keep a server. */
export function buildProgram(host: Host, version: string): Command {
  const program = new Command("task-master-pro")
    .description("The task server for teams whose members are people and coding agents.")
    .version(version)
    // Or what stands above a command, as `claim` above `claim fail`, would take its options away.
    .enablePositionalOptions()
    .addHelpCommand(
      new Command("help").argument("[command]").description("show the help of a command").helpGroup("Help:"),
    )
    // Inherited by every command made from here on: whoever runs the program reports what it throws.
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void host.stdout.write(text),
      writeErr: (text) => void host.stderr.write(text),
      outputError: () => {},
    })
    .addHelpText("after", epilogue);
  program.commandsGroup("Tasks:");
  addList(program, host);
  addNext(program, host);
  addShow(program, host);
  addAdd(program, host);
  addUpdate(program, host);
  addSetStatus(program, host);
  addMove(program, host);
  addRemove(program, host);
  addComment(program, host);
  program.commandsGroup("Working together:");
  addStart(program, host);
  addClaim(program, host);
  addWatch(program, host);
  program.commandsGroup("Planning, with the server's language model:");
  addExpand(program, host);
  addParsePrd(program, host);
  addAnalyzeComplexity(program, host);
  program.commandsGroup("Dependencies:");
  addDepend(program, host);
  addValidate(program, host);
  program.commandsGroup("Projects and tags:");
  addTags(program, host);
  addProjects(program, host);
  addImport(program, host);
  addExport(program, host);
  program.commandsGroup("Profiles:");
  addLogin(program, host);
  program.commandsGroup("Watching a server:");
  addSmoke(program, host);
  addSlo(program, host);
  return program;
}

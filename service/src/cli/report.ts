import { CommanderError } from "commander";
import type { Host } from "./host.ts";
import { CliError, exitCodes, type ProblemBody, problem } from "./problem.ts";

/**
 * Says on standard error what a command ended with, and settles the exit code. False for what is not the command
 * line's to explain: a defect, or what the programs that run a server throw.
 */
export function report(host: Host, error: unknown, argv: readonly string[]): boolean {
  if (error instanceof CommanderError && error.exitCode === 0) return true;
  // Help in place of a missing command; it is on the screen already.
  if (error instanceof CommanderError && /^commander\.help/.test(error.code)) {
    host.exitCode = exitCodes.usage;
    return true;
  }
  const known = error instanceof CommanderError ? usage(error) : error;
  if (!(known instanceof CliError)) return false;
  host.exitCode = known.exitCode;
  // A wrong command line has no parsed options to ask.
  const json = argv.includes("--json") || argv.join(" ").includes("--format=json");
  host.stderr.write(json ? `${JSON.stringify(known.body)}\n` : sentences(known.body));
  return true;
}

function usage({ message }: CommanderError): CliError {
  return problem("usage", `${message.replace(/^error: /, "")} (--help tells more)`);
}

function sentences({ detail, errors = [], requestId, code }: ProblemBody): string {
  // One fault is in the sentence already.
  const more =
    errors.length > 1 || (errors[0] !== undefined && !detail.includes(errors[0].detail)) ? errors : [];
  const lines = [
    `task-master-pro: ${detail}`,
    ...more.map((error) => `  ${error.pointer === "" ? "(the body)" : error.pointer}: ${error.detail}`),
    ...(code === "internal_error" ? [`  request id: ${requestId}`] : []),
  ];
  return `${lines.join("\n")}\n`;
}

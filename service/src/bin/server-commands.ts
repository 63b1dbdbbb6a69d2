import type { Command } from "commander";
import { addCompletion } from "../cli/commands/completion.ts";
import type { Host } from "../cli/host.ts";
import { ConfigError } from "../config.ts";
import { addBackup } from "./backup.ts";
import { showConfig } from "./config.ts";
import { isExplained } from "./explained.ts";
import { addMigrate } from "./migrate.ts";
import type { TokenFlags } from "./token.ts";

/** The commands that run a server and keep its database, and what needs all commands to be there. */
export function addServer(program: Command, host: Host): void {
  program.commandsGroup("A server of your own:");
  program
    .command("serve")
    .description("start the server; it stops on SIGTERM or SIGINT without losing a request")
    .option(
      "--welcome",
      "also make a first organization and token where there is none, and show how to begin",
    )
    .addHelpText(
      "after",
      `
Settings come from the environment; \`task-master-pro config\` lists them all, with their values and where each
came from. Without DATABASE_URL the program runs on a PostgreSQL of its own, in ./data; with file:PATH it runs on the
.taskmaster/tasks/tasks.json of the project in that folder.`,
    )
    .action(async (options: { welcome?: boolean }) => {
      const { serve } = await import("./serve.ts");
      await serve({ welcome: options.welcome === true });
    });

  program
    .command("config")
    .description("show the effective settings, secrets masked, and where each came from")
    .option("--json", "as JSON")
    .action((options: { json?: boolean }) => showConfig({ json: options.json === true }));

  program
    .command("mcp")
    .description(
      "the MCP server on standard input and output, for a client that starts it; logs go to standard error",
    )
    .action(async () => {
      const { serveMcp } = await import("./mcp.ts");
      await serveMcp();
    });

  addMigrate(program);
  addBackup(program);

  program
    .command("token")
    .description("make a new token for the first organization's first owner, and print it")
    .option("--email <address>", "where there is no organization yet, make the first one, with this owner")
    .option("--organization <slug>", "the name of that one in addresses", "home")
    .option("--json", "as JSON")
    .action(async (options: TokenFlags) => {
      const { issueToken } = await import("./token.ts");
      await issueToken(options);
    });

  program.commandsGroup("Help:");
  addCompletion(program, host);
}

/** Says what one of these commands ended with. Returns its exit code. */
export function reportServer(error: unknown): number {
  // A fault that the operator can mend is said in a sentence; anything else is a defect and shows where it happened.
  const text = isExplained(error)
    ? error.message
    : error instanceof Error
      ? (error.stack ?? error.message)
      : String(error);
  process.stderr.write(`task-master-pro: ${text}\n`);
  return error instanceof ConfigError ? 2 : 1;
}

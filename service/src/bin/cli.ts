#!/usr/bin/env node
import { Command } from "commander";
import { ConfigError } from "../config.ts";
import { AppError } from "../core/index.ts";
import { readVersion } from "../version.ts";
import { addBackup } from "./backup.ts";
import { showConfig } from "./config.ts";
import { addMigrate } from "./migrate.ts";
import type { TokenFlags } from "./token.ts";

const program = new Command("task-master-pro")
  .description("The task server for teams whose members are people and coding agents.")
  .version(readVersion())
  .showHelpAfterError("(--help tells more)")
  .addHelpText(
    "after",
    `
Settings come from the environment; \`task-master-pro config\` lists them all, with their values and where each
came from. Without DATABASE_URL the program runs on a PostgreSQL of its own, in ./data.

Examples:
  $ task-master-pro serve                                the server, on port 3000
  $ DATABASE_URL=postgres://… task-master-pro migrate up   bring a database's schema up to date
  $ task-master-pro backup create                        back the database up into ./backups
  $ task-master-pro token                                a new owner token, when the first is lost`,
  );

program
  .command("serve")
  .description("start the server; it stops on SIGTERM or SIGINT without losing a request")
  .option("--welcome", "also make a first organization and token where there is none, and show how to begin")
  .action(async (options: { welcome?: boolean }) => {
    // Loaded when it is called for: most of the program is the server, and the other commands need none of it.
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

// The first process of a container is not ended by a signal that nobody handles; a killed migration heals at the next run.
if (process.pid === 1) {
  for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
    process.on(signal, () => {
      // A server and a backup stop in a way of their own.
      if (process.listenerCount(signal) === 1) process.exit(code);
    });
  }
}

try {
  await program.parseAsync();
} catch (error) {
  // A fault that the operator can mend is said in a sentence; anything else is a defect and shows where it happened.
  // The system and PostgreSQL put a code on theirs: a refused connection, a wrong password, a missing database.
  const coded = error instanceof Error && "code" in error && typeof error.code === "string";
  const known = error instanceof ConfigError || error instanceof AppError || coded;
  const text = known
    ? error.message
    : error instanceof Error
      ? (error.stack ?? error.message)
      : String(error);
  process.stderr.write(`task-master-pro: ${text}\n`);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}

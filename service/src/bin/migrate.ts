import { type Command, InvalidArgumentError } from "commander";
import { actionsOf } from "./actions.ts";

const action = actionsOf(() => import("./migrate-actions.ts"));

export function addMigrate(program: Command): void {
  const migrate = program
    .command("migrate")
    .description("the database's schema: look at it, bring it up to date, take it back")
    .addHelpText(
      "after",
      `
The database is DATABASE_URL's; without it, the embedded one in ./data. One migrator works at a time; others wait.
Whatever a killed run left half done is finished or undone by the next one.

Exit codes: 0 done, 1 refused or failed, 2 wrong command line or settings, 3 migrations are pending (status only).

Examples:
  $ task-master-pro migrate status
  $ task-master-pro migrate up --dry-run              the SQL, without running it
  $ task-master-pro migrate down --to 20261123000000_init
  $ task-master-pro migrate new add_task_due_date     after a change of prisma/schema.prisma`,
    );
  migrate
    .command("status")
    .description("which migrations are applied, pending or half done; exit code 3 while any is pending")
    .option("--json", "as JSON")
    .action(action("status"));
  const steps = (name: string, description: string) =>
    migrate
      .command(name)
      .description(description)
      .option("--allow-data-loss", "also take steps that lose data")
      .option("--dry-run", "print the SQL and change nothing")
      .option("--wait <seconds>", "the longest wait for another migrator, and for locks", seconds, 300)
      .option("--json", "as JSON");
  steps("up", "apply all pending migrations, in order")
    .option("--to <name>", "only up to this one")
    .option("--allow-contract", "also take steps that releases before them cannot run on")
    .action(action("up"));
  steps("down", "take back every migration after the named one, newest first, by the database's own scripts")
    .requiredOption("--to <name>", 'the migration to go back to, which stays; "none" takes back all')
    .action(action("down"));
  steps("redo", "take back the newest migration and apply it again, to try a change to it").action(
    action("redo"),
  );
  migrate
    .command("new")
    .argument("<name>", "what it does, in lower case, such as add_task_due_date")
    .description("write a migration in both directions, from the difference to prisma/schema.prisma")
    .option("--empty", "with nothing in it, for what Prisma's language cannot say")
    .option("--json", "as JSON")
    .action(action("create"));
  migrate
    .command("check")
    .description(
      "try every migration in both directions on a database of its own, and lint it; exit code 1 for a fault",
    )
    .option("--json", "as JSON")
    .action(action("check"));
}

function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError("It takes a number of seconds.");
  }
  return value;
}

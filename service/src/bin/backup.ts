import { type Command, InvalidArgumentError } from "commander";
import { actionsOf } from "./actions.ts";

const action = actionsOf(() => import("./backup-actions.ts"));

export function addBackup(program: Command): void {
  const backup = program
    .command("backup")
    .description("make, prove, restore and thin out backups")
    .addHelpText(
      "after",
      `
The database is DATABASE_URL's; without it, the embedded one in ./data. Backups are kept in ./backups, or where
TASKMASTER_BACKUP_TARGET says: another folder, or s3://bucket/prefix, with the keys of the AWS_* variables and, for a
server that is not Amazon's, TASKMASTER_BACKUP_S3_ENDPOINT. "task-master-pro config" lists the other settings.
A server needs PostgreSQL's pg_dump and pg_restore of its own major version on this machine; the embedded one does not.

Progress goes to standard error: a bar on a terminal, else a line of JSON now and then.

Examples:
  $ task-master-pro backup create
  $ task-master-pro backup verify                     every file of the newest, against its manifest
  $ task-master-pro backup drill                      restore the newest aside, compare it, work with it, throw it away
  $ task-master-pro backup restore --replace          the newest in the place of what is there; asks twice
  $ task-master-pro backup prune --keep-daily 14 --dry-run`,
    );
  backup
    .command("create")
    .description("back the database up, from one moment of it, while it is in use")
    .option("--json", "the manifest, as JSON")
    .action(action("create"));
  backup
    .command("list")
    .description("the backups that there are, and what is known of each")
    .option("--json", "as JSON")
    .action(action("list"));
  backup
    .command("verify")
    .argument("[id]", "the backup; by default the newest")
    .description("read every file of a backup and compare it with the manifest")
    .option("--all", "every backup")
    .option("--json", "as JSON")
    .action(action("verify"));
  backup
    .command("restore")
    .argument("[id]", "the backup; by default the newest")
    .description("restore into an empty database, or with --replace in the place of what is there")
    .option(
      "--replace",
      "replace what the database holds, which is backed up first and kept under another name",
    )
    .option("--confirm <database>", "the database's name, in place of the two questions")
    .option("--no-migrate", "leave the schema as it was backed up")
    .option("--allow-contract", "when migrating, also take steps that releases before them cannot run on")
    .option("--allow-data-loss", "when migrating, also take steps that lose data")
    .option("--json", "as JSON")
    .action(action("restore"));
  backup
    .command("drill")
    .argument("[id]", "the backup; by default the newest")
    .description(
      "prove a backup: restore it into a database of its own, compare, run the smoke test, measure",
    )
    .option("--json", "as JSON")
    .action(action("drill"));
  backup
    .command("prune")
    .description(
      "remove old backups; never the newest, nor the newest that was checked or proven by a restore",
    )
    .option("--keep-daily <days>", "keep the newest of each of the last days that have one", whole, 7)
    .option("--keep-weekly <weeks>", "and of each of the last weeks", whole, 5)
    .option("--keep-monthly <months>", "and of each of the last months", whole, 12)
    .option("--dry-run", "say what would go, and remove nothing")
    .option("--json", "as JSON")
    .action(action("prune"));
  backup
    .command("exporter")
    .description("serve to Prometheus what is known of the backups, until it is stopped")
    .addHelpText(
      "after",
      `
It serves /metrics on TASKMASTER_METRICS_PORT (9464) at HOST, from what the other commands write beside the backups. It
needs no database, and of the place that backups are kept in no more than to read it.`,
    )
    .action(async () => {
      const { exportBackups } = await import("./backup-exporter.ts");
      await exportBackups();
    });
}

function whole(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError("It takes a whole number from 0.");
  return Number(text);
}

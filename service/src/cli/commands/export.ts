import { realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { pathOf } from "../client.ts";
import { action, examples, placed } from "../command.ts";
import { writeWhole } from "../files.ts";
import type { Host } from "../host.ts";

interface ExportOptions {
  form?: string;
}

export function addExport(program: Command, host: Host): void {
  const command = program
    .command("export")
    .description("write a project as a tasks.json file, to standard output or to a file, whole or not at all")
    .argument("[file]", "where to; standard output by default")
    .addOption(
      new Option(
        "--form <form>",
        "preserve gives an imported file back as it was, with what changed since; canonical is what the task-master-ai tool reads",
      ).choices(["preserve", "canonical"]),
    );
  placed(command, "project", "tag");
  examples(
    command,
    "export > tasks.json",
    "export .taskmaster/tasks/tasks.json --form canonical",
    "export --tag sprint-2",
  );
  command.action(
    action<ExportOptions, [string | undefined]>(host, async (call, { form, tag }, file) => {
      const { project } = await call.place();
      const text = await call.client.text(pathOf("projects", project, "export"), { form, tag });
      if (file === undefined || file === "-") host.stdout.write(text);
      else {
        const given = resolve(host.cwd, file);
        // A link stays a link.
        const path = await realpath(given).catch(() => given);
        await writeWhole(path, text);
        if (call.out.json) call.out.value({ project, file: path, bytes: Buffer.byteLength(text) });
        else {
          call.sayPlace({ project, ...(tag === undefined ? {} : { tag }) });
          call.out.say(`Wrote ${path}.`);
        }
      }
      return undefined;
    }),
  );
}

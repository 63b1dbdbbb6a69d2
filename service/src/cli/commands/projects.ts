import type { Command } from "commander";
import type { Page, Project } from "../../core/index.ts";
import { action, examples, placed, selectable, splitList } from "../command.ts";
import type { Host } from "../host.ts";
import { fieldTable } from "../task-view.ts";

export function addProjects(program: Command, host: Host): void {
  const projects = program.command("projects").description("the organization's projects: list, add");
  examples(projects, "projects", `projects add DEMO --name "Demonstration"`);

  const list = projects.command("list", { isDefault: true }).description("list the projects");
  selectable(placed(list));
  list.action(
    action<object, []>(host, async (call, { fields }) => {
      const { out } = call;
      const page: Page<Project> = await call.client.list("/projects", { fields });
      if (out.json) {
        out.value(page);
        return undefined;
      }
      out.say(out.style("dim", call.client.name));
      if (fields !== undefined) fieldTable(out, splitList(fields), page.items);
      else if (page.items.length === 0) out.say('There is no project yet; make one with "projects add KEY".');
      else {
        out.table(
          [{ title: "KEY" }, { title: "NAME", grows: true }, { title: "CHANGED", optional: true }],
          page.items.map(({ key, name, updatedAt }) => [
            { text: key, style: "bold" as const },
            name,
            updatedAt,
          ]),
        );
      }
      return undefined;
    }),
  );

  const add = projects
    .command("add")
    .argument("<key>", "its short name, in upper case")
    .option("--name <text>", "its name; the key by default")
    .option("-d, --description <text>", "what it is about")
    .description("make a project");
  placed(add);
  add.action(
    action<{ name?: string; description?: string }, [string]>(host, async (call, options, key) => {
      const { name = key, description } = options;
      const project = await call.client.request<Project>("POST", "/projects", {
        body: { key, name, ...(description === undefined ? {} : { description }) },
      });
      if (call.out.json) call.out.value(project);
      else call.out.say(`Made ${call.out.oneLine(`${project.key}: ${project.name}`)}.`);
      return undefined;
    }),
  );
}

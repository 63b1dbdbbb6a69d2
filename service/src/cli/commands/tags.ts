import { type Command, Option } from "commander";
import type { Page, Tag } from "../../core/index.ts";
import { pathOf } from "../client.ts";
import { action, type Call, examples, placed, selectable, splitList } from "../command.ts";
import type { Host } from "../host.ts";
import { findTag, tagPath } from "../place.ts";
import { fieldTable } from "../task-view.ts";

export function addTags(program: Command, host: Host): void {
  const tags = program
    .command("tags")
    .description("the named task lists of a project: list, add, rename, copy, delete");
  examples(
    tags,
    "tags",
    `tags add sprint-2 --description "The second sprint"`,
    "tags copy master experiment",
    "tags rename sprint-2 sprint-3",
    "tags delete experiment",
  );

  const list = tags.command("list", { isDefault: true }).description("list the project's tags");
  selectable(placed(list, "project"));
  list.action(
    action<object, []>(host, async (call, { fields }) => {
      const { project } = await call.place();
      const page = await call.client.get<Page<Tag>>(pathOf("projects", project, "tags"), { fields });
      if (call.out.json) call.out.value(page);
      else {
        call.sayPlace({ project });
        if (fields !== undefined) fieldTable(call.out, splitList(fields), page.items);
        else tagTable(call, page.items);
      }
      return undefined;
    }),
  );

  const add = tags.command("add").argument("<name>", "the tag's name").description("make a tag");
  placed(withDescription(add), "project");
  add.action(
    action<{ description?: string }, [string]>(host, async (call, { description }, name) => {
      const { project } = await call.place();
      const body = { name, ...(description === undefined ? {} : { description }) };
      return said(
        call,
        "Made",
        await call.client.request("POST", pathOf("projects", project, "tags"), { body }),
      );
    }),
  );

  const copy = tags
    .command("copy")
    .argument("<source>", "the tag to copy")
    .argument("<name>", "the copy's name")
    .description("copy a tag with its tasks and dependencies");
  placed(withDescription(copy), "project");
  copy.action(
    action<{ description?: string }, [string, string]>(host, async (call, { description }, source, name) => {
      const { project } = await call.place();
      const body = { name, ...(description === undefined ? {} : { description }) };
      return said(
        call,
        "Made",
        await call.client.request("POST", tagPath(project, source, "copy"), { body }),
      );
    }),
  );

  const rename = tags
    .command("rename")
    .argument("<old>", "the tag")
    .argument("<new>", "its new name")
    .description("rename a tag");
  placed(rename, "project");
  rename.action(
    action<object, [string, string]>(host, async (call, _options, old, name) => {
      const { project } = await call.place();
      const { version } = await call.client.get<Tag>(tagPath(project, old));
      const renamed = await call.client.request<Tag>("PATCH", tagPath(project, old), {
        body: { name },
        headers: { "if-match": `"${version}"` },
      });
      return said(call, "Renamed to", renamed);
    }),
  );

  const remove = tags
    .command("delete")
    .alias("remove")
    .argument("<name>", "the tag")
    .addOption(new Option("-y, --yes").hideHelp())
    .description("delete a tag with all its tasks; refused while one of them is claimed");
  placed(remove, "project");
  remove.action(
    action<object, [string]>(host, async (call, _options, name) => {
      const { project } = await call.place();
      const tag = await call.client.get<Tag>(tagPath(project, name));
      await call.client.request("DELETE", tagPath(project, name), {
        headers: { "if-match": `"${tag.version}"` },
      });
      return said(call, "Deleted", tag);
    }),
  );
}

function withDescription(command: Command): Command {
  return command.option("-d, --description <text>", "what it is for");
}

function tagTable(call: Call, tags: readonly Tag[]): void {
  const current = findTag(call, call.options);
  call.out.table(
    [{ title: "TAG" }, { title: "DESCRIPTION", grows: true }, { title: "CHANGED", optional: true }],
    tags.map(({ name, description, updatedAt }) => [
      name === current ? { text: `${name} *`, style: "bold" as const } : name,
      description,
      updatedAt,
    ]),
  );
  call.out.say(call.out.style("dim", "* is where commands without --tag work."));
}

async function said(call: Call, words: string, tag: Tag): Promise<undefined> {
  if (call.out.json) call.out.value(tag);
  else {
    call.sayPlace(tag);
    call.out.say(`${words} ${call.out.oneLine(tag.name)}.`);
  }
}

import type { Command } from "commander";
import type { Comment } from "../../core/index.ts";
import { action, examples, placed } from "../command.ts";
import type { Host } from "../host.ts";

export function addComment(program: Command, host: Host): void {
  const comment = program
    .command("comment")
    .description("say something about a task")
    .argument("<id>", "the task")
    .argument("<text...>", "what to say");
  placed(comment, "project", "tag");
  examples(comment, `comment 3 "The form needs a label."`);
  comment.action(
    action<object, [string, string[]]>(host, async (call, _options, id, words) => {
      const made = await call.client.request<Comment>("POST", await call.task(id, "comments"), {
        body: { body: words.join(" ") },
      });
      if (call.out.json) call.out.value(made);
      else call.out.say(`Commented on ${call.out.oneLine(id)}.`);
      return undefined;
    }),
  );
}

import { type Command, Option } from "commander";
import type { NextAnswer } from "../../core/index.ts";
import { action, examples, placed } from "../command.ts";
import type { Host } from "../host.ts";
import { tagPath } from "../place.ts";
import { exitCodes } from "../problem.ts";
import { taskDetails } from "../task-details.ts";

export function addNext(program: Command, host: Host): void {
  const next = program
    .command("next")
    .description(
      `the task to do next, without claiming it; exit code ${exitCodes.nothing} when nothing is ready`,
    )
    .addOption(
      new Option(
        "--mode <mode>",
        "by the rule of the task-master-ai tool, or by the critical path, with reasons",
      )
        .choices(["compat", "smart"])
        .default("compat"),
    );
  placed(next, "project", "tag");
  examples(next, "next", "next --mode smart", "next --json | jq -r .task.localId");
  next.action(
    action<{ mode: string }, []>(host, async (call, { mode }) => {
      const { out, client } = call;
      const place = await call.place();
      const answer = await client.get<NextAnswer>(tagPath(place.project, place.tag, "next"), { mode });
      const code = answer.task === null ? exitCodes.nothing : exitCodes.ok;
      if (out.json) {
        out.value(answer);
        return code;
      }
      call.sayPlace(place);
      if (answer.task === null) {
        out.say("Nothing is ready: every open task waits, is claimed, or is done.");
        return code;
      }
      taskDetails(out, answer.task);
      for (const reason of answer.reasons) out.quote(`  ${reason}`);
      if (answer.alternatives.length > 0) out.say(`  Or: ${answer.alternatives.join(", ")}`);
      out.say();
      out.say(out.style("dim", `Take it: task-master-pro claim ${answer.task.localId}`));
      return code;
    }),
  );
}

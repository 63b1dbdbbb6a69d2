import type { GetPromptResult } from "@modelcontextprotocol/sdk/types.js";
import { invalidInput } from "../core/index.ts";
import { clipText } from "./budget.ts";
import type { Calls } from "./calls.ts";
import { completePlace } from "./complete.ts";
import type { PromptFeature } from "./features.ts";
import { placeOf } from "./place.ts";
import type { Call } from "./tool.ts";
import { describe } from "./tools/tasks.ts";

const place = [
  { name: "project", description: "The project's key, where you can see more than one.", required: false },
  { name: "tag", description: "The tag's name; the current one, or master, by default.", required: false },
];

export function promptsOf(calls: Calls): PromptFeature[] {
  return [
    {
      definition: {
        name: "next_task",
        title: "Do the next task",
        description:
          "The next ready task, as an instruction for an agent, with how to claim and complete it.",
        arguments: place,
      },
      async get(given, incoming) {
        const unknown = Object.keys(given).find((key) => !place.some((one) => one.name === key));
        if (unknown !== undefined) {
          throw invalidInput("", `The prompt has no argument ${JSON.stringify(unknown)}.`);
        }
        return nextTask(await calls(incoming), given);
      },
      complete: async (argument, others, incoming) => completePlace(await calls(incoming), argument, others),
    },
  ];
}

async function nextTask(call: Call, given: { project?: string; tag?: string }): Promise<GetPromptResult> {
  const { project, tag } = await placeOf(call, given);
  const { task } = await call.core.graphs.next(call.ctx, project, tag, "compat");
  const text =
    task === null
      ? `Nothing is ready in tag ${tag} of project ${project}. Look with get_tasks at what is blocked, and say what it waits for.`
      : [
          describe(task),
          "",
          `Claim it first: claim_next with project ${JSON.stringify(project)}, tag ${JSON.stringify(tag)}, id ${JSON.stringify(task.localId)}.`,
          "When that is refused with claimed, somebody else was faster: call claim_next without id.",
          "Do the work. Send a heartbeat with claimId and fence before the claim's expiresAt.",
          "When it is done and tested: complete_claim with claimId, fence and a note of what the next tasks should know.",
          "When you cannot do it: fail_claim with a note of what went wrong.",
        ].join("\n");
  return {
    description: `The next task in tag ${tag} of project ${project}`,
    messages: [{ role: "user", content: { type: "text", text: clipText(text) } }],
  };
}

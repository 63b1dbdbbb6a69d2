import type { ReadResourceResult, ResourceTemplate } from "@modelcontextprotocol/sdk/types.js";
import { AppError } from "../core/index.ts";
import { cutToFit, maximumBytes } from "./budget.ts";
import type { Call } from "./tool.ts";

export const resourceTemplates: ResourceTemplate[] = [
  {
    name: "task",
    title: "A task",
    uriTemplate: "task://{project}/{tag}/{id}",
    description: "A task or subtask as JSON; the tag is percent-encoded, the id is such as 3 or 3.1.",
    mimeType: "application/json",
  },
];

export async function readResource(call: Call, uri: string): Promise<ReadResourceResult> {
  const parts = /^task:\/\/([^/?#]+)\/([^/?#]+)\/([^/?#:]+)$/.exec(uri)?.slice(1).map(decoded);
  const [project, tag, id] = parts ?? [];
  if (project === undefined || tag === undefined || id === undefined) {
    throw new AppError(
      "not_found",
      `There is no resource ${JSON.stringify(uri)}; a task is task://KEY/tag/3.`,
    );
  }
  const task = await call.core.tasks.get(call.ctx, `${project}:${tag}:${id}`);
  const { content, cuts } = cutToFit(task, maximumBytes);
  const text = JSON.stringify(cuts.length === 0 ? content : { ...content, cut: cuts });
  return { contents: [{ uri, mimeType: "application/json", text }] };
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

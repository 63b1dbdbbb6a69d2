import type { ReadResourceResult } from "@modelcontextprotocol/sdk/types.js";
import { AppError, type Status, statuses } from "../core/index.ts";
import { cutToFit, pageThatFits } from "./budget.ts";
import type { Calls } from "./calls.ts";
import { completePlace } from "./complete.ts";
import type { TemplateFeature } from "./features.ts";
import { brief } from "./place.ts";
import type { Call } from "./tool.ts";
import { watchTask } from "./watch.ts";

export function templatesOf(calls: Calls): TemplateFeature[] {
  const complete: TemplateFeature["complete"] = async (argument, others, incoming) =>
    completePlace(await calls(incoming), argument, others);
  return [
    {
      definition: {
        name: "task",
        title: "A task",
        uriTemplate: "task://{project}/{tag}/{id}",
        description:
          "A task or subtask as JSON; the tag is percent-encoded, the id is such as 3 or 3.1. Can be subscribed to.",
        mimeType: "application/json",
      },
      matches: (uri) => uri.startsWith("task://"),
      read: async (uri, incoming) => readTask(await calls(incoming), uri),
      watch: async (uri, incoming, changed) => watchTask(await calls(incoming), referenceOf(uri), changed),
      complete,
    },
    {
      definition: {
        name: "tasks",
        title: "Tasks of one status",
        uriTemplate: "tasks://{project}/{tag}/{status}",
        description: "The tasks and subtasks of a tag that have a status, in short form, as JSON.",
        mimeType: "application/json",
      },
      matches: (uri) => uri.startsWith("tasks://"),
      read: async (uri, incoming) => readTasks(await calls(incoming), uri),
      complete,
    },
  ];
}

async function readTask(call: Call, uri: string): Promise<ReadResourceResult> {
  const { content, cuts } = cutToFit(await call.core.tasks.get(call.ctx, referenceOf(uri)));
  return answer(uri, cuts.length === 0 ? content : { ...content, cut: cuts });
}

async function readTasks({ core, ctx }: Call, uri: string): Promise<ReadResourceResult> {
  const [project, tag, name] = partsOf(uri);
  const status = statuses.find((one): one is Status => one === name);
  if (status === undefined) throw unknown(uri);
  const page = await pageThatFits(
    200,
    (limit) => core.tasks.list(ctx, project, tag, { status: [status], limit }),
    (items) => items.map(brief),
  );
  const more = page.nextCursor !== null;
  return answer(uri, { project, tag, status, items: page.items.map(brief), more });
}

function answer(uri: string, content: object): ReadResourceResult {
  return { contents: [{ uri, mimeType: "application/json", text: JSON.stringify(content) }] };
}

/** The task that a URI names. Throws not_found for one that can name none. */
function referenceOf(uri: string): string {
  return partsOf(uri).join(":");
}

function partsOf(uri: string): [string, string, string] {
  const [project, tag, last] =
    /^tasks?:\/\/([^/?#]+)\/([^/?#]+)\/([^/?#:]+)$/.exec(uri)?.slice(1).map(decoded) ?? [];
  if (project === undefined || tag === undefined || last === undefined) throw unknown(uri);
  return [project, tag, last];
}

function unknown(uri: string): AppError {
  return new AppError(
    "not_found",
    `There is no resource ${JSON.stringify(uri)}; a task is task://KEY/tag/3, a list tasks://KEY/tag/pending.`,
  );
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

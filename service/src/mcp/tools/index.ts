import { type Mode, modes, type Tool } from "../tool.ts";
import { claimTools } from "./claims.ts";
import { complexityTools } from "./complexity.ts";
import { dependencyTools } from "./dependencies.ts";
import { eventTools } from "./events.ts";
import { linkTools } from "./links.ts";
import { modelTools } from "./models.ts";
import { subtaskTools } from "./subtasks.ts";
import { tagTools } from "./tags.ts";
import { taskTools } from "./tasks.ts";

const tools: Tool[] = [
  ...taskTools,
  ...subtaskTools,
  ...claimTools,
  ...dependencyTools,
  ...tagTools,
  ...complexityTools,
  ...eventTools,
  ...linkTools,
  ...modelTools,
];

/** The tools of a mode: its own, and those of the smaller ones. */
export function toolsOf(mode: Mode): Tool[] {
  return tools.filter((tool) => modes.indexOf(tool.mode) <= modes.indexOf(mode));
}

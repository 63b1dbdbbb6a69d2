import { type CallToolResult, ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";
import { findUnstorable } from "../../core/index.ts";
import { clipText, cutToFit } from "../budget.ts";
import type { Calls } from "../calls.ts";
import { type DefectEars, defect, refusalOf } from "../errors.ts";
import type { ToolFeature } from "../features.ts";
import type { Mode, Tool } from "../tool.ts";
import { toolsOf } from "./index.ts";

/** The product's tools of a mode, in the protocol's terms. */
export function toolFeatures(mode: Mode, ears: DefectEars, calls: Calls): ToolFeature[] {
  return toolsOf(mode).map((tool) => toFeature(tool, ears, calls));
}

function toFeature(tool: Tool, ears: DefectEars, calls: Calls): ToolFeature {
  const { name, title, description, annotations, inputSchema, outputSchema } = tool;
  return {
    definition: { name, title, description, annotations, inputSchema, outputSchema },
    async call(input, incoming) {
      const errors = [...findUnstorable(input), ...tool.check(input)];
      const first = errors[0];
      if (first !== undefined) {
        const text = `${name}: ${first.pointer === "" ? "the arguments" : first.pointer} ${first.detail}`;
        throw new McpError(ErrorCode.InvalidParams, text, { errors });
      }
      try {
        return answerOf(await tool.run(await calls(incoming), input));
      } catch (error) {
        const refused = refusalOf(error);
        if (refused !== undefined) return refused;
        throw defect(error, ears, name);
      }
    },
  };
}

function answerOf({ text, content }: { text: string; content: object }): CallToolResult {
  const { content: fitted, cuts } = cutToFit(content);
  const note =
    cuts.length === 0
      ? ""
      : "\nLong texts are cut, see cut; get_task with id, fields (such as details) and offset shows the rest.";
  return {
    content: [{ type: "text", text: `${clipText(text)}${note}` }],
    structuredContent: { ...fitted, ...(cuts.length === 0 ? {} : { cut: cuts }) },
  };
}

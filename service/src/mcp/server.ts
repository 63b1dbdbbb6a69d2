import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import {
  CallToolRequestSchema,
  type CallToolResult,
  ErrorCode,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  McpError,
  ReadResourceRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { AppError, type Context, type Core, findUnstorable } from "../core/index.ts";
import type { Logger } from "../log.ts";
import { bytesOf, clipText, cutToFit, maximumBytes } from "./budget.ts";
import { refusalOf } from "./errors.ts";
import { getPrompt, prompts } from "./prompts.ts";
import { readResource, resourceTemplates } from "./resources.ts";
import type { Call, Mode, Tool } from "./tool.ts";
import { toolsOf } from "./tools/index.ts";

export interface ServerOptions {
  core: Core;
  mode: Mode;
  log: Logger;
  version: string;
  /** Who calls; asked anew for every call, so that a revoked credential counts at once. */
  caller(): Promise<Context> | Context;
}

const instructions =
  "Tasks of a project are kept in tags (master by default) and wait for each other. To work: claim_next, do what the task " +
  "says, send a heartbeat before the claim expires, then complete_claim with a note. To look: get_tasks, get_task, " +
  "next_task. Every answer names the project and the tag that it is about.";

/** The protocol's server for one caller. It holds no state, so that one can be made for every request. */
export function buildServer(options: ServerOptions): Server {
  const { core, log } = options;
  const tools = new Map(toolsOf(options.mode).map((tool) => [tool.name, tool]));
  const server = new Server(
    { name: "task-master-pro", title: "Task Master Pro", version: options.version },
    { capabilities: { tools: {}, prompts: {}, resources: {} }, instructions },
  );
  const call = async (): Promise<Call> => ({ core, ctx: await options.caller() });

  server.setRequestHandler(ListToolsRequestSchema, ({ params }) =>
    toolPage([...tools.values()], params?.cursor),
  );

  server.setRequestHandler(CallToolRequestSchema, async ({ params }) => {
    const tool = tools.get(params.name);
    if (tool === undefined) throw new McpError(ErrorCode.InvalidParams, `Unknown tool: ${params.name}`);
    const input = params.arguments ?? {};
    const errors = [...findUnstorable(input), ...tool.check(input)];
    const first = errors[0];
    if (first !== undefined) {
      const text = `${tool.name}: ${first.pointer === "" ? "the arguments" : first.pointer} ${first.detail}`;
      throw new McpError(ErrorCode.InvalidParams, text, { errors });
    }
    try {
      return answerOf(await tool.run(await call(), input));
    } catch (error) {
      const refused = refusalOf(error);
      if (refused !== undefined) return refused;
      throw defect(error, log, tool.name);
    }
  });

  server.setRequestHandler(ListPromptsRequestSchema, () => ({ prompts }));
  server.setRequestHandler(GetPromptRequestSchema, async ({ params }) =>
    orProtocolError(log, async () => getPrompt(await call(), params.name, params.arguments ?? {})),
  );
  // Tasks are too many to be listed; get_tasks finds them.
  server.setRequestHandler(ListResourcesRequestSchema, () => ({ resources: [] }));
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({ resourceTemplates }));
  server.setRequestHandler(ReadResourceRequestSchema, async ({ params }) =>
    orProtocolError(log, async () => readResource(await call(), params.uri)),
  );
  return server;
}

/** The list of tools is an answer like any other, and must fit as well. */
const toolPageBytes = 74_000;

function toolPage(tools: Tool[], cursor: string | undefined) {
  const start = cursor === undefined ? 0 : tools.findIndex(({ name }) => name === cursor);
  if (start === -1) throw new McpError(ErrorCode.InvalidParams, "The cursor was not made by this list.");
  let bytes = 0;
  const shown: object[] = [];
  for (const tool of tools.slice(start)) {
    const { name, title, description, annotations, inputSchema, outputSchema } = tool;
    const entry = { name, title, description, annotations, inputSchema, outputSchema };
    bytes += bytesOf(entry);
    if (bytes > toolPageBytes) return { tools: shown, nextCursor: name };
    shown.push(entry);
  }
  return { tools: shown };
}

function answerOf({ text, content }: { text: string; content: object }): CallToolResult {
  const { content: fitted, cuts } = cutToFit(content, maximumBytes);
  const note =
    cuts.length === 0
      ? ""
      : "\nLong texts are cut, see cut; get_task with id, fields (such as details) and offset shows the rest.";
  return {
    content: [{ type: "text", text: `${clipText(text)}${note}` }],
    structuredContent: { ...fitted, ...(cuts.length === 0 ? {} : { cut: cuts }) },
  };
}

/** Prompts and resources have no form for a refusal, other than the protocol's own error. */
async function orProtocolError<T>(log: Logger, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof McpError) throw error;
    if (!(error instanceof AppError)) throw defect(error, log, "prompt or resource");
    const { code, errors, details } = error;
    const number = code === "not_found" ? resourceNotFound : ErrorCode.InvalidParams;
    throw new McpError(number, error.message, { code, errors, details });
  }
}

/** The protocol's number for a resource that is not there. */
const resourceNotFound = -32002;

function defect(error: unknown, log: Logger, tool: string): McpError {
  log.error({ err: error, tool }, "tool failed");
  return new McpError(
    ErrorCode.InternalError,
    "The server failed on this call; its operator finds the cause in the log.",
  );
}

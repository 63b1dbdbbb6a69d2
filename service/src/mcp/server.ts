import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import {
  CallToolRequestSchema,
  CompleteRequestSchema,
  type CompleteResult,
  ErrorCode,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  McpError,
  ReadResourceRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { AppError, type Core, type Follower } from "../core/index.ts";
import { bytesOf } from "./budget.ts";
import { callsOf } from "./calls.ts";
import { type DefectEars, defect } from "./errors.ts";
import type { Completer, Extra, Features, Incoming } from "./features.ts";
import { promptsOf } from "./prompts.ts";
import { templatesOf } from "./resources.ts";
import { maximumWatches, type State } from "./state.ts";
import type { Mode } from "./tool.ts";
import { toolFeatures } from "./tools/features.ts";

export interface ServerOptions extends DefectEars {
  core: Core;
  mode: Mode;
  version: string;
  /** Who calls; asked anew for every call, so that a revoked credential counts at once. */
  caller(extra: Extra): Promise<Follower> | Follower;
  /** What the session remembers; null where every request stands for itself, and nothing can be sent later. */
  state: State | null;
  /** What is offered beside the product's own. */
  more?: Partial<Features>;
  /** Runs each call that does something; told of what is called, and never of the arguments. */
  observe?: ObserveCall | undefined;
}

export type ObserveCall = <T extends object>(
  call: {
    method: string;
    target?: { kind: "tool" | "prompt"; name: string };
    overHttp: boolean;
    id: string | number;
    meta: Record<string, unknown> | undefined;
  },
  run: () => Promise<T>,
) => Promise<T>;

const instructions =
  "Tasks of a project are kept in tags (master by default) and wait for each other. To work: claim_next, do what the task " +
  "says, send a heartbeat before the claim expires, then complete_claim with a note. To look: get_tasks, get_task, " +
  "next_task. Every answer names the project and the tag that it is about.";

/** The protocol's server for one session, or for one request where there is none. */
export function buildServer(options: ServerOptions): Server {
  const { state, observe = (_call, run) => run() } = options;
  const features = featuresOf(options);
  const server = new Server(
    { name: "task-master-pro", title: "Task Master Pro", version: options.version },
    {
      capabilities: {
        tools: {},
        prompts: {},
        completions: {},
        resources: state === null ? {} : { subscribe: true },
        ...(state === null ? {} : { logging: {} }),
      },
      instructions,
    },
  );
  const incoming = (extra: Extra): Incoming => ({ extra, server, state });

  const tools = new Map(features.tools.map((tool) => [tool.definition.name, tool]));
  server.setRequestHandler(ListToolsRequestSchema, ({ params }) =>
    toolPage(
      features.tools.map(({ definition }) => definition),
      params?.cursor,
    ),
  );
  server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) => {
    const tool = tools.get(params.name);
    if (tool === undefined) throw new McpError(ErrorCode.InvalidParams, `Unknown tool: ${params.name}`);
    const call = {
      method: "tools/call",
      target: { kind: "tool", name: params.name },
      ...callOf(extra),
    } as const;
    return observe(call, () => tool.call(params.arguments ?? {}, incoming(extra)));
  });

  server.setRequestHandler(ListPromptsRequestSchema, () => ({
    prompts: features.prompts.map(({ definition }) => definition),
  }));
  server.setRequestHandler(GetPromptRequestSchema, ({ params }, extra) =>
    orProtocolError(options, () => {
      const prompt = promptNamed(features, params.name);
      const call = {
        method: "prompts/get",
        target: { kind: "prompt", name: params.name },
        ...callOf(extra),
      } as const;
      return observe(call, () => prompt.get(params.arguments ?? {}, incoming(extra)));
    }),
  );

  // Tasks are too many to be listed; get_tasks finds them.
  server.setRequestHandler(ListResourcesRequestSchema, () => ({
    resources: features.resources.map(({ definition }) => definition),
  }));
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: features.templates.map(({ definition }) => definition),
  }));
  server.setRequestHandler(ReadResourceRequestSchema, ({ params }, extra) =>
    orProtocolError(options, () => {
      const resource = resourceAt(features, params.uri);
      const call = { method: "resources/read", ...callOf(extra) };
      return observe(call, () => resource.read(params.uri, incoming(extra)));
    }),
  );
  server.setRequestHandler(CompleteRequestSchema, ({ params }, extra) =>
    orProtocolError(options, () => complete(features, params, incoming(extra))),
  );
  if (state !== null) addSubscriptions(server, options, features, state, incoming);
  return server;
}

function callOf({ requestId: id, _meta: meta, requestInfo }: Extra) {
  return { id, meta, overHttp: requestInfo !== undefined };
}

function featuresOf(options: ServerOptions): Features {
  const { more = {} } = options;
  const calls = callsOf(options);
  return {
    tools: [...toolFeatures(options.mode, options, calls), ...(more.tools ?? [])],
    prompts: [...promptsOf(calls), ...(more.prompts ?? [])],
    resources: more.resources ?? [],
    templates: [...templatesOf(calls), ...(more.templates ?? [])],
  };
}

function promptNamed(features: Features, name: string) {
  const found = features.prompts.find(({ definition }) => definition.name === name);
  if (found === undefined) throw new McpError(ErrorCode.InvalidParams, `Unknown prompt: ${name}`);
  return found;
}

function resourceAt(features: Features, uri: string) {
  const found =
    features.resources.find(({ definition }) => definition.uri === uri) ??
    features.templates.find(({ matches }) => matches(uri));
  if (found === undefined) {
    throw new AppError(
      "not_found",
      `There is no resource ${JSON.stringify(uri)}; a task is task://KEY/tag/3.`,
    );
  }
  return found;
}

const maximumValues = 100;

async function complete(
  features: Features,
  {
    ref,
    argument,
    context,
  }: {
    ref: { type: "ref/prompt"; name: string } | { type: "ref/resource"; uri: string };
    argument: { name: string; value: string };
    context?: { arguments?: Record<string, string> | undefined } | undefined;
  },
  incoming: Incoming,
): Promise<CompleteResult> {
  const completer: Completer | undefined =
    ref.type === "ref/prompt"
      ? promptNamed(features, ref.name).complete
      : templateOf(features, ref.uri).complete;
  const values = (await completer?.(argument.name, context?.arguments ?? {}, incoming)) ?? [];
  const typed = argument.value.toLowerCase();
  const fitting = values.filter((value) => value.toLowerCase().startsWith(typed));
  return {
    completion: {
      values: fitting.slice(0, maximumValues),
      total: fitting.length,
      hasMore: fitting.length > maximumValues,
    },
  };
}

function templateOf(features: Features, uriTemplate: string) {
  const found = features.templates.find(({ definition }) => definition.uriTemplate === uriTemplate);
  if (found !== undefined) return found;
  throw new McpError(ErrorCode.InvalidParams, `Unknown resource template: ${uriTemplate}`);
}

function addSubscriptions(
  server: Server,
  options: ServerOptions,
  features: Features,
  state: State,
  incoming: (extra: Extra) => Incoming,
): void {
  server.setRequestHandler(SubscribeRequestSchema, ({ params: { uri } }, extra) =>
    orProtocolError(options, async () => {
      const resource = resourceAt(features, uri);
      if (resource.watch === undefined) {
        throw new McpError(ErrorCode.InvalidParams, `The resource ${uri} cannot be subscribed to.`);
      }
      if (!state.isWatching(uri) && state.watches >= maximumWatches) {
        throw new McpError(
          ErrorCode.InvalidParams,
          `A session subscribes to at most ${maximumWatches} resources; unsubscribe from one first.`,
        );
      }
      const changed = () => {
        server.sendResourceUpdated({ uri }).catch((error: unknown) => {
          options.log.warn({ err: error }, "a resource's update could not be told");
        });
      };
      // Its place is taken at once, or many that come together would all find one free.
      state.keepWatch(uri, () => {});
      try {
        const stop = await resource.watch(uri, incoming(extra), changed);
        // Taken back, or the session ended, while it was being set up.
        if (!state.isWatching(uri)) stop();
        else state.keepWatch(uri, stop);
      } catch (error) {
        state.stopWatch(uri);
        throw error;
      }
      return {};
    }),
  );
  server.setRequestHandler(UnsubscribeRequestSchema, ({ params: { uri } }) => {
    state.stopWatch(uri);
    return {};
  });
}

/** The list of tools is an answer like any other, and must fit as well. */
const toolPageBytes = 74_000;

function toolPage<T extends { name: string }>(tools: T[], cursor: string | undefined) {
  const start = cursor === undefined ? 0 : tools.findIndex(({ name }) => name === cursor);
  if (start === -1) throw new McpError(ErrorCode.InvalidParams, "The cursor was not made by this list.");
  let bytes = 0;
  const shown: T[] = [];
  for (const tool of tools.slice(start)) {
    bytes += bytesOf(tool);
    if (bytes > toolPageBytes) return { tools: shown, nextCursor: tool.name };
    shown.push(tool);
  }
  return { tools: shown };
}

/** Prompts and resources have no form for a refusal, other than the protocol's own error. */
async function orProtocolError<T>(ears: DefectEars, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof McpError) throw error;
    if (!(error instanceof AppError)) throw defect(error, ears, "prompt or resource");
    const { code, errors, details } = error;
    const number = code === "not_found" ? resourceNotFound : ErrorCode.InvalidParams;
    throw new McpError(number, error.message, { code, errors, details });
  }
}

/** The protocol's number for a resource that is not there. */
const resourceNotFound = -32002;

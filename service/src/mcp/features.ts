import type { Server } from "@modelcontextprotocol/sdk/server/index.js";
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js";
import type {
  CallToolResult,
  GetPromptResult,
  Prompt,
  ReadResourceResult,
  Resource,
  ResourceTemplate,
  ServerNotification,
  ServerRequest,
  Tool as ToolDefinition,
} from "@modelcontextprotocol/sdk/types.js";
import type { State } from "./state.ts";

export type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

/** One request to the server: what it came with, and what it came over. */
export interface Incoming {
  extra: Extra;
  server: Server;
  /** What the session remembers; null where every request stands for itself. */
  state: State | null;
}

export interface ToolFeature {
  definition: ToolDefinition;
  call(input: Record<string, unknown>, incoming: Incoming): Promise<CallToolResult>;
}

export interface PromptFeature {
  definition: Prompt;
  get(given: Record<string, string>, incoming: Incoming): Promise<GetPromptResult>;
  complete?: Completer;
}

interface Readable {
  read(uri: string, incoming: Incoming): Promise<ReadResourceResult>;
  /** Calls `changed` whenever the resource may read differently, until the returned function is called. */
  watch?(uri: string, incoming: Incoming, changed: () => void): Promise<() => void>;
}

export interface ResourceFeature extends Readable {
  definition: Resource;
}

export interface TemplateFeature extends Readable {
  definition: ResourceTemplate;
  matches(uri: string): boolean;
  complete?: Completer;
}

/** The values that an argument may have, given the other arguments; the server shows those that begin as typed. */
export type Completer = (
  argument: string,
  others: Record<string, string>,
  incoming: Incoming,
) => Promise<string[]>;

/** What a server offers, in the protocol's own terms. */
export interface Features {
  tools: ToolFeature[];
  prompts: PromptFeature[];
  resources: ResourceFeature[];
  templates: TemplateFeature[];
}

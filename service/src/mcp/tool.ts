import type { ToolAnnotations } from "@modelcontextprotocol/sdk/types.js";
import { type Static, type TObject, type TProperties, Type } from "typebox";
import { Compile } from "typebox/compile";
import type { Core, Follower, InputError } from "../core/index.ts";
import { refusal } from "./errors.ts";
import type { State } from "./state.ts";

/** Which tools are listed: the everyday ones, those of a person who plans, or every one. */
export type Mode = "core" | "standard" | "all";
export const modes: readonly Mode[] = ["core", "standard", "all"];

/** One call of a tool: who calls, and what of. */
export interface Call {
  core: Core;
  ctx: Follower;
  /** What the session remembers; null where every request stands for itself. */
  state: State | null;
  /** Aborted when the client takes its call back. */
  signal: AbortSignal;
  /** Says, in a sentence, how far the call is, to a client that asked for it. */
  report(message: string): Promise<void>;
  /** Says something that the answer does not, to a client that has a session and has not turned it off. */
  warn(text: string): Promise<void>;
}

export interface Answer<T> {
  /** What a model reads first: short, in sentences or a line a thing. */
  text: string;
  content: T;
}

interface Definition<I extends TProperties, O extends TProperties> {
  name: string;
  title: string;
  /** When an agent should use it, and what it should know before. */
  description: string;
  /** The smallest mode that lists it. */
  mode: Mode;
  annotations: Required<Omit<ToolAnnotations, "title">>;
  input: I;
  output: O;
  run(call: Call, input: Static<TObject<I>>): Promise<Answer<Static<TObject<O>>>>;
}

export interface Tool {
  name: string;
  title: string;
  description: string;
  mode: Mode;
  annotations: Required<Omit<ToolAnnotations, "title">>;
  inputSchema: { type: "object"; [member: string]: unknown };
  outputSchema: { type: "object"; [member: string]: unknown };
  /** What is wrong with the arguments; empty when the tool can run on them. */
  check(input: unknown): InputError[];
  run(call: Call, input: unknown): Promise<Answer<object>>;
}

/** Accepted because clients of the task-master-ai tool send them; here the project is a row and not a folder. */
const ignored = {
  projectRoot: Type.Optional(Type.String()),
  file: Type.Optional(Type.String()),
};

/** What was cut so that the answer stays small: a pointer and a detail each. */
const cut = Type.Optional(Type.Array(Type.Object({})));

export function defineTool<I extends TProperties, O extends TProperties>(definition: Definition<I, O>): Tool {
  const { name, title, description, mode, annotations } = definition;
  const input = Type.Object({ ...definition.input, ...ignored }, { additionalProperties: false });
  const compiled = Compile(input);
  const output = Type.Object(definition.output);
  return {
    name,
    title,
    description,
    mode,
    annotations,
    inputSchema: plain(input),
    outputSchema: {
      type: "object",
      properties: bare(plain(Type.Object({ ...definition.output, cut, ...refusal })).properties),
      // A refusal has a code and nothing of what was asked for.
      anyOf: [{ required: plain(output).required ?? [] }, { required: ["code"] }],
      additionalProperties: false,
    },
    check(value) {
      if (compiled.Check(value)) return [];
      return [...compiled.Errors(value)]
        .slice(0, 20)
        .map(({ instancePath, message }) => ({ pointer: instancePath, detail: message }));
    },
    // The arguments were checked against the schema that this type is of.
    run: (call, value) => definition.run(call, value as Static<TObject<I>>),
  };
}

/** The schema as any JSON Schema library takes it, without what the builder keeps beside it. */
function plain(schema: TObject): { type: "object"; [member: string]: unknown } {
  return { ...(JSON.parse(JSON.stringify(schema)) as object), type: "object" };
}

const forPeople = new Set(["description", "title", "examples", "pattern", "format", "default"]);
/** What the server keeps to, and nobody who reads its answers has to check. */
const limits = new Set([
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "uniqueItems",
]);

/**
 * The shape alone. All tools are listed at once into a model's context window, and what a member of an answer means
 * shows in its name; so what only explains it would cost more than it tells.
 */
function bare(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(bare);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema)
      // Below `properties` these are names of members, and their values schemas.
      .filter(([name, value]) => !(forPeople.has(name) || limits.has(name)) || isSchema(value))
      .filter(([name, value]) => name !== "properties" || Object.keys(value as object).length > 0)
      .map(([name, value]) => [name, bare(value)]),
  );
}

function isSchema(value: unknown): boolean {
  return typeof value === "object" && !Array.isArray(value);
}

/** Reads; nothing changes. */
export const reads = {
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
} as const;
/** Adds something at every call. */
export const adds = { ...reads, readOnlyHint: false, idempotentHint: false } as const;
/** Sets something; a second time changes nothing more. */
export const sets = { ...reads, readOnlyHint: false } as const;
/** Takes away what cannot be had back. */
export const removes = { ...sets, destructiveHint: true } as const;

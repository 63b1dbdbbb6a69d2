import { type CallToolResult, ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";
import { type TProperties, Type } from "typebox";
import { AppError, type InputError } from "../core/index.ts";
import type { TellDefect } from "../defects.ts";
import type { Logger } from "../log.ts";

/** Does what needs a language model; where there is none, the refusal says what an agent, which is one, does instead. */
export async function orInstead<T>(instead: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "llm_not_configured") throw error;
    throw new AppError(error.code, `${error.message} ${instead}`, { cause: error });
  }
}

/** The members of a refusal: part of every tool's output schema, because clients check refusals by it as well. */
export const refusal = {
  code: Type.Optional(Type.String({ description: "Why it was refused; programs may switch on it." })),
  /** A pointer and a detail each; no more is said here because every tool repeats it. */
  errors: Type.Optional(Type.Array(Type.Object({}))),
  details: Type.Optional(Type.Object({})),
} satisfies TProperties;

/** Details are for programs; one that would not fit a context window is of use to none. */
const maximumDetailBytes = 16_000;

/** The answer to a call that was understood and refused; undefined for a defect, which is no answer to give. */
export function refusalOf(error: unknown): CallToolResult | undefined {
  if (!(error instanceof AppError)) return undefined;
  return refused(error.code, error.message, error.errors, error.details);
}

function refused(
  code: string,
  sentence: string,
  errors: InputError[],
  details: Record<string, unknown>,
): CallToolResult {
  const small = Buffer.byteLength(JSON.stringify(details)) <= maximumDetailBytes;
  return {
    isError: true,
    content: [{ type: "text", text: `${code}: ${sentence.slice(0, 8000)}` }],
    structuredContent: { code, errors: errors.slice(0, 20), details: small ? details : {} },
  };
}

export interface DefectEars {
  log: Logger;
  tellDefect?: TellDefect | undefined;
}

/** A defect as the client may see it; what it was is for the operator alone. */
export function defect(error: unknown, { log, tellDefect }: DefectEars, what: string): McpError {
  log.error({ err: error, what }, "an MCP request failed");
  tellDefect?.(error, { part: "mcp", what });
  return new McpError(
    ErrorCode.InternalError,
    "The server failed on this call; its operator finds the cause in the log.",
  );
}

import { type Attributes, type SpanContext, SpanKind } from "@opentelemetry/api";
import { ATTR_ERROR_TYPE } from "@opentelemetry/semantic-conventions";
import type { Spans } from "./spans.ts";

/** A request of the Model Context Protocol. */
export interface ProtocolCall {
  method: string;
  /** The tool or prompt that it is of; undefined where what it is of is no name of ours. */
  target?: { kind: "tool" | "prompt"; name: string };
  /** Whether a request of HTTP carried it, which had its turn with the sampler. */
  overHttp: boolean;
  /** JSON-RPC's id. */
  id: string | number;
  /** What came beside the arguments, where a client puts its trace: HTTP's header tells only of the request that carried it. */
  meta: Record<string, unknown> | undefined;
}

export type ObserveCall = <T extends object>(call: ProtocolCall, run: () => Promise<T>) => Promise<T>;

/**
 * A span a call, by the conventions for MCP: a part of the client's trace where the call names one, with a link to the request that
 * carried it, and else of that request's. A call that no request carried begins one of its own.
 */
export function observeCalls(spans: Spans): ObserveCall {
  return async ({ method, target, overHttp, id, meta }, run) => {
    const carried = spans.current();
    const own = contextOf(meta);
    if (overHttp && carried === undefined && own === undefined) return await run();
    const links: SpanContext[] = own !== undefined && carried !== undefined ? [carried] : [];
    const attributes: Attributes = { "mcp.method.name": method, "jsonrpc.request.id": String(id) };
    if (target !== undefined) attributes[`gen_ai.${target.kind}.name`] = target.name;
    if (target?.kind === "tool") attributes["gen_ai.operation.name"] = "execute_tool";
    const span = spans.begin(target === undefined ? method : `${method} ${target.name}`, {
      kind: SpanKind.SERVER,
      attributes,
      links,
      ...(own === undefined ? {} : { parent: spans.extract(own) }),
    });
    try {
      const result = await span.run(run);
      // A refusal that the model is to act on; the conventions call it so whatever it is.
      span.end("isError" in result && result.isError === true ? { [ATTR_ERROR_TYPE]: "tool_error" } : {});
      return result;
    } catch (error) {
      const code =
        error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined;
      span.end(
        code === undefined
          ? { [ATTR_ERROR_TYPE]: "_OTHER" }
          : { [ATTR_ERROR_TYPE]: String(code), "rpc.response.status_code": String(code) },
        code === undefined || code === internalError,
      );
      throw error;
    }
  };
}

/** JSON-RPC's number for a failure of the server's own. */
const internalError = -32603;

function contextOf(
  meta: Record<string, unknown> | undefined,
): { traceparent: string; tracestate?: string | undefined } | undefined {
  const { traceparent, tracestate } = meta ?? {};
  if (typeof traceparent !== "string") return undefined;
  return { traceparent, tracestate: typeof tracestate === "string" ? tracestate : undefined };
}

import { STATUS_CODES } from "node:http";
import { Type } from "typebox";
import { AppError, type ErrorCode, type InputError } from "../core/index.ts";

/** Refusals that HTTP itself knows and no use case does. */
const httpCodes = {
  malformed_request: 400,
  request_timeout: 408,
  method_not_allowed: 405,
  uri_too_long: 414,
  unsupported_media_type: 415,
  rate_limited: 429,
  headers_too_large: 431,
  internal_error: 500,
} as const;
type HttpCode = keyof typeof httpCodes;
export type ProblemCode = ErrorCode | HttpCode;

const statuses: Record<ProblemCode, number> = {
  ...httpCodes,
  invalid_input: 422,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  already_exists: 409,
  conflict: 409,
  cycle: 409,
  claimed: 409,
  stale_fence: 409,
  claim_ended: 409,
  version_mismatch: 412,
  version_required: 428,
  idempotency_mismatch: 422,
  import_refused: 422,
  too_large: 413,
  not_supported: 501,
  unavailable: 503,
  llm_not_configured: 409,
  llm_failed: 502,
};

export function statusOf(code: ProblemCode): number {
  return statuses[code];
}

const titles: Record<ProblemCode, string> = {
  malformed_request: "The request is malformed",
  request_timeout: "The request took too long to arrive",
  method_not_allowed: "The method is not allowed here",
  uri_too_long: "The address is too long",
  unsupported_media_type: "The content type is not supported",
  rate_limited: "Too many requests",
  headers_too_large: "The headers are too large",
  internal_error: "The server failed",
  invalid_input: "The input is not valid",
  unauthenticated: "The credential is missing or not good",
  forbidden: "You may not do this",
  not_found: "There is no such thing",
  already_exists: "It exists already",
  conflict: "It conflicts with the present state",
  cycle: "It would make a cycle",
  claimed: "Somebody else holds a claim",
  stale_fence: "The claim's fence is stale",
  claim_ended: "The claim has ended",
  version_mismatch: "The version is another",
  version_required: "If-Match is required",
  idempotency_mismatch: "The Idempotency-Key was used for something else",
  import_refused: "The file was not imported",
  too_large: "The request is too large",
  not_supported: "This server's storage cannot do it",
  unavailable: "The server is not available now",
  llm_not_configured: "No language model is configured",
  llm_failed: "The language model gave no answer",
};

export function titleOfProblem(code: ProblemCode): string {
  return titles[code];
}

export interface RefusalOptions {
  errors?: InputError[];
  /** Where it differs from the code's own: a fault in the query is 400, in the body 422. */
  status?: number;
  headers?: Record<string, string>;
  details?: Record<string, unknown>;
}

/** A request that the HTTP edge itself turns away. */
export class Refusal extends Error {
  readonly code: ProblemCode;
  readonly status: number;
  readonly errors: InputError[];
  readonly headers: Record<string, string>;
  readonly details: Record<string, unknown>;

  constructor(code: ProblemCode, detail: string, options: RefusalOptions = {}) {
    super(detail);
    this.name = "Refusal";
    this.code = code;
    this.status = options.status ?? statuses[code];
    this.errors = options.errors ?? [];
    this.headers = options.headers ?? {};
    this.details = options.details ?? {};
  }
}

/** A fault in the address or in a header. */
export function badRequest(pointer: string, detail: string): Refusal {
  return new Refusal("invalid_input", detail, { status: 400, errors: [{ pointer, detail }] });
}

export const problemType = "application/problem+json";

/** RFC 9457, with the members that programs need: code, requestId, and errors by JSON pointer (RFC 6901). */
export const Problem = Type.Object(
  {
    type: Type.String({ description: "Stable: urn:task-master-pro:problem: and the code." }),
    title: Type.String({ description: "The same for every problem of the code." }),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    code: Type.Enum(Object.keys(statuses), { type: "string", description: "What programs may switch on." }),
    detail: Type.String({ description: "What went wrong this time, and the way out." }),
    requestId: Type.String({ description: "Also in X-Request-Id and in the server's log." }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            pointer: Type.String({
              description: "A JSON pointer into the body; or it begins with /query, /params or /headers.",
            }),
            detail: Type.String(),
          },
          { additionalProperties: false },
        ),
      ),
    ),
  },
  {
    title: "Problem",
    description: "Some codes add members of their own, such as the path of a refused cycle.",
    examples: [
      {
        type: "urn:task-master-pro:problem:not_found",
        title: titles.not_found,
        status: 404,
        code: "not_found",
        detail: 'There is no task "DEMO:master:7" that you can read.',
        requestId: "2f6f0f4e-6f0e-4a51-9f0c-5f4b8f3f5a10",
      },
    ],
  },
);

export interface ProblemBody extends Record<string, unknown> {
  type: string;
  title: string;
  status: number;
  code: ProblemCode;
  detail: string;
  requestId: string;
  errors?: InputError[];
}

export interface RenderedProblem {
  body: ProblemBody;
  headers: Record<string, string>;
  /** Whether it is the server's own fault, to be logged with its stack. */
  defect: boolean;
}

/** What the router, the parsers and the server of the framework throw, by code. */
const frameworkRefusals: Record<string, [ProblemCode, string]> = {
  FST_ERR_BAD_URL: ["malformed_request", "The address holds a percent-encoding that is no UTF-8 text."],
  FST_ERR_MAX_PARAM_LENGTH: ["uri_too_long", "A part of the address is longer than any name can be."],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ["unsupported_media_type", "Send the body as application/json."],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    "malformed_request",
    "The body is not as long as Content-Length says.",
  ],
  FST_ERR_HANDLER_TIMEOUT: [
    "unavailable",
    "The answer took too long. A change may still happen: send it again with the same Idempotency-Key.",
  ],
};

/** Any thrown value as an answer. `inBody` says whether what was sent is the body, or only the address. */
export function renderProblem(error: unknown, requestId: string, inBody: boolean): RenderedProblem {
  if (error instanceof Refusal) return render(error.code, error.status, error.message, requestId, error);
  if (error instanceof AppError) {
    // Core cannot know that what it was given came out of the address.
    if (error.code === "invalid_input" && !inBody) {
      const errors = error.errors.map(({ pointer, detail }) => ({ pointer: `/query${pointer}`, detail }));
      return render(error.code, 400, error.message, requestId, { errors, details: error.details });
    }
    const { retryAfterSeconds } = error.details;
    const headers =
      typeof retryAfterSeconds === "number" ? { "retry-after": String(retryAfterSeconds) } : undefined;
    return render(error.code, statuses[error.code], error.message, requestId, {
      errors: error.errors,
      details: error.details,
      ...(headers && { headers }),
    });
  }
  const { code, status } = codeOf(error);
  const known = frameworkRefusals[code];
  if (known !== undefined) return render(known[0], statuses[known[0]], known[1], requestId, {});
  if (status >= 400 && status < 500) {
    const detail = `The request is not as HTTP wants it: ${STATUS_CODES[status] ?? "it cannot be read"}.`;
    return render("malformed_request", status, detail, requestId, {});
  }
  const detail =
    "The server failed on this request; its operator finds the cause in the log under the request id.";
  return { ...render("internal_error", 500, detail, requestId, {}), defect: true };
}

function codeOf(error: unknown): { code: string; status: number } {
  if (typeof error !== "object" || error === null) return { code: "", status: 500 };
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const status = "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : 500;
  return { code, status };
}

function render(
  code: ProblemCode,
  status: number,
  detail: string,
  requestId: string,
  more: { errors?: InputError[]; headers?: Record<string, string>; details?: Record<string, unknown> },
): RenderedProblem {
  const errors = more.errors ?? [];
  return {
    body: {
      ...more.details,
      type: `urn:task-master-pro:problem:${code}`,
      title: titles[code],
      status,
      code,
      detail,
      requestId,
      ...(errors.length === 0 ? {} : { errors }),
    },
    headers: { ...defaultHeaders(status), ...more.headers },
    defect: false,
  };
}

function defaultHeaders(status: number): Record<string, string> {
  if (status === 401) return { "www-authenticate": 'Bearer realm="task-master-pro"' };
  if (status === 503) return { "retry-after": "5" };
  return {};
}

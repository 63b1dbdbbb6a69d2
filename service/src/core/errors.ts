/** One thing wrong with the input: where (RFC 6901 pointer into what was sent) and what, with the way out. */
export interface InputError {
  pointer: string;
  detail: string;
}

/** Every way a use case can refuse. The set is closed: each edge maps all of it, and clients may switch on it. */
export type ErrorCode =
  | "invalid_input"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "already_exists"
  | "conflict"
  | "cycle"
  | "claimed"
  | "stale_fence"
  | "claim_ended"
  | "version_mismatch"
  | "version_required"
  | "idempotency_mismatch"
  | "import_refused"
  | "too_large"
  | "not_supported"
  | "unavailable"
  | "llm_not_configured"
  | "llm_failed";

export interface AppErrorOptions {
  errors?: InputError[];
  /** Further members of the answer that a program can act on, such as the path of a refused cycle. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

/** A refusal that the caller can act on; anything else that is thrown is a defect or an outage. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly errors: InputError[];
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.errors = options.errors ?? [];
    this.details = options.details ?? {};
  }
}

/** Unreadable and absent look the same, so that nobody learns what another tenant has. */
export function notFound(what: string, reference: string): AppError {
  return new AppError("not_found", `There is no ${what} ${JSON.stringify(reference)} that you can read.`);
}

export function invalidInput(pointer: string, detail: string): AppError {
  return new AppError("invalid_input", detail, { errors: [{ pointer, detail }] });
}

import type { InputError } from "../core/index.ts";

/**
 * What a command ends with, by class of error, so that a script can tell them apart. Documented in --help and
 * docs/cli.md: a number never changes its meaning.
 */
export const exitCodes = {
  ok: 0,
  /** The program or the server failed: a defect. */
  failed: 1,
  /** The command line or the settings are wrong. */
  usage: 2,
  notFound: 3,
  /** The present state does not allow it: claimed, cycle, another version. */
  refused: 4,
  /** The token is missing, not good, or may not do this. */
  forbidden: 5,
  /** Nobody answers, or not now. */
  unavailable: 6,
  /** What was given is not valid: a field, a file, a dependency that cannot hold. */
  invalid: 7,
  /** Nothing is ready to work on. */
  nothing: 8,
  /** Stopped by Ctrl-C, as shells say it. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The codes of the server's problems and of the command line's own: usage, unreachable, not_an_api. */
const exitByCode: Record<string, ExitCode> = {
  usage: exitCodes.usage,
  not_found: exitCodes.notFound,
  already_exists: exitCodes.refused,
  conflict: exitCodes.refused,
  cycle: exitCodes.refused,
  claimed: exitCodes.refused,
  stale_fence: exitCodes.refused,
  claim_ended: exitCodes.refused,
  version_mismatch: exitCodes.refused,
  version_required: exitCodes.refused,
  llm_not_configured: exitCodes.refused,
  unauthenticated: exitCodes.forbidden,
  forbidden: exitCodes.forbidden,
  unavailable: exitCodes.unavailable,
  unreachable: exitCodes.unavailable,
  not_an_api: exitCodes.unavailable,
  request_timeout: exitCodes.unavailable,
  rate_limited: exitCodes.unavailable,
  llm_failed: exitCodes.unavailable,
  invalid_input: exitCodes.invalid,
  import_refused: exitCodes.invalid,
  too_large: exitCodes.invalid,
  idempotency_mismatch: exitCodes.invalid,
  malformed_request: exitCodes.invalid,
  uri_too_long: exitCodes.invalid,
  interrupted: exitCodes.interrupted,
};

/** RFC 9457 as the server sends it; the command line's own problems have the same form without a status. */
export interface ProblemBody extends Record<string, unknown> {
  type: string;
  title: string;
  code: string;
  detail: string;
  status?: number;
  requestId?: string;
  errors?: InputError[];
}

/** A command's refusal, from the server or its own, with what a reader can do about it. */
export class CliError extends Error {
  readonly body: ProblemBody;
  readonly exitCode: ExitCode;

  constructor(body: ProblemBody, cause?: unknown) {
    super(body.detail, cause === undefined ? undefined : { cause });
    this.name = "CliError";
    this.body = body;
    this.exitCode = exitByCode[body.code] ?? exitCodes.failed;
  }
}

const titles = {
  usage: "The command line is not as it should be",
  not_found: "There is no such thing",
  invalid_input: "The input is not valid",
  unauthenticated: "The credential is missing or not good",
  claim_ended: "The claim has ended",
  unreachable: "The server cannot be reached",
  not_an_api: "This is no Task Master Pro server",
  interrupted: "Stopped",
} as const;

/** A problem that the command line finds by itself. */
export function problem(code: keyof typeof titles, detail: string, cause?: unknown): CliError {
  return refusal(code, titles[code], detail, cause);
}

/** The same for what a use case refuses before there is an answer of the API to say it. */
export function refusal(code: string, title: string, detail: string, cause?: unknown): CliError {
  return new CliError({ type: `urn:task-master-pro:problem:${code}`, title, code, detail }, cause);
}

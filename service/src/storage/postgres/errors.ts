import { AppError } from "../../core/errors.ts";

/**
 * The one place that knows how the database's refusals look as they come out of pg, its pool and the sockets below. Everything
 * else sees AppError, or an error that is a defect.
 */

interface Refusal {
  /** The database's five characters (PostgreSQL, appendix A). */
  sqlState: string;
  /** The broken constraint's or index's name. */
  constraint?: string;
}

const taken: Record<string, string> = {
  organizations_slug_key: "There is an organization with this slug already.",
  users_issuer_subject_key: "This identity is bound to another user already.",
  agents_organization_id_name_key: "There is an agent with this name already.",
  memberships_organization_id_user_id_key: "This person is a member already.",
  projects_organization_id_key_key: "There is a project with this key already.",
  tags_project_id_name_key: "There is a tag with this name already.",
  tasks_tag_id_parent_id_segment_key: "There is a task with this local id already.",
  dependencies_task_id_depends_on_id_key: "The task waits for that one already.",
  receivers_organization_id_name_key: "There is a receiver with this name already.",
  links_task_id_url_key: "The task has a link to this already.",
  claims_live_task_id_key: "The task has a live claim already.",
};

const refused: Record<string, string> = {
  tasks_depth_check: "A subtask cannot have subtasks of its own.",
  tasks_parent_id_tag_id_fkey: "A subtask lies in its task's tag.",
  dependencies_self_check: "A task cannot wait for itself.",
  dependencies_depends_on_id_tag_id_fkey: "A task can only wait for one of its own tag.",
};

/** Plain errors of pg, its pool and the sockets below, which carry no code of the database's. */
const brokenConnection =
  /timeout exceeded when trying to connect|timeout expired|connection terminated|connection ended|client has encountered a connection error|cannot use a pool after calling end|query read timeout|server closed the connection|not queryable/i;
const brokenSocket = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

/** Throws what core understands for an error that came out of the database layer; anything else as it is. */
export function translate(error: unknown): never {
  throw translated(error);
}

function translated(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const refusal = read(error);
  if (refusal === undefined) return error;
  const { sqlState, constraint = "" } = refusal;
  const options = { cause: error };
  if (sqlState === "23505") {
    return new AppError("already_exists", taken[constraint] ?? "There is such an entry already.", options);
  }
  if (sqlState.startsWith("23")) {
    const message =
      refused[constraint] ?? "The change contradicts what is stored now; read again and try anew.";
    return new AppError("conflict", message, options);
  }
  if (isGivenUp(sqlState)) {
    return new AppError("unavailable", "Too many changes met at one place; try again.", options);
  }
  if (sqlState === "57014") {
    return new AppError("unavailable", "The database took too long for it; try again.", options);
  }
  // Class 22 is "data exception"; 54 a value beyond what the database can hold, such as a row too large for an index.
  if (sqlState.startsWith("22")) {
    return new AppError("invalid_input", "A value has another form than it must have.", options);
  }
  if (sqlState.startsWith("54")) {
    return new AppError("invalid_input", "A value is larger than can be stored; make it smaller.", options);
  }
  if (isOutage(sqlState))
    return new AppError("unavailable", "The database cannot be reached; try again.", options);
  return error;
}

/** Whether the database gave up on a transaction that may well succeed when it is run again. */
export function isRetryable(error: unknown): boolean {
  let origin = error;
  // More than one deep where a use case says in its own words which part of it failed.
  while (origin instanceof AppError) origin = origin.cause;
  return isGivenUp(read(origin)?.sqlState ?? "");
}

/** Whether a statement failed for no reason of its own, but because one before it in the transaction had failed. */
export function isAborted(error: unknown): boolean {
  return read(error)?.sqlState === "25P02";
}

function isGivenUp(sqlState: string): boolean {
  return sqlState === "40001" || sqlState === "40P01";
}

/** Connections broken, refused or used up; the server starting, stopping, read-only or without room. */
function isOutage(sqlState: string): boolean {
  return /^(08|28|53|57P|58|3D000|25006|25P03|55P03)/.test(sqlState);
}

/** pg's own, from a pool that could not connect, or a socket's. */
function read(error: unknown): Refusal | undefined {
  if (!isObject(error)) return undefined;
  const { code, message, constraint, errors } = error;
  if (typeof code === "string" && brokenSocket.has(code)) return { sqlState: "08006" };
  if (typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) && typeof error.severity === "string") {
    return { sqlState: code, constraint: typeof constraint === "string" ? constraint : "" };
  }
  // A connection tried over IPv6 and IPv4 fails with both errors in one.
  if (Array.isArray(errors) && errors.length > 0) return read(errors[0]);
  return brokenConnection.test(String(message)) ? { sqlState: "08006" } : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

import { AppError } from "../../core/errors.ts";

/**
 * The one place that knows how the database's refusals look after they came through pg, the adapter and Prisma, which
 * each have shapes of their own. Everything else sees AppError, or an error that is a defect.
 */

/** What one of the layers said, brought to one form. */
interface Refusal {
  /** The database's five characters, where the layer kept them. */
  sqlState?: string | undefined;
  /** The broken constraint's or index's name. */
  constraint?: string | undefined;
  message: string;
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

/** Prisma's codes that say the same as one of the database's, or as a broken connection. */
const prismaCodes: Record<string, string> = {
  P1000: "28P01",
  P1001: "08001",
  P1002: "08001",
  P1008: "08006",
  P1010: "28000",
  P1017: "08006",
  P2002: "23505",
  P2003: "23503",
  P2004: "23514",
  P2024: "08001",
  P2028: "08006",
  P2034: "40001",
  P2037: "53300",
};

const adapterKinds: Record<string, string> = {
  UniqueConstraintViolation: "23505",
  ForeignKeyConstraintViolation: "23503",
  TransactionWriteConflict: "40001",
  TooManyConnections: "53300",
  DatabaseNotReachable: "08001",
  ConnectionClosed: "08006",
  SocketTimeout: "08006",
  TlsConnectionError: "08001",
  AuthenticationFailed: "28P01",
  DatabaseAccessDenied: "28000",
  DatabaseDoesNotExist: "3D000",
  InvalidInputValue: "22P02",
  ValueOutOfRange: "22003",
};

/** Plain errors of pg, its pool and the sockets below, which carry no code of the database's. */
const brokenConnection =
  /timeout exceeded when trying to connect|connection terminated|connection ended|client has encountered a connection error|cannot use a pool after calling end|query read timeout|server closed the connection|not queryable/i;
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
  const { sqlState = "", constraint = "" } = refusal;
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

function isGivenUp(sqlState: string): boolean {
  return sqlState === "40001" || sqlState === "40P01";
}

/** Connections broken, refused or used up; the server starting, stopping, read-only or without room. */
function isOutage(sqlState: string): boolean {
  return /^(08|28|53|57P|58|3D000|25006|25P03|55P03)/.test(sqlState);
}

function read(error: unknown): Refusal | undefined {
  if (!isObject(error)) return undefined;
  const meta = isObject(error.meta) ? error.meta : {};
  // Since Prisma 7 the adapter's error is carried along, under a name that changed with a minor version.
  const carried =
    meta.driverAdapterError ?? meta.driverAdapterErrorCause ?? (has(error, "kind") ? error : error.cause);
  return readAdapter(carried) ?? readPrisma(error, meta) ?? readPg(error);
}

/** The adapter's own error, or its cause: { kind, originalCode, originalMessage, constraint: { index | fields } }. */
function readAdapter(carried: unknown): Refusal | undefined {
  if (!isObject(carried)) return undefined;
  const cause = isObject(carried.cause) && typeof carried.cause.kind === "string" ? carried.cause : carried;
  const kind = textOf(cause.kind);
  if (kind === undefined) return undefined;
  const state = kind === "postgres" ? textOf(cause.code) : (textOf(cause.originalCode) ?? adapterKinds[kind]);
  const message = textOf(cause.originalMessage) ?? textOf(cause.message) ?? kind;
  return { sqlState: state, constraint: constraintOf(cause.constraint) ?? named(message), message };
}

/** Prisma's own: a code, and for a broken uniqueness meta.target (columns or an index) or meta.constraint. */
function readPrisma(error: Record<string, unknown>, meta: Record<string, unknown>): Refusal | undefined {
  const code = textOf(error.code) ?? textOf(error.errorCode);
  if (code === undefined || !/^P\d{4}$/.test(code)) return undefined;
  const message = textOf(error.message) ?? code;
  // P2010 and P2036 wrap an error of a raw query; the code of the database is a member of meta.
  const sqlState = prismaCodes[code] ?? textOf(meta.code);
  return { sqlState, constraint: constraintOf(meta.constraint ?? meta.target) ?? named(message), message };
}

/** pg's own, from a pool that could not connect, or a socket's. */
function readPg(error: Record<string, unknown>): Refusal | undefined {
  const message = textOf(error.message) ?? "";
  const code = textOf(error.code);
  if (code !== undefined && brokenSocket.has(code)) return { sqlState: "08006", message };
  if (code !== undefined && /^[0-9A-Z]{5}$/.test(code) && has(error, "severity")) {
    return { sqlState: code, constraint: textOf(error.constraint), message };
  }
  // A connection tried over IPv6 and IPv4 fails with both errors in one.
  if (Array.isArray(error.errors) && error.errors.length > 0) return read(error.errors[0]);
  return brokenConnection.test(message) ? { sqlState: "08006", message } : undefined;
}

function constraintOf(constraint: unknown): string | undefined {
  if (typeof constraint === "string") return constraint;
  return isObject(constraint) ? (textOf(constraint.index) ?? textOf(constraint.foreignKey)) : undefined;
}

/** Out of the database's sentence, where no layer kept it apart. */
function named(message: string): string | undefined {
  const quoted = /constraint "([^"]+)"/.exec(message)?.[1];
  if (quoted !== undefined) return quoted;
  return /subtask/.test(message) ? "tasks_depth_check" : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function has(value: Record<string, unknown>, key: string): boolean {
  return typeof value[key] === "string";
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

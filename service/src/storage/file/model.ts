import type { ClaimOutcome } from "../../core/claims/schema.ts";
import type { Actor, Role, Scope } from "../../core/context.ts";
import type { EventType } from "../../core/events/schema.ts";
import type { ProjectSource } from "../../core/import-export/source.ts";
import type { Target } from "../../core/links/url.ts";
import type { Statuses } from "../../core/receivers/schema.ts";
import type { JsonObject, Status } from "../../core/schema.ts";
import type { DependencyInsert, LinkTold, TagRecord, TaskInsert } from "../../core/storage.ts";
import {
  createOverlay,
  createTable,
  type Indexes,
  type Overlay,
  type Source,
  type Table,
  type Writable,
} from "./table.ts";

/** The rows, as PostgreSQL's tables have them. Times are RFC 3339 in UTC with milliseconds, so they sort as text. */
interface Dated {
  id: string;
  createdAt: string;
}
interface Versioned extends Dated {
  version: number;
  updatedAt: string;
}
export interface OrganizationRow extends Versioned {
  slug: string;
  name: string;
}
export interface UserRow extends Dated {
  email: string;
  name: string;
  issuer: string | null;
  subject: string | null;
}
export interface AgentRow extends Versioned {
  organizationId: string;
  name: string;
  description: string;
  capabilities: string[];
  disabledAt: string | null;
}
export interface MembershipRow extends Versioned {
  organizationId: string;
  userId: string | null;
  agentId: string | null;
  role: Role;
}
export interface TokenRow extends Dated {
  organizationId: string;
  membershipId: string;
  name: string;
  hash: string;
  hint: string;
  scopes: Scope[];
  expiresAt: string;
  revokedAt: string | null;
}
export interface ProjectRow extends Versioned {
  organizationId: string;
  key: string;
  name: string;
  description: string;
  source: ProjectSource | null;
}
export interface TagRow extends Versioned, Omit<TagRecord, "project" | keyof Versioned> {
  organizationId: string;
}
export interface TaskRow extends Versioned, Omit<TaskInsert, "id"> {
  organizationId: string;
  fence: number;
}
export interface DependencyRow extends DependencyInsert {
  organizationId: string;
}
export interface ClaimRow extends Dated {
  organizationId: string;
  projectId: string;
  taskId: string;
  holder: Actor;
  fence: number;
  ttlSeconds: number;
  previousStatus: Status;
  expiresAt: string;
  outcome: ClaimOutcome | null;
  endedAt: string | null;
}
export interface AttemptRow {
  id: string;
  organizationId: string;
  taskId: string;
  claimId: string;
  number: number;
  holder: Actor;
  outcome: ClaimOutcome;
  note: string;
  startedAt: string;
  endedAt: string;
}
export interface CommentRow extends Versioned {
  organizationId: string;
  taskId: string;
  author: Actor;
  body: string;
}
export interface LinkRow extends Dated, Target {
  organizationId: string;
  taskId: string;
  title: string | null;
  told: LinkTold | null;
}
export interface ReceiverRow extends Versioned {
  organizationId: string;
  provider: "github";
  name: string;
  statuses: Statuses;
  /** Sealed, both of them. */
  secret: string;
  previousSecret: string | null;
  previousSecretExpiresAt: string | null;
}
export interface ImportRunRow extends Dated {
  organizationId: string;
  projectId: string;
  actorId: string;
  mode: "strict" | "quarantine";
  sha256: string;
  report: JsonObject;
}
export interface IdempotencyRow extends Dated {
  fingerprint: string;
  result: string;
}
/** The id is a whole number as text, in the order of the commits; so is the sequence within the project. */
export interface EventRow extends Dated {
  organizationId: string;
  projectId: string | null;
  sequence: number | null;
  type: EventType;
  taskId: string | null;
  actor: Actor;
  requestId: string;
  data: JsonObject;
}
/** One row only: which project tasks.json holds, and which file the other rows agree with. */
export interface FileRow {
  id: typeof fileId;
  projectId: string;
  /** SHA-256 of the file, in hex. */
  sha256: string;
  /** Of the file that the last change of ours replaced; null where the last change was somebody else's. */
  replaced: string | null;
}
/** In the place of the hash of a file that is not there. */
export const absent = "absent";
export const fileId = "tasks.json";

const all = {
  organizations: { slug: (row: OrganizationRow) => row.slug },
  users: {
    email: (row: UserRow) => row.email,
    identity: (row: UserRow) => (row.issuer === null ? null : pair(row.issuer, row.subject)),
  },
  agents: {
    organization: (row: AgentRow) => row.organizationId,
    name: (row: AgentRow) => pair(row.organizationId, row.name),
  },
  memberships: {
    organization: (row: MembershipRow) => row.organizationId,
    user: (row: MembershipRow) => row.userId,
    agent: (row: MembershipRow) => row.agentId,
  },
  tokens: {
    organization: (row: TokenRow) => row.organizationId,
    membership: (row: TokenRow) => row.membershipId,
    hash: (row: TokenRow) => row.hash,
  },
  projects: {
    organization: (row: ProjectRow) => row.organizationId,
    key: (row: ProjectRow) => pair(row.organizationId, row.key),
  },
  tags: {
    project: (row: TagRow) => row.projectId,
    name: (row: TagRow) => pair(row.projectId, row.name),
  },
  tasks: {
    project: (row: TaskRow) => row.projectId,
    tag: (row: TaskRow) => row.tagId,
    parent: (row: TaskRow) => row.parentId,
    place: (row: TaskRow) => pair(row.tagId, row.parentId, row.segment),
  },
  dependencies: {
    tag: (row: DependencyRow) => row.tagId,
    task: (row: DependencyRow) => row.taskId,
    target: (row: DependencyRow) => row.dependsOnId,
  },
  claims: {
    task: (row: ClaimRow) => row.taskId,
    live: (row: ClaimRow) => (row.endedAt === null ? row.taskId : null),
    state: (row: ClaimRow) => (row.endedAt === null ? "live" : null),
  },
  attempts: {
    task: (row: AttemptRow) => row.taskId,
    claim: (row: AttemptRow) => row.claimId,
  },
  comments: { task: (row: CommentRow) => row.taskId },
  links: {
    task: (row: LinkRow) => row.taskId,
    url: (row: LinkRow) => pair(row.organizationId, row.url),
  },
  receivers: { organization: (row: ReceiverRow) => row.organizationId },
  importRuns: { project: (row: ImportRunRow) => row.projectId },
  idempotency: {},
  events: {
    organization: (row: EventRow) => row.organizationId,
    project: (row: EventRow) => row.projectId,
    task: (row: EventRow) => row.taskId,
    sequence: (row: EventRow) => (row.projectId === null ? null : pair(row.projectId, row.sequence)),
  },
  file: {},
};

export interface Rows {
  organizations: OrganizationRow;
  users: UserRow;
  agents: AgentRow;
  memberships: MembershipRow;
  tokens: TokenRow;
  projects: ProjectRow;
  tags: TagRow;
  tasks: TaskRow;
  dependencies: DependencyRow;
  claims: ClaimRow;
  attempts: AttemptRow;
  comments: CommentRow;
  links: LinkRow;
  receivers: ReceiverRow;
  importRuns: ImportRunRow;
  idempotency: IdempotencyRow;
  events: EventRow;
  file: FileRow;
}
export type TableName = keyof Rows;
export const tableNames = Object.keys(all) as TableName[];

/** Everything that is committed. */
export type Model = { [N in TableName]: Table<Rows[N]> };
/** What can be read. */
export type Reading = { [N in TableName]: Source<Rows[N]> };
/** What can be read and written, and is not committed. */
export type Draft = { [N in TableName]: Overlay<Rows[N]> };

/** What a commit changes: whole rows, and the ids of the rows that go. */
export type ChangeSet = {
  puts: { [N in TableName]?: Rows[N][] };
  removed: { [N in TableName]?: string[] };
};

export function createModel(): Model {
  return mapTables((name) => createTable(indexesOf(name))) as Model;
}

export function createDraft(source: Reading): Draft {
  return mapTables((name) => createOverlay(source[name] as Source<never>, indexesOf(name))) as Draft;
}

export function changesIn(draft: Draft): ChangeSet {
  const changes: ChangeSet = { puts: {}, removed: {} };
  for (const name of tableNames) {
    const [puts, removed] = [draft[name].puts(), draft[name].removed()];
    if (puts.length > 0) Object.assign(changes.puts, { [name]: puts });
    if (removed.length > 0) changes.removed[name] = removed;
  }
  return changes;
}

export function isEmpty({ puts, removed }: ChangeSet): boolean {
  return Object.keys(puts).length === 0 && Object.keys(removed).length === 0;
}

export function applyTo(rows: Model | Draft, { puts, removed }: ChangeSet): void {
  for (const name of tableNames) {
    const table = rows[name] as Writable<never>;
    for (const row of puts[name] ?? []) table.put(row as never);
    for (const id of removed[name] ?? []) table.remove(id);
  }
}

function mapTables(make: (name: TableName) => unknown): object {
  return Object.fromEntries(tableNames.map((name) => [name, make(name)]));
}

function indexesOf(name: TableName): Indexes<never> {
  return all[name] as Indexes<never>;
}

/** A key of several parts. NUL is in none of them. */
export function pair(...parts: (string | number | null)[]): string {
  return parts.join("\0");
}

export function timestamp(date: Date | number = Date.now()): string {
  return new Date(date).toISOString();
}

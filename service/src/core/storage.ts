import type { Agent } from "./agents/schema.ts";
import type { Attempt } from "./attempts/schema.ts";
import type { Claim, ClaimOutcome } from "./claims/schema.ts";
import type { Comment } from "./comments/schema.ts";
import type { Actor, Role, Scope } from "./context.ts";
import type { DependencyProblem, TaskSummary } from "./dependencies/schema.ts";
import type { AuditEntry, Event, EventType } from "./events/schema.ts";
import type { ImportRun } from "./import-export/schema.ts";
import type { MemberSource, ProjectSource, TagSource } from "./import-export/source.ts";
import type { Link } from "./links/schema.ts";
import type { Target } from "./links/url.ts";
import type { Membership } from "./memberships/schema.ts";
import type { Organization } from "./organizations/schema.ts";
import type { Keyset } from "./page.ts";
import type { Project } from "./projects/schema.ts";
import type { Receiver, Statuses } from "./receivers/schema.ts";
import type { JsonObject, Priority, Status } from "./schema.ts";
import type { Tag } from "./tags/schema.ts";
import type { Complexity, Task } from "./tasks/schema.ts";
import type { AccessToken } from "./tokens/schema.ts";
import type { Delivery, DeliveryState, DisabledReason, Webhook } from "./webhooks/schema.ts";

/**
 * The storage port. Core decides; storage loads and saves, and enforces again what a database can enforce. An adapter
 * translates a broken uniqueness into AppError already_exists, an unreachable database into unavailable, and never
 * shows its own library's errors.
 *
 * Every repository but `identity` is bound to one organization when it is opened, and reads and writes only that
 * organization's rows.
 */
export interface Storage {
  /** Who a credential belongs to, before an organization is known; and the making of organizations. */
  identity: IdentityStore;
  /** Repositories that run each statement by itself, on the newest committed state. */
  reader(organizationId: string): Repositories;
  /** Several reads on one consistent snapshot. */
  snapshot<T>(organizationId: string, work: (tx: Repositories) => Promise<T>): Promise<T>;
  /**
   * One read-committed transaction: all of it is kept, or none. Run again, whole, a bounded number of times when the
   * database gives up on it (deadlock, serialization); so work has no effects outside of it.
   */
  transaction<T>(organizationId: string, work: (tx: Transaction) => Promise<T>): Promise<T>;
  /**
   * Calls `wake` soon after events of the project were committed, by this process or another, and after the project was
   * deleted; now and then also for nothing. A hint and no more: what happened is in the log. One may be lost, but then
   * another comes within ten seconds. Returns what ends it. Never fails: without the database there are no hints, and
   * one as soon as it is back.
   */
  watch(projectId: string, wake: () => void): () => void;
  /** Housekeeping over all organizations; see each method. */
  upkeep: Upkeep;
  /** This process's connections at this moment; null where the storage has none. */
  connections(): Connections | null;
  /** Resolves when the database answers and its migrations are inside the program's window; else says why not. */
  check(): Promise<StorageCheck>;
  close(): Promise<void>;
}

export interface Connections {
  max: number;
  used: number;
  idle: number;
  /** Callers that wait for one. */
  waiting: number;
  /** Those and the ones that wait for an answer on a connection that they share: how many, and how long the first of them has. */
  backlog: { count: number; oldestMs: number };
}

export interface StorageCheck {
  database: { ok: boolean; detail: string };
  migrations: { ok: boolean; detail: string };
}

export interface Repositories {
  organizations: OrganizationStore;
  memberships: MembershipStore;
  agents: AgentStore;
  tokens: TokenStore;
  projects: ProjectStore;
  tags: TagStore;
  tasks: TaskStore;
  dependencies: DependencyStore;
  claims: ClaimStore;
  attempts: AttemptStore;
  comments: CommentStore;
  links: LinkStore;
  receivers: ReceiverStore;
  events: EventStore;
  importRuns: ImportRunStore;
  webhooks: WebhookStore;
  deliveries: DeliveryStore;
}

/**
 * What is asked of it runs in the order in which it is asked, also when that is at once and none is waited for: the database is then
 * asked in one round trip. Where one fails, so do those after it.
 */
export interface Transaction extends Repositories {
  idempotency: IdempotencyStore;
  /** As IdentityStore.createOrganization, as a part of this transaction. */
  createOrganization: IdentityStore["createOrganization"];
  /** The database's clock at this moment (not at the transaction's start). */
  now(): Promise<Date>;
}

// ---- identity

/** What authentication needs to know of a membership. */
export interface Principal {
  organizationId: string;
  membershipId: string;
  actor: Actor;
  role: Role;
  /** A disabled agent. */
  disabled: boolean;
}

export interface TokenOwner extends Principal {
  tokenId: string;
  scopes: Scope[];
  /** Whether the token is revoked, or expired by the database's clock. */
  revoked: boolean;
  expired: boolean;
}

/** A receiver as whoever speaks to it is checked by. */
export interface ReceiverOwner {
  id: string;
  organizationId: string;
  name: string;
  statuses: Statuses;
  /** Sealed; those that are good now, by the database's clock. */
  secrets: string[];
}

export interface UserIdentity {
  id: string;
  email: string;
  name: string;
  issuer: string | null;
  subject: string | null;
}

/** What a caller was taken for: its membership, and the access token unless it came with another credential. */
export interface Credential {
  membershipId: string;
  tokenId: string | null;
}

export interface Standing extends Pick<TokenOwner, "revoked" | "expired"> {
  role: Role;
  disabled: boolean;
}

export interface IdentityStore {
  findToken(hash: string): Promise<TokenOwner | undefined>;
  findTokenById(tokenId: string): Promise<TokenOwner | undefined>;
  /** What has become of each, in the same order; undefined where the membership or the token is no more. */
  findStandings(credentials: Credential[]): Promise<(Standing | undefined)[]>;
  /** The user's or agent's memberships, each with its organization. */
  listPrincipals(
    member: { userId: string } | { agentId: string },
  ): Promise<(Principal & { organization: Organization })[]>;
  findUser(by: { issuer: string; subject: string } | { email: string }): Promise<UserIdentity | undefined>;
  /** Binds an OIDC identity to a user that has none; false when it has one already. */
  bindUser(userId: string, issuer: string, subject: string): Promise<boolean>;
  /** An organization with its first owner, in one transaction; the user is made when there is none of that email. */
  createOrganization(input: {
    organization: { id: string; slug: string; name: string };
    owner: { membershipId: string; userId: string; email: string; name: string };
    event: NewEvent;
  }): Promise<{ organization: Organization; principal: Principal }>;
  /** By its id alone, whatever its organization. */
  findReceiver(id: string): Promise<ReceiverOwner | undefined>;
  countOrganizations(): Promise<number>;
  /** The owner membership made first in the oldest organization: whom an operator's own commands act as. */
  firstOwner(): Promise<(Principal & { organization: Organization }) | undefined>;
}

export interface Upkeep {
  /** Organizations with claims that are past their expiry and still live, with those claims' ids; at most `limit`. */
  listExpiredClaims(limit: number): Promise<{ organizationId: string; claimId: string }[]>;
  /** Deletes idempotency records older than so many hours; returns how many. */
  deleteIdempotencyRecords(olderThanHours: number): Promise<number>;
  /** See DeliveryClaim; none where the storage has no webhooks. */
  claimDeliveries(claim: DeliveryClaim): Promise<ClaimedDelivery[]>;
  /** Deletes some of the deliveries that arrived more than so many days ago; returns how many. */
  deleteDeliveries(olderThanDays: number): Promise<number>;
  /**
   * Tasks and subtasks in one of `statuses` that nobody holds, nor their parent or a subtask of theirs, and that wait for
   * nothing but what is in one of `completeStatuses`. It looks at every task: not for each request.
   */
  countReadyTasks(statuses: readonly Status[], completeStatuses: readonly Status[]): Promise<number>;
  /** Of enabled webhooks, what is not sent yet. */
  measureDeliveries(): Promise<DeliveryQueue>;
  /** The newest migration that is applied; null where there are none. */
  findMigrationHead(): Promise<string | null>;
}

export interface DeliveryQueue {
  pending: number;
  /** Since the oldest of them was made; 0 when there is none. */
  oldestSeconds: number;
  /** How long the next attempt that is due first is due already; 0 when none is. */
  overdueSeconds: number;
}

// ---- organization-wide nouns

export interface OrganizationStore {
  get(): Promise<Organization>;
  /** Undefined when the version is another. */
  update(patch: { name?: string }, version: number): Promise<Organization | undefined>;
}

export interface MembershipStore {
  list(keyset: Keyset): Promise<Membership[]>;
  find(id: string): Promise<Membership | undefined>;
  /** Makes the user when there is none of that email. */
  insert(input: { id: string; userId: string; email: string; name: string; role: Role }): Promise<Membership>;
  updateRole(id: string, role: Role, version: number): Promise<Membership | undefined>;
  delete(id: string, version: number): Promise<boolean>;
  /** Locks the organization's owners against change until the transaction ends, and counts them. */
  countOwnersLocked(): Promise<number>;
}

export interface AgentStore {
  list(keyset: Keyset): Promise<Agent[]>;
  find(id: string): Promise<Agent | undefined>;
  /** Makes the agent and its membership (role agent). */
  insert(input: {
    id: string;
    membershipId: string;
    name: string;
    description: string;
    capabilities: string[];
  }): Promise<Agent>;
  update(
    id: string,
    patch: { name?: string; description?: string; capabilities?: string[]; disabled?: boolean },
    version: number,
  ): Promise<Agent | undefined>;
  delete(id: string, version: number): Promise<boolean>;
}

export interface TokenStore {
  /** All of the organization's, or those of one member. */
  list(keyset: Keyset, ownerId?: string): Promise<AccessToken[]>;
  find(id: string): Promise<AccessToken | undefined>;
  /** The owner is the membership; undefined agent means the caller's own membership. */
  insert(input: {
    id: string;
    owner: { membershipId: string } | { agentId: string };
    name: string;
    hash: string;
    hint: string;
    scopes: Scope[];
    expiresInDays: number;
  }): Promise<AccessToken | undefined>;
  /** Undefined when there is none that is not revoked. */
  revoke(id: string): Promise<AccessToken | undefined>;
}

export interface ProjectRecord extends Project {
  source: ProjectSource | null;
}

export interface ProjectStore {
  list(keyset: Keyset): Promise<Project[]>;
  find(key: string): Promise<ProjectRecord | undefined>;
  insert(input: { id: string; key: string; name: string; description: string }): Promise<ProjectRecord>;
  update(
    id: string,
    patch: { name?: string; description?: string; source?: ProjectSource },
    version: number,
  ): Promise<ProjectRecord | undefined>;
  /** With everything in it; the events stay. */
  delete(id: string, version: number): Promise<boolean>;
  /** Locks the project's list of tags until the transaction ends. */
  lock(id: string): Promise<void>;
}

export interface TagRecord extends Tag {
  projectId: string;
  position: number;
  nextLocalNumber: number;
  source: TagSource | null;
}

export interface TagStore {
  /** In the order of the file or of their making. */
  list(projectId: string): Promise<TagRecord[]>;
  find(projectKey: string, name: string): Promise<TagRecord | undefined>;
  findById(id: string): Promise<TagRecord | undefined>;
  /** Placed behind the project's other tags. */
  insert(input: {
    id: string;
    projectId: string;
    name: string;
    description: string;
    metadata: JsonObject;
    source: TagSource | null;
    nextLocalNumber: number;
  }): Promise<TagRecord>;
  update(
    id: string,
    patch: {
      name?: string;
      description?: string;
      metadata?: JsonObject;
      source?: TagSource;
      nextLocalNumber?: number;
    },
    version: number,
  ): Promise<TagRecord | undefined>;
  delete(id: string, version: number): Promise<boolean>;
  /**
   * Locks the tags' graphs (dependencies, parents, ranks, numbers) against every other change of structure until the
   * transaction ends, in the order of their ids so that two who want both never wait for each other. Readers, claims
   * and changes of a task's own fields are not held up. Each returned record is read behind the lock.
   */
  lockGraphs(tagIds: string[]): Promise<TagRecord[]>;
  /** Takes the next `count` numbers and returns the first. */
  takeNumbers(tagId: string, count: number): Promise<number>;
}

// ---- tasks

/** A task as stored: what the API shows and what only core needs. */
export interface TaskRecord extends Task {
  projectId: string;
  tagId: string;
  segment: string;
  number: number | null;
  nextLocalNumber: number;
  /** The last fence given out, of whatever claim. */
  fence: number;
  source: MemberSource[] | null;
}

/** A tag, and the names that its tasks show of it. */
export interface TagPlace {
  project: string;
  tag: string;
  tagId: string;
}

/** Where a task is to be found: by id, or by project key, tag name and local id. */
export type TaskLocator = { id: string } | { project: string; tag: string; localId: string };

export interface TaskValues {
  title: string;
  description: string;
  details: string;
  testStrategy: string;
  status: Status;
  priority: Priority | null;
  assignee: string | null;
  effort: number | null;
  actualEffort: number | null;
  labels: string[];
  complexity: Complexity | null;
  metadata: JsonObject;
  extra: JsonObject;
}

export interface TaskInsert extends TaskValues {
  id: string;
  projectId: string;
  tagId: string;
  parentId: string | null;
  segment: string;
  number: number | null;
  rank: string;
  source: MemberSource[] | null;
  nextLocalNumber: number;
}

export interface TaskChange extends Partial<TaskValues> {
  /** Its subtasks go with it, in the same statement, and so do the edges among them. */
  tagId?: string;
  parentId?: string | null;
  segment?: string;
  number?: number | null;
  rank?: string;
  source?: MemberSource[] | null;
}

export interface TaskFilter {
  statuses?: Status[];
  priorities?: Priority[];
  assignee?: string;
  label?: string;
  level?: "task" | "subtask";
  /** Only the subtasks of this task. */
  parentId?: string;
}

/** What the rules on a tag's graph need of a task. */
export interface GraphTask extends TaskSummary {
  parent: string | null;
  segment: string;
  number: number | null;
  rank: string;
  priority: Priority | null;
  effort: number | null;
  /** The holder of the live, unexpired claim. */
  holderId: string | null;
}

/** An active edge: `from` waits for `to`. */
export interface EdgeRecord {
  from: string;
  to: string;
}

/**
 * A stage of `next`, as data, so that the rule stays in core and storage only runs it. Tasks under a live claim of
 * another are left out, as are subtasks of a task that another holds and tasks of which another holds a subtask.
 */
export interface CandidateQuery {
  tagId: string;
  level: "task" | "subtask";
  statuses: readonly Status[];
  /** For subtasks: the statuses that their task must have. */
  parentStatuses?: readonly Status[];
  /** A task is a candidate when all that it waits for has one of these... */
  completeStatuses: readonly Status[];
  /** ...and, where that is a subtask, its task has one of these. */
  completeParentStatuses: readonly Status[];
  /** Whether a subtask that waits for a task, and not for a subtask, can be a candidate. */
  subtasksWaitForTasks: boolean;
  /**
   * Whether quarantined edges count and hold back as well: each is complete when the task is that its reference names,
   * a bare one in a subtask being a sibling's.
   */
  quarantinedEdgesHold: boolean;
  /** Most urgent first; a missing priority is the parent's, else `defaultPriority`. */
  priorities: readonly Priority[];
  defaultPriority: Priority;
  /** Whose own claims do not hide a task; null leaves out every claimed task. */
  holderId: string | null;
  /** To be claimed: without what is under a live claim already, itself or by a subtask, the holder's own as well. */
  unclaimed: boolean;
  limit: number;
}

export interface TaskStore {
  find(locator: TaskLocator): Promise<TaskRecord | undefined>;
  /** As the API shows them, ordered by rank as bytes, then id; the keyset is [rank, id]. */
  list(of: TagPlace, filter: TaskFilter, keyset: Keyset): Promise<Task[]>;
  /** Those of one task, by rank. */
  subtasks(parentId: string): Promise<TaskRecord[]>;
  /** All of a tag, tasks before subtasks, each level by rank. */
  listAll(tagId: string): Promise<TaskRecord[]>;
  /**
   * By full-text rank over title, description, details and testStrategy (web search syntax), best first; the keyset is
   * [the score as text, id].
   */
  search(projectId: string, text: string, keyset: Keyset): Promise<{ task: TaskRecord; score: number }[]>;
  insert(tasks: TaskInsert[]): Promise<void>;
  /** Undefined when the task is gone or its version is another; `null` takes any version. Raises the version by one. */
  update(id: string, change: TaskChange, version: number | null): Promise<TaskRecord | undefined>;
  /** With its subtasks. False when the task is gone or its version is another. */
  delete(id: string, version: number | null): Promise<boolean>;
  /** Takes the next number for a subtask of the task, under the task's row lock. */
  takeSubtaskNumber(parentId: string): Promise<number>;
  /** Locks the rows against change until the transaction ends, parents first; missing ones are left out. */
  lock(ids: string[]): Promise<TaskRecord[]>;
  /** Statuses of the task's subtasks, read now. */
  subtaskStatuses(parentId: string): Promise<Status[]>;
  /** The nearest rank on one side of `rank` among the siblings; a null rank stands for the end of the list. */
  neighbourRank(
    tagId: string,
    parentId: string | null,
    rank: string | null,
    side: "before" | "after",
  ): Promise<string | null>;
  graph(tagId: string): Promise<{ tasks: GraphTask[]; edges: EdgeRecord[] }>;
  /** Ordered by priority, then fewer dependencies, then number, the tasks' before their own; slugs last, by rank. */
  candidates(query: CandidateQuery): Promise<string[]>;
}

// ---- dependencies

export interface DependencyInsert {
  id: string;
  tagId: string;
  taskId: string;
  /** Null for a quarantined edge, which then has a problem. */
  dependsOnId: string | null;
  position: number;
  raw: string | null;
  problem: DependencyProblem | null;
}

export interface DependencyRecord extends DependencyInsert {
  task: TaskSummary;
}

export interface DependencyStore {
  insert(edges: DependencyInsert[]): Promise<void>;
  /** False when there is no such active edge. */
  delete(taskId: string, dependsOnId: string): Promise<boolean>;
  deleteById(ids: string[]): Promise<void>;
  /** Active edges at the tasks, in or out. */
  listAt(taskIds: string[]): Promise<EdgeRecord[]>;
  dependsOn(taskId: string): Promise<TaskSummary[]>;
  dependents(taskId: string): Promise<TaskSummary[]>;
  /** All of a tag's, active and quarantined, by task and position. */
  listAll(tagId: string): Promise<DependencyRecord[]>;
  quarantined(where: { tagId: string } | { taskId: string }): Promise<DependencyRecord[]>;
  /**
   * A path of task ids from `from` to `to` along active edges and from each task to its subtasks, or undefined.
   * Looks at no more than the part of the graph that `from` reaches.
   */
  path(tagId: string, from: string, to: string): Promise<string[] | undefined>;
  /** The position behind a task's last edge. */
  nextPosition(taskId: string): Promise<number>;
}

// ---- claims

export interface ClaimRecord extends Claim {
  projectId: string;
  tagId: string;
  /** By the database's clock, at the time of reading. */
  expired: boolean;
}

export interface ClaimStore {
  find(id: string): Promise<ClaimRecord | undefined>;
  /** Locks the claim's task family and the claim, then reads it. */
  findLocked(id: string): Promise<ClaimRecord | undefined>;
  /** The live claims of a tag, oldest first; keyset [id]. */
  list(tagId: string, keyset: Keyset): Promise<ClaimRecord[]>;
  /**
   * A live, unexpired claim in the tag whose holder is another than this one. Locks the tag's families first, so that
   * none is made until the transaction ends.
   */
  findForeign(tagId: string, holderId: string): Promise<ClaimRecord | undefined>;
  /** Live claims (also expired ones not yet ended) on the task, its parent and its subtasks. */
  liveAround(taskId: string): Promise<ClaimRecord[]>;
  /**
   * Locks the task's family (its parent, or itself) without waiting: false when another transaction has it. `wait`
   * waits instead.
   */
  lockFamily(taskId: string, wait: boolean): Promise<boolean>;
  /**
   * Locks the family of the first candidate that no other transaction has locked, without waiting; undefined when there
   * is none. What was committed meanwhile may have taken the task away: look again behind the lock.
   */
  lockCandidate(query: CandidateQuery): Promise<string | undefined>;
  /** Raises the task's fence and makes the claim; expiry is counted from the database's clock. */
  insert(input: {
    id: string;
    task: TaskRecord;
    holder: Actor;
    ttlSeconds: number;
    previousStatus: Status;
  }): Promise<ClaimRecord>;
  /** Sets the expiry anew from the database's clock. */
  renew(id: string, ttlSeconds: number): Promise<ClaimRecord>;
  end(id: string, outcome: ClaimOutcome): Promise<ClaimRecord>;
}

export interface AttemptStore {
  /** Newest last; keyset [number]. */
  list(taskId: string, keyset: Keyset): Promise<Attempt[]>;
  /** Numbered behind the task's last attempt. */
  insert(input: { id: string; claim: ClaimRecord; outcome: ClaimOutcome; note: string }): Promise<Attempt>;
}

export interface CommentRecord extends Comment {
  projectId: string;
}

export interface CommentStore {
  list(taskId: string, keyset: Keyset): Promise<Comment[]>;
  find(id: string): Promise<CommentRecord | undefined>;
  insert(input: { id: string; taskId: string; author: Actor; body: string }): Promise<Comment>;
  update(id: string, body: string, version: number): Promise<Comment | undefined>;
  delete(id: string, version: number): Promise<boolean>;
}

export interface LinkRecord extends Link {
  projectId: string;
  told: LinkTold | null;
}

/** What its tracker told last of a link's target. */
export interface LinkTold {
  /** When it happened there; RFC 3339, UTC. */
  at: string;
  delivery: string;
  /** SHA-256 of what was told, in hex. */
  digest: string;
}

export interface LinkStore {
  /** Of a task, or to one address in its canonical form; oldest first; keyset [id]. */
  list(of: { taskId: string } | { url: string }, keyset: Keyset): Promise<LinkRecord[]>;
  find(id: string): Promise<LinkRecord | undefined>;
  insert(input: Target & { id: string; taskId: string; title: string | null }): Promise<LinkRecord>;
  tell(id: string, told: LinkTold): Promise<void>;
  delete(id: string): Promise<boolean>;
}

export interface ReceiverStore {
  list(keyset: Keyset): Promise<Receiver[]>;
  find(id: string): Promise<Receiver | undefined>;
  /** The secret is sealed. */
  insert(input: { id: string; name: string; statuses: Statuses; secret: string }): Promise<Receiver>;
  update(
    id: string,
    values: { name: string; statuses: Statuses },
    version: number,
  ): Promise<Receiver | undefined>;
  /** The secret of now stays good for so many hours. */
  rotate(id: string, secret: string, overlapHours: number): Promise<Receiver | undefined>;
  delete(id: string, version: number): Promise<boolean>;
}

// ---- log

export interface NewEvent {
  type: EventType;
  projectId: string | null;
  taskId: string | null;
  actor: Actor;
  requestId: string;
  data: JsonObject;
}

export interface EventStore {
  /** `trace`, a W3C traceparent, goes with the webhook messages that come of them: ClaimedDelivery.trace. */
  append(events: NewEvent[], trace?: string): Promise<void>;
  /**
   * Gives a sequence to the project's committed events that have none yet. Call it in a transaction of its own before
   * `list`. Sequences are given after the commit and under a lock, without gaps, so whoever has read up to n has
   * missed nothing at or below n.
   */
  sequence(projectId: string): Promise<void>;
  /** `size` bounds it as well, by the characters of the events' data as JSON; the first one comes whatever its size. */
  list(projectId: string, after: number, limit: number, size?: number): Promise<Event[]>;
  /** The last sequence given; undefined once the project is gone. */
  last(projectId: string): Promise<number | undefined>;
  /** Newest first; keyset [id]. */
  audit(
    filter: { type?: EventType; actorId?: string; taskId?: string },
    keyset: Keyset,
  ): Promise<AuditEntry[]>;
  /** The task's events after an instant, newest first: what `asOf` takes back. */
  since(taskId: string, instant: Date): Promise<{ type: EventType; data: JsonObject }[]>;
}

export interface ImportRunStore {
  list(projectId: string, keyset: Keyset): Promise<ImportRun[]>;
  insert(input: {
    id: string;
    projectId: string;
    actorId: string;
    mode: "strict" | "quarantine";
    sha256: string;
    report: JsonObject;
  }): Promise<void>;
}

export interface IdempotencyStore {
  /**
   * Takes the key for this transaction, waiting for another one that has it. Undefined when the key is new; else what
   * the first change under it left.
   */
  reserve(
    actorId: string,
    keyHash: string,
    fingerprint: string,
  ): Promise<{ fingerprint: string; result: string } | undefined>;
  complete(actorId: string, keyHash: string, result: string): Promise<void>;
}

// ---- webhooks

export interface WebhookStore {
  list(keyset: Keyset): Promise<Webhook[]>;
  find(id: string): Promise<Webhook | undefined>;
  count(): Promise<number>;
  /** The secret is sealed. */
  insert(input: {
    id: string;
    projectId: string | null;
    url: string;
    description: string;
    events: string[];
    secret: string;
  }): Promise<Webhook>;
  /** Undefined when the version is another. `disabled: false` also forgets how long it has failed. */
  update(
    id: string,
    patch: { url?: string; description?: string; events?: string[]; disabled?: boolean },
    version: number,
  ): Promise<Webhook | undefined>;
  delete(id: string, version: number): Promise<boolean>;
  /** Keeps the present secret beside the new one for so many hours; one that is older goes. */
  rotate(id: string, secret: string, overlapHours: number): Promise<Webhook | undefined>;
  /** Notes that an attempt succeeded. */
  succeeded(id: string): Promise<void>;
  /** Notes that an attempt failed, and returns for how many hours none has succeeded; undefined when it is gone. */
  failed(id: string): Promise<number | undefined>;
  /** False when it is gone or disabled already. */
  disable(id: string, reason: DisabledReason): Promise<boolean>;
}

export interface DeliveryStore {
  /** Newest first; keyset [id]. */
  list(webhookId: string, state: DeliveryState | undefined, keyset: Keyset): Promise<Delivery[]>;
  find(id: string): Promise<Delivery | undefined>;
  /** Of a message that is of no event; those of events are written where the event is. */
  insert(input: { id: string; webhookId: string; type: string; data: JsonObject }): Promise<Delivery>;
  /** To be sent again from the first attempt on. Undefined when it is waiting to be sent already. */
  replay(id: string): Promise<Delivery | undefined>;
  /** The same with the dead letters of a webhook, the oldest ten thousand; returns how many. */
  replayDead(webhookId: string): Promise<number>;
  /** Makes dead letters of what waits, of ten thousand at most: for a disabled webhook, none of which is sent anyway. */
  giveUp(webhookId: string, error: string): Promise<void>;
  /** What came of an attempt. False when it was taken anew since, or is gone: then the result is another's to write. */
  settle(result: DeliveryResult): Promise<boolean>;
  /** Gives back what was not tried after all, to be taken after so many seconds. */
  release(id: string, fence: number, seconds: number): Promise<void>;
}

export interface DeliveryResult {
  id: string;
  fence: number;
  responseStatus: number | null;
  durationMs: number;
  /** Null for an attempt that succeeded. */
  error: string | null;
  /** Until the next attempt; null when there is none. */
  retryInSeconds: number | null;
}

/**
 * Takes deliveries that are due, of enabled webhooks only: the longest due first, at most `limit`, and of one webhook
 * at most `perWebhook` together with those `underWay` (only one, while it is failing), so that one that hangs holds up
 * no other. Nobody else gets them before `leaseSeconds` are over; then they are taken to be lost with their process.
 */
export interface DeliveryClaim {
  limit: number;
  perWebhook: number;
  underWay: { webhook: string; count: number }[];
  leaseSeconds: number;
}

export interface ClaimedDelivery {
  id: string;
  organizationId: string;
  webhookId: string;
  type: string;
  data: JsonObject;
  /** The W3C traceparent of what the message tells of; null when nobody traced it. */
  trace: string | null;
  createdAt: string;
  /** This one included. */
  attempts: number;
  fence: number;
  url: string;
  /** Sealed; the present one first. */
  secrets: string[];
  /** The database's clock, in seconds since 1970. */
  now: number;
}

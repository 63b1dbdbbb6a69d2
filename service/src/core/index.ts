import type { Access } from "./access/service.ts";
import type { Agents } from "./agents/service.ts";
import type { Attempts } from "./attempts/service.ts";
import type { Claims } from "./claims/service.ts";
import type { Comments } from "./comments/service.ts";
import type { Dependencies } from "./dependencies/service.ts";
import type { Events } from "./events/service.ts";
import type { Graphs } from "./graph/service.ts";
import type { ImportExport } from "./import-export/service.ts";
import type { Memberships } from "./memberships/service.ts";
import type { Organizations } from "./organizations/service.ts";
import type { Projects } from "./projects/service.ts";
import type { StorageCheck } from "./storage.ts";
import type { Tags } from "./tags/service.ts";
import type { Tasks } from "./tasks/service.ts";
import type { Tokens } from "./tokens/service.ts";
import type { Webhooks } from "./webhooks/service.ts";

/** Every use case. An edge holds a schema and one call of these. */
export interface Core {
  access: Access;
  organizations: Organizations;
  memberships: Memberships;
  agents: Agents;
  tokens: Tokens;
  projects: Projects;
  tags: Tags;
  tasks: Tasks;
  dependencies: Dependencies;
  graphs: Graphs;
  claims: Claims;
  attempts: Attempts;
  comments: Comments;
  events: Events;
  importExport: ImportExport;
  webhooks: Webhooks;
  /** Whether the storage answers and has the schema that the program needs. */
  check(): Promise<StorageCheck>;
}

export type { Access, Caller, SessionClaims } from "./access/service.ts";
export * from "./agents/schema.ts";
export * from "./attempts/schema.ts";
export * from "./claims/schema.ts";
export * from "./comments/schema.ts";
export { type Context, type Role, roles, scopes } from "./context.ts";
export * from "./dependencies/schema.ts";
export { AppError, type ErrorCode, type InputError } from "./errors.ts";
export * from "./events/schema.ts";
export * from "./graph/schema.ts";
export * from "./import-export/schema.ts";
export * from "./memberships/schema.ts";
export * from "./organizations/schema.ts";
export * from "./page.ts";
export * from "./projects/schema.ts";
export * from "./schema.ts";
export type { StorageCheck } from "./storage.ts";
export * from "./tags/schema.ts";
export * from "./tasks/schema.ts";
export type { Precondition } from "./tasks/service.ts";
export { escapePointer, findUnstorable } from "./text.ts";
export * from "./tokens/schema.ts";
export * from "./webhooks/addresses.ts";
export type { Outcome, OutgoingMessage } from "./webhooks/deliver.ts";
export * from "./webhooks/schema.ts";

import type { Repositories, Transaction } from "../../core/storage.ts";
import { withoutWebhooks } from "../../core/webhooks/unsupported.ts";
import { createAgentStore } from "./agents.ts";
import { createAttemptStore } from "./attempts.ts";
import { createClaimStore } from "./claims.ts";
import { createCommentStore } from "./comments.ts";
import { createDependencyStore } from "./dependencies.ts";
import type { Db } from "./engine.ts";
import { createEventStore } from "./events.ts";
import { createIdempotencyStore } from "./idempotency.ts";
import { createOrganization } from "./identity.ts";
import { createImportRunStore } from "./import-runs.ts";
import { createLinkStore } from "./links.ts";
import { createMembershipStore } from "./memberships.ts";
import { createOrganizationStore } from "./organizations.ts";
import { createProjectStore } from "./projects.ts";
import { createReceiverStore } from "./receivers.ts";
import { createTagStore } from "./tags.ts";
import { createTaskStore } from "./tasks.ts";
import { createTokenStore } from "./tokens.ts";

export function createRepositories(db: Db, organizationId: string): Repositories {
  return {
    organizations: createOrganizationStore(db, organizationId),
    memberships: createMembershipStore(db, organizationId),
    agents: createAgentStore(db, organizationId),
    tokens: createTokenStore(db, organizationId),
    projects: createProjectStore(db, organizationId),
    tags: createTagStore(db, organizationId),
    tasks: createTaskStore(db, organizationId),
    dependencies: createDependencyStore(db, organizationId),
    claims: createClaimStore(db, organizationId),
    attempts: createAttemptStore(db, organizationId),
    comments: createCommentStore(db, organizationId),
    links: createLinkStore(db, organizationId),
    receivers: createReceiverStore(db, organizationId),
    events: createEventStore(db, organizationId),
    importRuns: createImportRunStore(db, organizationId),
    ...withoutWebhooks,
  };
}

export function createTransaction(db: Db, organizationId: string): Transaction {
  return {
    ...createRepositories(db, organizationId),
    idempotency: createIdempotencyStore(db, organizationId),
    createOrganization: async (input) => await createOrganization(db, input),
    // The machine's clock: the folder has none of its own. In its turn, so not before what was asked for before it.
    now: async () => await db.read(() => new Date()),
  };
}

import type { Repositories, Transaction } from "../../core/storage.ts";
import { createAgentStore } from "./agents.ts";
import { createAttemptStore } from "./attempts.ts";
import { createClaimStore } from "./claims.ts";
import { createCommentStore } from "./comments.ts";
import { createDeliveryStore } from "./deliveries.ts";
import { createDependencyStore } from "./dependencies.ts";
import { createEventStore } from "./events.ts";
import { createIdempotencyStore } from "./idempotency.ts";
import { createOrganization } from "./identity.ts";
import { createImportRunStore } from "./import-runs.ts";
import { createLinkStore } from "./links.ts";
import { createMembershipStore } from "./memberships.ts";
import { createOrganizationStore } from "./organizations.ts";
import { createProjectStore } from "./projects.ts";
import { createReceiverStore } from "./receivers.ts";
import { type Db, iso, only, sql } from "./sql.ts";
import { createTagStore } from "./tags.ts";
import { createTaskStore } from "./tasks.ts";
import { createTokenStore } from "./tokens.ts";
import { createWebhookStore } from "./webhooks.ts";

/** `appended` hears of the projects that got events. */
export function createRepositories(
  db: Db,
  organizationId: string,
  appended: (projectIds: string[]) => void,
): Repositories {
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
    events: createEventStore(db, organizationId, appended),
    links: createLinkStore(db, organizationId),
    receivers: createReceiverStore(db, organizationId),
    importRuns: createImportRunStore(db, organizationId),
    webhooks: createWebhookStore(db, organizationId),
    deliveries: createDeliveryStore(db, organizationId),
  };
}

export function createTransaction(
  db: Db,
  organizationId: string,
  appended: (projectIds: string[]) => void,
): Transaction {
  return {
    ...createRepositories(db, organizationId, appended),
    idempotency: createIdempotencyStore(db, organizationId),
    createOrganization: async (input) => await createOrganization(db, input),
    async now() {
      // Rounded to a millisecond as what is stored is: cut off, it could be before what was stored just now.
      const rows = await db.query<{ now: string }>(
        sql`SELECT ${iso("clock_timestamp()::timestamptz(3)")} AS now`,
      );
      return new Date(only(rows).now);
    },
  };
}

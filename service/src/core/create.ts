import { createRecentCredentials } from "./access/recent.ts";
import { createAccess } from "./access/service.ts";
import { createAgents } from "./agents/service.ts";
import { createAttempts } from "./attempts/service.ts";
import { createClaims } from "./claims/service.ts";
import { createComments } from "./comments/service.ts";
import { createDependencies } from "./dependencies/service.ts";
import { createEvents } from "./events/service.ts";
import { createFeatureFlags, type Flags, noFlagSource } from "./flags/service.ts";
import { createGraphs } from "./graph/service.ts";
import { createImportExport } from "./import-export/service.ts";
import type { Core } from "./index.ts";
import { createLinks } from "./links/service.ts";
import { createMemberships } from "./memberships/service.ts";
import { createOrganizations } from "./organizations/service.ts";
import type { LanguageModel } from "./planning/model.ts";
import { createPlanning } from "./planning/service.ts";
import { isOverwhelmed } from "./pressure.ts";
import { createProjects } from "./projects/service.ts";
import { createReceivers } from "./receivers/service.ts";
import { createSealer } from "./secrets.ts";
import type { Storage } from "./storage.ts";
import { createTags } from "./tags/service.ts";
import { createTasks } from "./tasks/service.ts";
import { createTokens } from "./tokens/service.ts";
import { createWebhooks, type WebhookOptions } from "./webhooks/service.ts";

export interface CoreOptions {
  /** Without one, what needs a language model is refused. */
  languageModel?: LanguageModel | null;
  flags?: Flags;
  webhooks?: WebhookOptions;
}

/** All use cases over one storage. `secret` is the server's own, of at least 32 bytes. */
export async function createCore(
  storage: Storage,
  secret: string,
  { languageModel = null, flags = noFlagSource, webhooks = {} }: CoreOptions = {},
): Promise<Core> {
  const credentials = createRecentCredentials();
  const services = { storage, sealer: await createSealer(secret), flags, credentials };
  return {
    access: createAccess(services),
    organizations: createOrganizations(services),
    memberships: createMemberships(services),
    agents: createAgents(services),
    tokens: createTokens(services),
    projects: createProjects(services),
    tags: createTags(services),
    tasks: createTasks(services),
    dependencies: createDependencies(services),
    graphs: createGraphs(services),
    claims: createClaims(services),
    attempts: createAttempts(services),
    comments: createComments(services),
    links: createLinks(services),
    receivers: createReceivers(services),
    events: createEvents(services),
    importExport: createImportExport(services),
    planning: createPlanning(services, languageModel),
    flags: createFeatureFlags(services),
    webhooks: createWebhooks(services, webhooks),
    check: () => storage.check(),
    isOverwhelmed: () => isOverwhelmed(storage.connections()),
  };
}

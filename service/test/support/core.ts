import { createFirstOwner } from "../../src/core/access/bootstrap.ts";
import type { Context } from "../../src/core/context.ts";
import { createCore } from "../../src/core/create.ts";
import { type Flags, noFlagSource } from "../../src/core/flags/service.ts";
import type { Core, LanguageModel } from "../../src/core/index.ts";
import type { Storage } from "../../src/core/storage.ts";
import type { WebhookOptions } from "../../src/core/webhooks/service.ts";
import { openPostgres } from "../../src/storage/postgres/open.ts";
import { createTestDatabase } from "./database.ts";

export interface TestCore {
  core: Core;
  storage: Storage;
  connectionString: string;
  /** The first organization's owner. */
  owner: Context;
  /** A new agent of the owner's organization. */
  addAgent(name: string): Promise<Context>;
  close(): Promise<void>;
}

export const testSecret = "a secret for tests, of thirty-two bytes or more";

/** The whole core on a database of its own; `wrap` may stand between the two, to take something away. */
export async function openTestCore({
  poolSize = 20,
  wrap = (storage: Storage) => storage,
  languageModel = null as LanguageModel | null,
  flags = noFlagSource as Flags,
  webhooks = {} as WebhookOptions,
} = {}): Promise<TestCore> {
  const database = await createTestDatabase();
  const real = await openPostgres({
    connectionString: database.connectionString,
    poolSize,
    statementTimeoutMs: 20_000,
  });
  const storage = wrap(real);
  const core = await createCore(storage, testSecret, { languageModel, flags, webhooks });
  const first = await createFirstOwner(real, { organization: "first", email: "owner@example.com" });
  if (first === undefined) throw new Error("the test database was not empty");
  const owner: Context = { ...(await core.access.fromAccessToken(first.token)), requestId: "test" };
  return {
    core,
    storage,
    connectionString: database.connectionString,
    owner,
    async addAgent(name) {
      const agent = await core.agents.create(owner, { name });
      const { token } = await core.tokens.create(owner, { name, agent: agent.id });
      return { ...(await core.access.fromAccessToken(token)), requestId: "test" };
    },
    async close() {
      await real.close();
      await database.drop();
    },
  };
}

/** Counts what each of many promises came to: its value, or the code of its refusal. */
export async function outcomes(work: Promise<unknown>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const result of await Promise.allSettled(work)) {
    const key =
      result.status === "fulfilled"
        ? "ok"
        : String((result.reason as { code?: string }).code ?? result.reason);
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

import { change, changesOf, record, type Services, staleWrite, versionMismatch } from "../change.ts";
import type { Context } from "../context.ts";
import { newId } from "../ids.ts";
import { getById } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import type { Agent, AgentPatch, NewAgent } from "./schema.ts";

export interface Agents {
  list(ctx: Context, page: PageRequest): Promise<Page<Agent>>;
  get(ctx: Context, id: string): Promise<Agent>;
  create(ctx: Context, input: NewAgent): Promise<Agent>;
  update(ctx: Context, id: string, patch: AgentPatch, version: number): Promise<Agent>;
  /** With its membership and tokens; its claims run out by themselves. */
  delete(ctx: Context, id: string, version: number): Promise<void>;
}

export function createAgents(services: Services): Agents {
  return {
    async list(ctx, page) {
      authorize(ctx, "agent:read");
      const keyset = openPage("agents", page, ["uuid"]);
      const rows = await services.storage.reader(ctx.organizationId).agents.list(keyset);
      return closePage("agents", keyset, rows, (row) => [row.id]);
    },

    async get(ctx, id) {
      authorize(ctx, "agent:read");
      return getById("agent", id, services.storage.reader(ctx.organizationId).agents.find);
    },

    async create(ctx, input) {
      authorize(ctx, "agent:write");
      return change(services, ctx, { operation: "agent.create", input }, async (tx) => {
        const agent = await tx.agents.insert({
          id: newId(),
          membershipId: newId(),
          name: input.name,
          description: input.description ?? "",
          capabilities: input.capabilities ?? [],
        });
        await record(tx, ctx, "agent.created", {}, { agent: agent.id, name: agent.name });
        return agent;
      });
    },

    async update(ctx, id, patch, version) {
      authorize(ctx, "agent:write");
      return change(
        services,
        ctx,
        { operation: "agent.update", input: { id, patch, version }, restricts: true },
        async (tx) => {
          const before = await getById("agent", id, tx.agents.find);
          if (before.version !== version) throw versionMismatch("agent", version, before.version);
          const changes = changesOf(before, patch);
          if (Object.keys(changes).length === 0) return before;
          const after = await tx.agents.update(before.id, patch, version);
          if (after === undefined) throw await staleWrite("agent", before.id, version, tx.agents.find);
          await record(tx, ctx, "agent.updated", {}, { agent: before.id, changes });
          return after;
        },
      );
    },

    async delete(ctx, id, version) {
      authorize(ctx, "agent:write");
      await change(
        services,
        ctx,
        { operation: "agent.delete", input: { id, version }, restricts: true },
        async (tx) => {
          const before = await getById("agent", id, tx.agents.find);
          if (!(await tx.agents.delete(before.id, version)))
            throw await staleWrite("agent", before.id, version, tx.agents.find);
          await record(tx, ctx, "agent.deleted", {}, { agent: before.id, name: before.name });
        },
      );
    },
  };
}

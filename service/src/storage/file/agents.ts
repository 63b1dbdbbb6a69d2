import type { Agent } from "../../core/agents/schema.ts";
import type { AgentStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { type AgentRow, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { pageById, plain, removeMembership } from "./rows.ts";

function agentOf({ organizationId: _, disabledAt, ...agent }: AgentRow): Agent {
  return { ...agent, disabled: disabledAt !== null };
}

export function createAgentStore(db: Db, organizationId: string): AgentStore {
  const { own, getLocked } = owned(organizationId);

  return {
    list: async (keyset) =>
      await db.read((rows) =>
        pageById(rows.agents.where("organization", organizationId), keyset).map(agentOf),
      ),

    find: async (id) =>
      await db.read((rows) => {
        const agent = own(rows.agents.get(id));
        return agent && agentOf(agent);
      }),

    insert: async ({ id, membershipId, name, description, capabilities }) =>
      await db.write(({ rows }) => {
        const now = timestamp();
        const dates = { version: 1, createdAt: now, updatedAt: now };
        const agent: AgentRow = {
          ...{ id, organizationId, name, description, capabilities: plain(capabilities), disabledAt: null },
          ...dates,
        };
        rows.agents.put(agent);
        rows.memberships.put({
          ...{ id: membershipId, organizationId, userId: null, agentId: id, role: "agent" },
          ...dates,
        });
        return agentOf(agent);
      }),

    update: async (id, { disabled, ...patch }, version) =>
      await db.write(async (tx) => {
        const agent = await getLocked(tx, "agents", id);
        if (agent?.version !== version) return undefined;
        const now = timestamp();
        const after: AgentRow = {
          ...agent,
          ...plain(patch),
          ...(disabled === undefined ? {} : { disabledAt: disabled ? (agent.disabledAt ?? now) : null }),
          version: version + 1,
          updatedAt: now,
        };
        tx.rows.agents.put(after);
        return agentOf(after);
      }),

    delete: async (id, version) =>
      await db.write(async (tx) => {
        const agent = await getLocked(tx, "agents", id);
        if (agent?.version !== version) return false;
        for (const membership of tx.rows.memberships.where("agent", id)) {
          removeMembership(tx.rows, membership.id);
        }
        tx.rows.agents.remove(id);
        return true;
      }),
  };
}

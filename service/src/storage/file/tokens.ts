import type { TokenStore } from "../../core/storage.ts";
import type { AccessToken } from "../../core/tokens/schema.ts";
import type { Db } from "./engine.ts";
import { type Reading, type TokenRow, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { gone, memberOf, pageById, plain, timestampAfter } from "./rows.ts";

const dayMs = 86_400_000;

function tokenOf(rows: Reading, row: TokenRow): AccessToken {
  const { id, name, hint, scopes, expiresAt, revokedAt, createdAt } = row;
  const membership = rows.memberships.get(row.membershipId);
  if (membership === undefined) throw gone();
  return { id, name, owner: memberOf(rows, membership), hint, scopes, expiresAt, revokedAt, createdAt };
}

export function createTokenStore(db: Db, organizationId: string): TokenStore {
  const { own } = owned(organizationId);

  return {
    list: async (keyset, ownerId) =>
      await db.read((rows) => {
        const tokens = rows.tokens.where("organization", organizationId).filter((token) => {
          const membership = rows.memberships.get(token.membershipId);
          return ownerId === undefined || membership?.userId === ownerId || membership?.agentId === ownerId;
        });
        return pageById(tokens, keyset).map((token) => tokenOf(rows, token));
      }),

    find: async (id) =>
      await db.read((rows) => {
        const token = own(rows.tokens.get(id));
        return token && tokenOf(rows, token);
      }),

    insert: async ({ id, owner, name, hash, hint, scopes, expiresInDays }) =>
      await db.write(({ rows }) => {
        const membership = own(
          "membershipId" in owner
            ? rows.memberships.get(owner.membershipId)
            : rows.memberships.where("agent", owner.agentId)[0],
        );
        if (membership === undefined) return undefined;
        const now = Date.now();
        const token: TokenRow = {
          ...{ id, organizationId, membershipId: membership.id, name, hash, hint, scopes: plain(scopes) },
          createdAt: timestamp(now),
          expiresAt: timestampAfter(now, expiresInDays * dayMs),
          revokedAt: null,
        };
        rows.tokens.put(token);
        return tokenOf(rows, token);
      }),

    revoke: async (id) =>
      await db.write(async ({ rows, lock }) => {
        await lock("tokens", id);
        const token = own(rows.tokens.get(id));
        if (token === undefined || token.revokedAt !== null) return undefined;
        const revoked: TokenRow = { ...token, revokedAt: timestamp() };
        rows.tokens.put(revoked);
        return tokenOf(rows, revoked);
      }),
  };
}

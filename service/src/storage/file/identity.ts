import type { Organization } from "../../core/organizations/schema.ts";
import type { IdentityStore, Principal, TokenOwner, UserIdentity } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { addUser } from "./memberships.ts";
import { type MembershipRow, pair, type Reading, type TokenRow, timestamp, type UserRow } from "./model.ts";
import { findReceiver } from "./receivers.ts";
import { byId, compare, eventDraft, gone, memberOf, plain } from "./rows.ts";

type NewOrganization = Parameters<IdentityStore["createOrganization"]>[0];

function principal(rows: Reading, membership: MembershipRow): Principal {
  const agent = membership.agentId === null ? undefined : rows.agents.get(membership.agentId);
  return {
    organizationId: membership.organizationId,
    membershipId: membership.id,
    actor: memberOf(rows, membership),
    role: membership.role,
    disabled: agent !== undefined && agent.disabledAt !== null,
  };
}

function inOrganization(
  rows: Reading,
  membership: MembershipRow,
): Principal & { organization: Organization } {
  const organization = rows.organizations.get(membership.organizationId);
  if (organization === undefined) throw gone();
  return { ...principal(rows, membership), organization };
}

function tokenOwner(rows: Reading, token: TokenRow | undefined): TokenOwner | undefined {
  const membership = token && rows.memberships.get(token.membershipId);
  return (
    membership && {
      ...principal(rows, membership),
      tokenId: token.id,
      scopes: token.scopes,
      revoked: token.revokedAt !== null,
      expired: token.expiresAt <= timestamp(),
    }
  );
}

export function createIdentityStore(db: Db): IdentityStore {
  return {
    findToken: async (hash) => await db.read((rows) => tokenOwner(rows, rows.tokens.where("hash", hash)[0])),

    findTokenById: async (tokenId) => await db.read((rows) => tokenOwner(rows, rows.tokens.get(tokenId))),

    findStandings: async (credentials) =>
      await db.read((rows) =>
        credentials.map(({ membershipId, tokenId }) => {
          const membership = rows.memberships.get(membershipId);
          const token = tokenId === null ? undefined : rows.tokens.get(tokenId);
          if (membership === undefined || (tokenId !== null && token === undefined)) return undefined;
          const { role, disabled } = principal(rows, membership);
          const revoked = token !== undefined && token.revokedAt !== null;
          const expired = token !== undefined && token.expiresAt <= timestamp();
          return { role, disabled, revoked, expired };
        }),
      ),

    findReceiver: async (id) => await db.read((rows) => findReceiver(rows, id)),

    listPrincipals: async (member) =>
      await db.read((rows) => {
        const memberships =
          "userId" in member
            ? rows.memberships.where("user", member.userId)
            : rows.memberships.where("agent", member.agentId);
        return memberships.sort(byId).map((membership) => inOrganization(rows, membership));
      }),

    findUser: async (by) =>
      await db.read((rows) => {
        const [user] =
          "email" in by
            ? rows.users.where("email", by.email)
            : rows.users.where("identity", pair(by.issuer, by.subject));
        return user && userIdentity(user);
      }),

    bindUser: async (userId, issuer, subject) =>
      await db.write(async ({ rows, lock }) => {
        await lock("users", userId);
        const user = rows.users.get(userId);
        if (user === undefined || user.issuer !== null) return false;
        rows.users.put({ ...user, issuer, subject });
        return true;
      }),

    createOrganization: async (input) => await createOrganization(db, input),

    countOrganizations: async () => await db.read((rows) => rows.organizations.all().length),

    firstOwner: async () =>
      await db.read((rows) => {
        const [first] = rows.memberships
          .all()
          .filter(({ role }) => role === "owner")
          .map((membership) => ({ membership, ...inOrganization(rows, membership) }))
          .sort(
            (a, b) =>
              compare(a.organization.createdAt, b.organization.createdAt) ||
              byId(a.organization, b.organization) ||
              compare(a.membership.createdAt, b.membership.createdAt) ||
              byId(a.membership, b.membership),
          );
        return first && inOrganization(rows, first.membership);
      }),
  };
}

/** In the transaction that it is given. */
export async function createOrganization(
  db: Db,
  { organization: { id, slug, name }, owner, event }: NewOrganization,
): Promise<{ organization: Organization; principal: Principal }> {
  return await db.write(async (tx) => {
    const now = timestamp();
    const dates = { version: 1, createdAt: now, updatedAt: now };
    const organization = { id, slug, name, ...dates };
    tx.rows.organizations.put(organization);
    const userId = await addUser(tx, { id: owner.userId, email: owner.email, name: owner.name });
    const membership: MembershipRow = {
      ...{ id: owner.membershipId, organizationId: id, userId, agentId: null, role: "owner" },
      ...dates,
    };
    tx.rows.memberships.put(membership);
    tx.append(eventDraft(id, plain(event), now));
    return { organization, principal: principal(tx.rows, membership) };
  });
}

function userIdentity({ id, email, name, issuer, subject }: UserRow): UserIdentity {
  return { id, email, name, issuer, subject };
}

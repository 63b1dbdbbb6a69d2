import type { Membership } from "../../core/memberships/schema.ts";
import type { MembershipStore } from "../../core/storage.ts";
import type { Db, Tx } from "./engine.ts";
import { type MembershipRow, type Reading, timestamp } from "./model.ts";
import { owned } from "./owned.ts";
import { byId, memberOf, pageById, removeMembership } from "./rows.ts";

function membershipOf(rows: Reading, row: MembershipRow): Membership {
  const { id, role, version, createdAt, updatedAt } = row;
  const email = (row.userId === null ? undefined : rows.users.get(row.userId)?.email) ?? null;
  return { id, member: memberOf(rows, row), email, role, version, createdAt, updatedAt };
}

/** The user of that address, made when there is none; gives the id. */
export async function addUser(
  { rows, lock }: Tx,
  { id, email, name }: { id: string; email: string; name: string },
): Promise<string> {
  // By its address: two who add one person at once must not make two.
  await lock("users", email);
  const [known] = rows.users.where("email", email);
  if (known !== undefined) return known.id;
  rows.users.put({ id, email, name, issuer: null, subject: null, createdAt: timestamp() });
  return id;
}

export function createMembershipStore(db: Db, organizationId: string): MembershipStore {
  const { own, getLocked } = owned(organizationId);

  const owners = (rows: Reading): MembershipRow[] =>
    rows.memberships
      .where("organization", organizationId)
      .filter(({ role }) => role === "owner")
      .sort(byId);

  return {
    list: async (keyset) =>
      await db.read((rows) =>
        pageById(rows.memberships.where("organization", organizationId), keyset).map((row) =>
          membershipOf(rows, row),
        ),
      ),

    find: async (id) =>
      await db.read((rows) => {
        const row = own(rows.memberships.get(id));
        return row && membershipOf(rows, row);
      }),

    insert: async ({ id, userId: newUserId, email, name, role }) =>
      await db.write(async (tx) => {
        const userId = await addUser(tx, { id: newUserId, email, name });
        const now = timestamp();
        const dates = { version: 1, createdAt: now, updatedAt: now };
        const row: MembershipRow = { id, organizationId, userId, agentId: null, role, ...dates };
        tx.rows.memberships.put(row);
        return membershipOf(tx.rows, row);
      }),

    updateRole: async (id, role, version) =>
      await db.write(async (tx) => {
        const row = await getLocked(tx, "memberships", id);
        if (row?.version !== version) return undefined;
        const after: MembershipRow = { ...row, role, version: version + 1, updatedAt: timestamp() };
        tx.rows.memberships.put(after);
        return membershipOf(tx.rows, after);
      }),

    delete: async (id, version) =>
      await db.write(async (tx) => {
        const row = await getLocked(tx, "memberships", id);
        if (row?.version !== version) return false;
        removeMembership(tx.rows, id);
        return true;
      }),

    countOwnersLocked: async () =>
      await db.write(async (tx) => {
        for (const { id } of owners(tx.rows)) await tx.lock("memberships", id);
        return owners(tx.rows).length;
      }),
  };
}

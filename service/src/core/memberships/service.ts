import { change, record, type Services, staleWrite, versionMismatch } from "../change.ts";
import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { newId } from "../ids.ts";
import { getById } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize, authorizeRole } from "../policy.ts";
import type { Transaction } from "../storage.ts";
import type { Membership, MembershipPatch, NewMembership } from "./schema.ts";

export interface Memberships {
  list(ctx: Context, page: PageRequest): Promise<Page<Membership>>;
  get(ctx: Context, id: string): Promise<Membership>;
  create(ctx: Context, input: NewMembership): Promise<Membership>;
  /** Nobody gives or takes a role above their own, and the last owner stays. */
  update(ctx: Context, id: string, patch: MembershipPatch, version: number): Promise<Membership>;
  delete(ctx: Context, id: string, version: number): Promise<void>;
}

export function createMemberships(services: Services): Memberships {
  /** Behind the lock on the owners, so that two who leave at once are not both told that the other stays. */
  async function keepAnOwner(tx: Transaction, leaving: Membership): Promise<void> {
    if (leaving.role === "owner" && (await tx.memberships.countOwnersLocked()) <= 1) {
      throw new AppError(
        "conflict",
        "This is the organization's last owner; make somebody else an owner first.",
      );
    }
  }

  return {
    async list(ctx, page) {
      authorize(ctx, "member:read");
      const keyset = openPage("memberships", page, ["uuid"]);
      const rows = await services.storage.reader(ctx.organizationId).memberships.list(keyset);
      return closePage("memberships", keyset, rows, (row) => [row.id]);
    },

    async get(ctx, id) {
      authorize(ctx, "member:read");
      return getById("membership", id, services.storage.reader(ctx.organizationId).memberships.find);
    },

    async create(ctx, input) {
      authorize(ctx, "member:write");
      authorizeRole(ctx, input.role);
      return change(services, ctx, { operation: "membership.create", input }, async (tx) => {
        const email = input.email.toLowerCase();
        const membership = await tx.memberships.insert({ ...input, email, id: newId(), userId: newId() });
        await record(
          tx,
          ctx,
          "membership.created",
          {},
          { membership: membership.id, email, role: input.role },
        );
        return membership;
      });
    },

    async update(ctx, id, patch, version) {
      authorize(ctx, "member:write");
      if (patch.role !== undefined) authorizeRole(ctx, patch.role);
      return change(
        services,
        ctx,
        { operation: "membership.update", input: { id, patch, version }, restricts: true },
        async (tx) => {
          const before = await getById("membership", id, tx.memberships.find);
          authorizeRole(ctx, before.role);
          if (before.version !== version) throw versionMismatch("membership", version, before.version);
          if (patch.role === undefined || patch.role === before.role) return before;
          if (before.role === "agent") {
            throw new AppError("conflict", "An agent's role is fixed; disable or delete the agent instead.");
          }
          await keepAnOwner(tx, before);
          const after = await tx.memberships.updateRole(before.id, patch.role, version);
          if (after === undefined)
            throw await staleWrite("membership", before.id, version, tx.memberships.find);
          await record(
            tx,
            ctx,
            "membership.updated",
            {},
            {
              membership: before.id,
              changes: { role: [before.role, after.role] },
            },
          );
          return after;
        },
      );
    },

    async delete(ctx, id, version) {
      authorize(ctx, "member:write");
      await change(
        services,
        ctx,
        { operation: "membership.delete", input: { id, version }, restricts: true },
        async (tx) => {
          const before = await getById("membership", id, tx.memberships.find);
          authorizeRole(ctx, before.role);
          if (before.version !== version) throw versionMismatch("membership", version, before.version);
          if (before.role === "agent") {
            throw new AppError(
              "conflict",
              "An agent's membership goes with the agent; delete the agent instead.",
            );
          }
          await keepAnOwner(tx, before);
          if (!(await tx.memberships.delete(before.id, version)))
            throw await staleWrite("membership", before.id, version, tx.memberships.find);
          await record(
            tx,
            ctx,
            "membership.deleted",
            {},
            {
              membership: before.id,
              member: before.member,
              role: before.role,
            },
          );
        },
      );
    },
  };
}

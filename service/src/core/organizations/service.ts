import { change, changesOf, record, type Services, versionMismatch } from "../change.ts";
import type { Context } from "../context.ts";
import { AppError, notFound } from "../errors.ts";
import { newId } from "../ids.ts";
import { authorize } from "../policy.ts";
import type { Repositories } from "../storage.ts";
import type { NewOrganization, Organization, OrganizationPatch } from "./schema.ts";

export interface Organizations {
  /** The caller's own organization; `slug` of another one is not found. */
  get(ctx: Context, slug: string): Promise<Organization>;
  /** A new organization with the caller, who must be a user, as its owner. */
  create(ctx: Context, input: NewOrganization): Promise<Organization>;
  update(ctx: Context, slug: string, patch: OrganizationPatch, version: number): Promise<Organization>;
}

export function createOrganizations(services: Services): Organizations {
  async function own(tx: Repositories, slug: string): Promise<Organization> {
    const organization = await tx.organizations.get();
    if (organization.slug !== slug) throw notFound("organization", slug);
    return organization;
  }

  return {
    async get(ctx, slug) {
      authorize(ctx, "organization:read");
      return own(services.storage.reader(ctx.organizationId), slug);
    },

    async create(ctx, input) {
      authorize(ctx, "organization:create");
      if (ctx.actor.kind !== "user") {
        throw new AppError("forbidden", "Only a user can own an organization; agents belong to one.");
      }
      return change(services, ctx, { operation: "organization.create", input }, async (tx) => {
        const self = await tx.memberships.find(ctx.membershipId);
        if (self?.email == null) throw notFound("membership", ctx.membershipId);
        const { organization } = await tx.createOrganization({
          organization: { id: newId(), slug: input.slug, name: input.name },
          owner: { membershipId: newId(), userId: ctx.actor.id, email: self.email, name: ctx.actor.name },
          event: {
            type: "organization.created",
            projectId: null,
            taskId: null,
            actor: ctx.actor,
            requestId: ctx.requestId,
            data: { slug: input.slug, name: input.name },
          },
        });
        return organization;
      });
    },

    async update(ctx, slug, patch, version) {
      authorize(ctx, "organization:update");
      return change(
        services,
        ctx,
        { operation: "organization.update", input: { slug, patch, version } },
        async (tx) => {
          const before = await own(tx, slug);
          if (before.version !== version) throw versionMismatch("organization", version, before.version);
          const changes = changesOf(before, patch);
          if (Object.keys(changes).length === 0) return before;
          const after = await tx.organizations.update(patch, version);
          if (after === undefined)
            throw versionMismatch("organization", version, (await own(tx, slug)).version);
          await record(tx, ctx, "organization.updated", {}, { changes });
          return after;
        },
      );
    },
  };
}

import { notFound } from "../../core/errors.ts";
import type { OrganizationStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { timestamp } from "./model.ts";
import { plain } from "./rows.ts";

export function createOrganizationStore(db: Db, organizationId: string): OrganizationStore {
  return {
    get: async () =>
      await db.read((rows) => {
        const organization = rows.organizations.get(organizationId);
        if (organization === undefined) throw notFound("organization", organizationId);
        return { ...organization };
      }),

    update: async (patch, version) =>
      await db.write(async ({ rows, lock }) => {
        await lock("organizations", organizationId);
        const organization = rows.organizations.get(organizationId);
        if (organization?.version !== version) return undefined;
        const after = { ...organization, ...plain(patch), version: version + 1, updatedAt: timestamp() };
        rows.organizations.put(after);
        return after;
      }),
  };
}

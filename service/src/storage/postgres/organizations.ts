import { notFound } from "../../core/errors.ts";
import type { Organization } from "../../core/organizations/schema.ts";
import type { OrganizationStore } from "../../core/storage.ts";
import { assignments, type Db, first, iso, sql } from "./sql.ts";

export const organizationColumns = sql`o.id, o.slug, o.name, o.version,
  ${iso("o.created_at")} AS "createdAt", ${iso("o.updated_at")} AS "updatedAt"`;

export function createOrganizationStore(db: Db, organizationId: string): OrganizationStore {
  return {
    async get() {
      const rows = await db.query<Organization>(
        sql`SELECT ${organizationColumns} FROM organizations o WHERE o.id = ${organizationId}::uuid`,
      );
      const organization = first(rows);
      if (organization === undefined) throw notFound("organization", organizationId);
      return organization;
    },

    async update(patch, version) {
      return first(
        await db.query<Organization>(sql`
          UPDATE organizations o SET
            ${assignments([patch.name !== undefined && sql`name = ${patch.name}`])}
            version = version + 1, updated_at = clock_timestamp()
          WHERE id = ${organizationId}::uuid AND version = ${version}
          RETURNING ${organizationColumns}`),
      );
    },
  };
}

import { type Static, Type } from "typebox";
import { Name, strict, Timestamp, Uuid, Version } from "../schema.ts";

export const Organization = Type.Object(
  {
    id: Uuid,
    slug: Type.String({ description: "The organization's short name, unique on the server." }),
    name: Type.String(),
    version: Version,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { ...strict, title: "Organization" },
);
export type Organization = Static<typeof Organization>;

export const Slug = Type.String({ pattern: "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", examples: ["acme"] });

export const NewOrganization = Type.Object({ slug: Slug, name: Name }, strict);
export type NewOrganization = Static<typeof NewOrganization>;

export const OrganizationPatch = Type.Object({ name: Type.Optional(Name) }, strict);
export type OrganizationPatch = Static<typeof OrganizationPatch>;

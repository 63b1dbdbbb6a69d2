import { type Static, Type } from "typebox";
import { Name, ProjectKey, strict, Timestamp, Uuid, Version } from "../schema.ts";

const description = Type.String({ maxLength: 10_000 });

export const Project = Type.Object(
  {
    id: Uuid,
    key: ProjectKey,
    name: Type.String(),
    description: Type.String(),
    version: Version,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { ...strict, title: "Project" },
);
export type Project = Static<typeof Project>;

export const NewProject = Type.Object(
  { key: ProjectKey, name: Name, description: Type.Optional(description) },
  strict,
);
export type NewProject = Static<typeof NewProject>;

export const ProjectPatch = Type.Object(
  { name: Type.Optional(Name), description: Type.Optional(description) },
  strict,
);
export type ProjectPatch = Static<typeof ProjectPatch>;

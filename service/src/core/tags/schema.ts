import { type Static, Type } from "typebox";
import { JsonObject, strict, TagName, Timestamp, Uuid, Version } from "../schema.ts";

const description = Type.String({ maxLength: 10_000 });

export const Tag = Type.Object(
  {
    id: Uuid,
    project: Type.String({ description: "The project's key." }),
    name: Type.String(),
    description: Type.String(),
    metadata: JsonObject,
    version: Version,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { ...strict, title: "Tag" },
);
export type Tag = Static<typeof Tag>;

export const NewTag = Type.Object(
  { name: TagName, description: Type.Optional(description), metadata: Type.Optional(JsonObject) },
  strict,
);
export type NewTag = Static<typeof NewTag>;

export const TagPatch = Type.Object(
  {
    name: Type.Optional(TagName),
    description: Type.Optional(description),
    metadata: Type.Optional(JsonObject),
  },
  strict,
);
export type TagPatch = Static<typeof TagPatch>;

export const TagCopy = Type.Object({ name: TagName, description: Type.Optional(description) }, strict);
export type TagCopy = Static<typeof TagCopy>;

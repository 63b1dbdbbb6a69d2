import { type Static, Type } from "typebox";
import { Actor, strict, Timestamp, Uuid, Version } from "../schema.ts";

const body = Type.String({ minLength: 1, maxLength: 50_000, pattern: "\\S" });

export const Comment = Type.Object(
  {
    id: Uuid,
    task: Uuid,
    author: Actor,
    body: Type.String(),
    version: Version,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { ...strict, title: "Comment" },
);
export type Comment = Static<typeof Comment>;

export const NewComment = Type.Object({ body }, strict);
export type NewComment = Static<typeof NewComment>;

export const CommentPatch = Type.Object({ body: Type.Optional(body) }, strict);
export type CommentPatch = Static<typeof CommentPatch>;

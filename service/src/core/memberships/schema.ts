import { type Static, Type } from "typebox";
import { Actor, Name, RoleSchema, strict, Timestamp, Uuid, Version } from "../schema.ts";

export const Membership = Type.Object(
  {
    id: Uuid,
    member: Actor,
    email: Type.Union([Type.String(), Type.Null()], { description: "Null for an agent." }),
    role: RoleSchema,
    version: Version,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { ...strict, title: "Membership" },
);
export type Membership = Static<typeof Membership>;

/** Roles that a person can have; an agent's membership is made with the agent. */
export const UserRole = Type.Enum(["owner", "admin", "member", "viewer"], { type: "string" });
export type UserRole = "owner" | "admin" | "member" | "viewer";

export const NewMembership = Type.Object(
  {
    email: Type.String({ maxLength: 254, pattern: "^[^\\s@]+@[^\\s@]+$", examples: ["ada@example.com"] }),
    name: Name,
    role: UserRole,
  },
  strict,
);
export type NewMembership = Static<typeof NewMembership>;

export const MembershipPatch = Type.Object({ role: Type.Optional(UserRole) }, strict);
export type MembershipPatch = Static<typeof MembershipPatch>;

/** Who acts. `system` is the server itself, as when it expires a claim, or hears from another system. */
export interface Actor {
  kind: "user" | "agent" | "system";
  /** The user's or agent's id; for the system the nil UUID, or the id of the receiver that it hears by. */
  id: string;
  name: string;
}

export const roles = ["owner", "admin", "member", "viewer", "agent"] as const;
export type Role = (typeof roles)[number];

/** What a token may be used for, at most; the role still decides. */
export const scopes = ["read", "write", "claim", "admin"] as const;
export type Scope = (typeof scopes)[number];

/** Who asks, for which organization, and under which request: the first argument of every use case. */
export interface Context {
  organizationId: string;
  membershipId: string;
  actor: Actor;
  role: Role;
  scopes: readonly Scope[];
  requestId: string;
  /** A change under this key happens once; a repeat gets the first result again. */
  idempotencyKey?: string;
}

export const systemActor: Actor = {
  kind: "system",
  id: "00000000-0000-0000-0000-000000000000",
  name: "system",
};

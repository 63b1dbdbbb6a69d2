import type { Context, Role, Scope } from "./context.ts";
import { AppError } from "./errors.ts";

/** What can be done, each with the token scope that it needs. */
export const permissions = {
  "organization:read": "read",
  "organization:create": "admin",
  "organization:update": "admin",
  "member:read": "read",
  "member:write": "admin",
  "agent:read": "read",
  "agent:write": "admin",
  "token:own": "admin",
  "token:any": "admin",
  "project:read": "read",
  "project:create": "write",
  "project:update": "write",
  "project:delete": "admin",
  "tag:write": "write",
  "task:write": "write",
  "comment:write": "write",
  "comment:any": "admin",
  claim: "claim",
  "claim:any": "admin",
  import: "write",
  "receiver:write": "admin",
  "audit:read": "admin",
  "webhook:read": "admin",
  "webhook:write": "admin",
} as const satisfies Record<string, Scope>;

export type Permission = keyof typeof permissions;

const viewer: Permission[] = ["organization:read", "member:read", "agent:read", "project:read"];
const agent: Permission[] = [...viewer, "task:write", "comment:write", "claim"];
const member: Permission[] = [
  ...agent,
  "token:own",
  "organization:create",
  "project:create",
  "project:update",
  "tag:write",
  "import",
];

const granted: Record<Role, ReadonlySet<Permission>> = {
  viewer: new Set<Permission>([...viewer, "token:own", "organization:create"]),
  agent: new Set(agent),
  member: new Set(member),
  admin: new Set(Object.keys(permissions) as Permission[]),
  owner: new Set(Object.keys(permissions) as Permission[]),
};

/** Whether the caller's role and its token's scopes both allow it. */
export function allows(ctx: Pick<Context, "role" | "scopes">, permission: Permission): boolean {
  return granted[ctx.role].has(permission) && ctx.scopes.includes(permissions[permission]);
}

/** Throws forbidden, saying which of role and scope is missing. */
export function authorize(ctx: Context, permission: Permission): void {
  if (!granted[ctx.role].has(permission)) {
    throw new AppError(
      "forbidden",
      `The role ${ctx.role} does not allow ${permission}; ask an admin or owner.`,
    );
  }
  const scope = permissions[permission];
  if (!ctx.scopes.includes(scope)) {
    throw new AppError("forbidden", `Your token lacks the scope ${scope}; use one that has it.`);
  }
}

const order: Role[] = ["agent", "viewer", "member", "admin", "owner"];

/** Nobody gives, changes or takes away a role above their own. */
export function authorizeRole(ctx: Context, role: Role): void {
  if (order.indexOf(role) > order.indexOf(ctx.role)) {
    throw new AppError("forbidden", `The role ${role} is above your own, ${ctx.role}; ask an owner.`);
  }
}

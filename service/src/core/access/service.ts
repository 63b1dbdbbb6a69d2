import type { Services } from "../change.ts";
import type { Context, Role, Scope } from "../context.ts";
import { scopes } from "../context.ts";
import { AppError, notFound } from "../errors.ts";
import type { Organization } from "../organizations/schema.ts";
import { sha256 } from "../secrets.ts";
import type { Principal, TokenOwner } from "../storage.ts";

/** A caller whose credential was good: the context of a request without the request's own parts. */
export interface Caller {
  organizationId: string;
  membershipId: string;
  actor: Context["actor"];
  role: Role;
  scopes: readonly Scope[];
  /** The access token used, also behind a session; null for an OIDC token. */
  tokenId: string | null;
  /** When a session or an OIDC token ends by itself; an access token's end is the storage's to know. */
  expiresAt?: Date;
}

/** What a verified OIDC token says of its bearer. */
export interface OidcIdentity {
  issuer: string;
  subject: string;
  email: string | null;
  emailVerified: boolean;
}

/** What a session token says; it holds no more than names of rows, so that a revocation counts at once. */
export interface SessionClaims {
  organizationId: string;
  /** The user or agent. */
  memberId: string;
  tokenId: string | null;
  scopes: readonly Scope[];
}

export interface Access {
  /** By the text of a personal or agent token. Throws unauthenticated, saying whether it is unknown, revoked or expired. */
  fromAccessToken(token: string): Promise<Caller>;
  /** By an OIDC identity; the first sign-in of an invited user binds the identity to the verified email. */
  fromOidc(identity: OidcIdentity, organizationSlug: string | undefined): Promise<Caller>;
  /** By the claims of a session token whose signature and times were checked. */
  fromSession(claims: SessionClaims): Promise<Caller>;
  /** The claims of a session for the caller, in another of its organizations if `organizationSlug` names one. */
  openSession(caller: Caller, organizationSlug: string | undefined): Promise<SessionClaims>;
  /** The organizations the caller belongs to. */
  listOrganizations(caller: Caller): Promise<{ organization: Organization; role: Role }[]>;
}

export function unauthenticated(detail: string): AppError {
  return new AppError("unauthenticated", detail);
}

/** Throws unauthenticated, saying why. */
export function ensureUsable(found: Partial<Pick<TokenOwner, "disabled" | "revoked" | "expired">>): void {
  if (found.disabled) throw unauthenticated("The agent is disabled; ask an admin to enable it.");
  if (found.revoked) throw unauthenticated("The token was revoked; ask for a new one.");
  if (found.expired) throw unauthenticated("The token has expired; ask for a new one.");
}

export function createAccess({ storage, credentials }: Pick<Services, "storage" | "credentials">): Access {
  const { identity } = storage;

  function toCaller(principal: Principal, callerScopes: readonly Scope[], tokenId: string | null): Caller {
    ensureUsable({ disabled: principal.disabled });
    const { organizationId, membershipId, actor, role } = principal;
    return { organizationId, membershipId, actor, role, scopes: callerScopes, tokenId };
  }

  function usable(owner: TokenOwner | undefined): TokenOwner {
    if (owner === undefined) throw unauthenticated("The token is not known here; check that it is whole.");
    ensureUsable({ revoked: owner.revoked, expired: owner.expired });
    return owner;
  }

  async function choose(member: { userId: string }, slug: string | undefined) {
    const principals = await identity.listPrincipals(member);
    const chosen =
      slug === undefined ? principals : principals.filter((one) => one.organization.slug === slug);
    const [first, ...others] = chosen;
    if (first === undefined) {
      throw unauthenticated(
        slug === undefined ? "You belong to no organization yet." : `You do not belong to ${slug}.`,
      );
    }
    if (others.length > 0) {
      throw unauthenticated(
        `You belong to ${chosen.map((one) => one.organization.slug).join(", ")}; name one in the header Taskmaster-Organization.`,
      );
    }
    return first;
  }

  return {
    async fromAccessToken(token) {
      const owner = await credentials.find(token, async () =>
        usable(await identity.findToken(sha256(token))),
      );
      return toCaller(owner, owner.scopes, owner.tokenId);
    },

    async fromOidc({ issuer, subject, email, emailVerified }, organizationSlug) {
      const bound = await identity.findUser({ issuer, subject });
      let user = bound;
      if (user === undefined && email !== null && emailVerified) {
        const invited = await identity.findUser({ email: email.toLowerCase() });
        if (invited !== undefined) {
          // An account that is bound to another identity stays with it, whatever address a token claims. Looked up
          // again, because of two first requests that come at once only one does the binding.
          await identity.bindUser(invited.id, issuer, subject);
          user = await identity.findUser({ issuer, subject });
        }
      }
      if (user === undefined) {
        throw unauthenticated(
          "No user here has this identity or its verified email; ask an admin for a membership.",
        );
      }
      return toCaller(await choose({ userId: user.id }, organizationSlug), scopes, null);
    },

    async fromSession(claims) {
      const { organizationId, memberId, tokenId } = claims;
      const principal = await credentials.find(`${organizationId} ${memberId} ${tokenId}`, async () => {
        if (tokenId !== null) usable(await identity.findTokenById(tokenId));
        const principals = [
          ...(await identity.listPrincipals({ userId: memberId })),
          ...(await identity.listPrincipals({ agentId: memberId })),
        ];
        const found = principals.find((one) => one.organizationId === organizationId);
        if (found === undefined) throw unauthenticated("The session's membership has ended; sign in again.");
        return found;
      });
      return toCaller(principal, claims.scopes, tokenId);
    },

    async openSession(caller, organizationSlug) {
      const claims = { memberId: caller.actor.id, tokenId: caller.tokenId, scopes: caller.scopes };
      if (organizationSlug === undefined) return { ...claims, organizationId: caller.organizationId };
      const principals = await identity.listPrincipals(memberOf(caller));
      const chosen = principals.find((one) => one.organization.slug === organizationSlug);
      // The credential is good: told unauthenticated, a client would throw it away and ask for another.
      if (chosen === undefined) throw notFound("organization", organizationSlug);
      return { ...claims, organizationId: chosen.organizationId };
    },

    async listOrganizations(caller) {
      const member =
        caller.actor.kind === "agent" ? { agentId: caller.actor.id } : { userId: caller.actor.id };
      const principals = await identity.listPrincipals(member);
      return principals.map(({ organization, role }) => ({ organization, role }));
    },
  };
}

function memberOf({ actor }: Caller): { userId: string } | { agentId: string } {
  return actor.kind === "agent" ? { agentId: actor.id } : { userId: actor.id };
}

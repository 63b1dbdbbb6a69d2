import { scopes } from "../context.ts";
import { AppError } from "../errors.ts";
import { newId } from "../ids.ts";
import { newToken, sha256 } from "../secrets.ts";
import type { Principal, Storage } from "../storage.ts";

export interface FirstOwner {
  organization: string;
  email: string;
}

export interface OwnerToken {
  organization: string;
  email: string;
  /** Shown here only. */
  token: string;
}

const operator = { kind: "system", id: "00000000-0000-0000-0000-000000000000", name: "operator" } as const;

/**
 * The first organization with its owner and a token for it, where the server has no organization yet; else undefined.
 * Safe to call from two starting servers at once: the organization's slug is unique, and the second finds it.
 */
export async function createFirstOwner(
  storage: Storage,
  { organization, email }: FirstOwner,
): Promise<OwnerToken | undefined> {
  if ((await storage.identity.countOrganizations()) > 0) return undefined;
  try {
    const { principal } = await storage.identity.createOrganization({
      organization: { id: newId(), slug: organization, name: organization },
      // In lower case, as a sign-in looks it up.
      owner: { membershipId: newId(), userId: newId(), email: email.toLowerCase(), name: email },
      event: {
        type: "organization.created",
        projectId: null,
        taskId: null,
        actor: operator,
        requestId: "bootstrap",
        data: { slug: organization, owner: email },
      },
    });
    return { organization, email, token: await issue(storage, principal) };
  } catch (error) {
    if (error instanceof AppError && error.code === "already_exists") return undefined;
    throw error;
  }
}

/** A new token for the first organization's first owner: the way back in for an operator who lost all tokens. */
export async function issueOwnerToken(storage: Storage): Promise<OwnerToken> {
  const owner = await storage.identity.firstOwner();
  if (owner === undefined)
    throw new AppError(
      "not_found",
      "There is no organization yet. Make the first one: task-master-pro token --email YOU@EXAMPLE.COM",
    );
  return {
    organization: owner.organization.slug,
    email: owner.actor.name,
    token: await issue(storage, owner),
  };
}

async function issue(storage: Storage, owner: Principal): Promise<string> {
  const token = newToken();
  await storage.transaction(owner.organizationId, async (tx) => {
    const stored = await tx.tokens.insert({
      id: newId(),
      owner: { membershipId: owner.membershipId },
      name: "owner token from the command line",
      hash: sha256(token),
      hint: token.slice(0, 8),
      scopes: [...scopes],
      expiresInDays: 365,
    });
    await tx.events.append([
      {
        type: "token.created",
        projectId: null,
        taskId: null,
        actor: operator,
        requestId: "bootstrap",
        data: { token: stored?.id, owner: owner.actor },
      },
    ]);
  });
  return token;
}

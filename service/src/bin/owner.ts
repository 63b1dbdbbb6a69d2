import { createFirstOwner, type OwnerToken } from "../core/access/bootstrap.ts";
import { AppError, type Caller, scopes } from "../core/index.ts";
import type { Storage } from "../core/storage.ts";

/** Whoever runs the program on data of their own: the owner of a first organization, made where there is none. */
export function makeOwner(storage: Storage): Promise<OwnerToken | undefined> {
  return createFirstOwner(storage, { organization: "home", email: "owner@localhost" });
}

/** That owner, or the first there is, as a caller: who runs the program has the data in hand anyway. */
export async function actAsOwner(storage: Storage): Promise<Caller> {
  await makeOwner(storage);
  const owner = await storage.identity.firstOwner();
  if (owner === undefined) throw new AppError("not_found", "There is no organization with an owner.");
  const { organizationId, membershipId, actor, role } = owner;
  return { organizationId, membershipId, actor, role, scopes, tokenId: null };
}

import type { Context } from "../context.ts";
import type { AppError } from "../errors.ts";
import { authorize, type Permission } from "../policy.ts";
import { createRounds } from "../rounds.ts";
import type { Storage } from "../storage.ts";
import { type Caller, ensureUsable, unauthenticated } from "./service.ts";

/** Who began something that goes on, and is not asked for a credential again. */
export type Follower = Context & Caller;

export interface Supervision {
  /**
   * Calls `end`, once, within a second of the caller's credential being good no longer, or of its role or scopes not
   * granting the permission any more. Returns what ends the supervision.
   */
  add(who: Follower, permission: Permission, end: (why: AppError) => void): () => void;
}

interface Entry {
  who: Follower;
  permission: Permission;
  end: (why: AppError) => void;
}

/** Two looks within the second in which a revocation must count. */
const lookMs = 500;

/** Looks after all of them with one statement, however many there are. */
export function createSupervision({ identity }: Pick<Storage, "identity">): Supervision {
  const entries = new Set<Entry>();
  // A storage that does not answer has no events to give either; the next look tries again.
  const looks = createRounds(lookMs, look);

  async function look(): Promise<void> {
    const groups = Map.groupBy(entries, ({ who }) => `${who.membershipId} ${who.tokenId}`);
    const credentials = [...groups.values()].flatMap(([first]) =>
      first === undefined ? [] : { membershipId: first.who.membershipId, tokenId: first.who.tokenId },
    );
    const standings = await identity.findStandings(credentials);
    for (const [place, group] of [...groups.values()].entries()) {
      for (const entry of group) {
        const why = refusal(entry, standings[place]);
        if (why !== undefined && entries.delete(entry)) entry.end(why);
      }
    }
    if (entries.size === 0) void looks.stop();
  }

  return {
    add(who, permission, end) {
      const entry = { who, permission, end };
      entries.add(entry);
      looks.start();
      return () => {
        entries.delete(entry);
        if (entries.size === 0) void looks.stop();
      };
    },
  };
}

function refusal(
  { who, permission }: Entry,
  standing: Awaited<ReturnType<Storage["identity"]["findStandings"]>>[number],
): AppError | undefined {
  try {
    if (who.expiresAt !== undefined && who.expiresAt.getTime() <= Date.now()) {
      throw unauthenticated("The credential has expired; sign in again.");
    }
    if (standing === undefined) throw unauthenticated("The membership or its token was deleted.");
    ensureUsable(standing);
    authorize({ ...who, role: standing.role }, permission);
    return undefined;
  } catch (error) {
    return error as AppError;
  }
}

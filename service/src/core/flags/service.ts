import type { Services } from "../change.ts";
import { type Actor, type Context, type Role, systemActor } from "../context.ts";
import { AppError } from "../errors.ts";
import type { Repositories } from "../storage.ts";
import { type Flag, type FlagName, type FlagState, flagDefault, flagNames } from "./schema.ts";

/** Who a flag is asked for. */
export interface FlagSubject {
  organizationId: string;
  /** The organization's slug. */
  organization: string;
  actor: Actor;
  role: Role;
}

/** The port that the flags' source is behind. */
export interface Flags {
  /** Never throws: a source that is away or broken leaves the default, and the reason says so. */
  evaluate(flag: FlagName, subject: FlagSubject): Promise<FlagState>;
}

/** Without a source every flag has its default. */
export const noFlagSource: Flags = {
  evaluate: async () => ({ on: flagDefault, reason: "default" }),
};

export interface FeatureFlags {
  /** What is on for the caller. */
  list(ctx: Context): Promise<Flag[]>;
}

export function createFeatureFlags(services: Services): FeatureFlags {
  return {
    async list(ctx) {
      const subject = await subjectOf(ctx, services.storage.reader(ctx.organizationId));
      return Promise.all(
        flagNames.map(async (flag) => ({ flag, ...(await services.flags.evaluate(flag, subject)) })),
      );
    },
  };
}

/**
 * Throws forbidden where the flag is off for the caller. Inside a transaction give it that one to read from: another
 * connection might not be had while every one of them waits for another.
 */
export async function demandFlag(
  services: Services,
  ctx: Context,
  flag: FlagName,
  read: Repositories = services.storage.reader(ctx.organizationId),
): Promise<void> {
  const { on, reason } = await services.flags.evaluate(flag, await subjectOf(ctx, read));
  if (on) return;
  throw new AppError(
    "forbidden",
    `The feature ${flag} is switched off for you on this server; do without it, or ask who runs the server.`,
    { details: { flag, reason } },
  );
}

/** Whether the flag is on where the server itself acts for the organization, as an owner would. */
export async function isOn(services: Services, flag: FlagName, organizationId: string): Promise<boolean> {
  const server = { organizationId, actor: systemActor, role: "owner" } as const;
  const subject = await subjectOf(server, services.storage.reader(organizationId));
  return (await services.flags.evaluate(flag, subject)).on;
}

/** Slugs never change, so that each is read once. Forgotten all at once should there ever be many. */
const slugs = new Map<string, string>();
const slugsKept = 10_000;

async function subjectOf(
  ctx: Pick<Context, "organizationId" | "actor" | "role">,
  read: Repositories,
): Promise<FlagSubject> {
  const { organizationId, actor, role } = ctx;
  let organization = slugs.get(organizationId);
  if (organization === undefined) {
    organization = (await read.organizations.get()).slug;
    if (slugs.size >= slugsKept) slugs.clear();
    slugs.set(organizationId, organization);
  }
  return { organizationId, organization, actor, role };
}

import { type Static, Type } from "typebox";
import { Actor, LocalId, Status, strict, Timestamp, Uuid } from "../schema.ts";

export const claimOutcomes = ["completed", "failed", "released", "expired"] as const;
export type ClaimOutcome = (typeof claimOutcomes)[number];
export const ClaimOutcome = Type.Enum([...claimOutcomes], { type: "string" });

export const Fence = Type.Integer({
  minimum: 1,
  description:
    "The claim's fence; strictly increases for a task, so that a late write of an old holder is refused.",
});

/** What a task says of its live claim. */
export const TaskClaim = Type.Object({ id: Uuid, holder: Actor, fence: Fence, expiresAt: Timestamp }, strict);
export type TaskClaim = Static<typeof TaskClaim>;

export const Claim = Type.Object(
  {
    id: Uuid,
    task: Uuid,
    project: Type.String(),
    tag: Type.String(),
    localId: LocalId,
    holder: Actor,
    fence: Fence,
    ttlSeconds: Type.Integer(),
    previousStatus: Status,
    expiresAt: Timestamp,
    outcome: Type.Union([ClaimOutcome, Type.Null()], { description: "Null while the claim lives." }),
    createdAt: Timestamp,
    endedAt: Type.Union([Timestamp, Type.Null()]),
  },
  { ...strict, title: "Claim" },
);
export type Claim = Static<typeof Claim>;

const ttlSeconds = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: 86_400,
    default: 900,
    description: "Seconds until the claim expires unless a heartbeat comes.",
  }),
);
export const NextMode = Type.Enum(["compat", "smart"], {
  type: "string",
  description:
    "compat: the rule of the task-master-ai command line. smart: by the critical path, with reasons.",
});
export type NextMode = "compat" | "smart";

export const NewClaim = Type.Object({ ttlSeconds }, strict);
export type NewClaim = Static<typeof NewClaim>;

export const NewNextClaim = Type.Object({ ttlSeconds, mode: Type.Optional(NextMode) }, strict);
export type NewNextClaim = Static<typeof NewNextClaim>;

export const Heartbeat = Type.Object({ fence: Fence, ttlSeconds }, strict);
export type Heartbeat = Static<typeof Heartbeat>;

const note = Type.String({
  maxLength: 50_000,
  description: "The hand-over note for whoever takes the task next.",
});

export const ClaimEnd = Type.Object({ fence: Fence, note: Type.Optional(note) }, strict);
export type ClaimEnd = Static<typeof ClaimEnd>;

/** A failure must say what went wrong: that note is all that the next holder has. */
export const ClaimFailure = Type.Object({ fence: Fence, note: { ...note, minLength: 1 } }, strict);
export type ClaimFailure = Static<typeof ClaimFailure>;

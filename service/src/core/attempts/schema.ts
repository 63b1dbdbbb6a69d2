import { type Static, Type } from "typebox";
import { ClaimOutcome } from "../claims/schema.ts";
import { Actor, strict, Timestamp, Uuid } from "../schema.ts";

export const Attempt = Type.Object(
  {
    id: Uuid,
    task: Uuid,
    claim: Uuid,
    number: Type.Integer({ minimum: 1, description: "The task's first attempt is 1." }),
    holder: Actor,
    outcome: ClaimOutcome,
    note: Type.String({ description: "The hand-over note." }),
    startedAt: Timestamp,
    endedAt: Timestamp,
  },
  { ...strict, title: "Attempt" },
);
export type Attempt = Static<typeof Attempt>;

import { type Static, Type } from "typebox";
import { strict } from "../schema.ts";

/** What can be switched off while the server runs; everything that no flag guards is always there. */
export const flagNames = ["smart-next", "webhooks"] as const;
export type FlagName = (typeof flagNames)[number];

/** Each flag is on until somebody says otherwise, so that a server without settings has all it can do. */
export const flagDefault = true;

export const flagReasons = [
  "setting",
  "static",
  "targeting",
  "default",
  "disabled",
  "stale",
  "unavailable",
  "error",
] as const;
export type FlagReason = (typeof flagReasons)[number];

export interface FlagState {
  on: boolean;
  reason: FlagReason;
}

export const Flag = Type.Object(
  {
    flag: Type.Enum([...flagNames], { type: "string" }),
    on: Type.Boolean({ description: "Whether it is on for you." }),
    reason: Type.Enum([...flagReasons], {
      type: "string",
      description:
        "setting: the server's own setting says so. static: its source says so for everybody. targeting: a rule of the source " +
        "chose it for you. default: nothing says otherwise. disabled: the source has switched its rule off, so the default " +
        "holds. stale: the source is away, and this is what it said last. unavailable: the source is away and has said nothing, so the " +
        "default holds. error: the source's rule is broken, so the default holds.",
    }),
  },
  { ...strict, title: "Flag" },
);
export type Flag = Static<typeof Flag>;

import { type Static, Type } from "typebox";
import { LocalId, Name, Status, strict, Timestamp, Uuid, Version } from "../schema.ts";

/** What GitHub can tell that says something of a linked task. */
export const triggers = ["issueClosed", "issueNotPlanned", "issueReopened", "pullRequestMerged"] as const;
export type Trigger = (typeof triggers)[number];

const status = (description: string) => Type.Union([Status, Type.Null()], { description });
const statusProperties = {
  issueClosed: status("For a task that is open, when its issue is closed as completed."),
  issueNotPlanned: status(
    "For a task that is open, when its issue is closed as not planned or as a duplicate.",
  ),
  issueReopened: status("For a task that is closed, when its issue is opened again."),
  pullRequestMerged: status("For a task that is open, when its pull request is merged."),
};
const Statuses = Type.Object(statusProperties, {
  ...strict,
  description: "The status that each brings; null leaves the task alone.",
});
export type Statuses = Static<typeof Statuses>;
const SomeStatuses = Type.Partial(Statuses, strict);

export const defaultStatuses: Statuses = {
  issueClosed: "done",
  issueNotPlanned: "cancelled",
  issueReopened: "pending",
  pullRequestMerged: "done",
};

export const Receiver = Type.Object(
  {
    id: Uuid,
    provider: Type.Literal("github"),
    name: Type.String(),
    statuses: Statuses,
    previousSecretExpiresAt: Type.Union([Timestamp, Type.Null()], {
      description: "Until when the secret from before the last rotation is good as well.",
    }),
    version: Version,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { ...strict, title: "Receiver" },
);
export type Receiver = Static<typeof Receiver>;

/** The one kind of answer that holds the secret itself. */
export const IssuedReceiver = Type.Object(
  {
    ...Receiver.properties,
    secret: Type.String({
      description: "Shown once; enter it at GitHub, where deliveries are signed with it.",
    }),
  },
  { ...strict, title: "IssuedReceiver" },
);
export type IssuedReceiver = Static<typeof IssuedReceiver>;

export const NewReceiver = Type.Object({ name: Name, statuses: Type.Optional(SomeStatuses) }, strict);
export type NewReceiver = Static<typeof NewReceiver>;

export const ReceiverPatch = Type.Object(
  { name: Type.Optional(Name), statuses: Type.Optional(SomeStatuses) },
  strict,
);
export type ReceiverPatch = Static<typeof ReceiverPatch>;

/** What became of a delivery. */
export const Receipt = Type.Object(
  {
    outcome: Type.Enum(["applied", "ignored"], { type: "string" }),
    reason: Type.Union([Type.String(), Type.Null()], { description: "Why it was ignored." }),
    tasks: Type.Array(
      Type.Object(
        {
          task: Uuid,
          project: Type.String(),
          tag: Type.String(),
          localId: LocalId,
          outcome: Type.Enum(["changed", "unchanged", "held", "repeated"], {
            type: "string",
            description:
              "unchanged: its status says the same already. held: somebody has claimed it, so that it got a comment instead. " +
              "repeated: this, or something later, was told of it before.",
          }),
          status: Status,
        },
        strict,
      ),
      { description: "The tasks that link to it." },
    ),
  },
  { ...strict, title: "Receipt" },
);
export type Receipt = Static<typeof Receipt>;

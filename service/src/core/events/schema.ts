import { type Static, Type } from "typebox";
import { PageQuery } from "../page.ts";
import { Actor, JsonObject, strict, Timestamp, Uuid } from "../schema.ts";

/** Every kind of change; the closed set of `type`. */
export const eventTypes = [
  "organization.created",
  "organization.updated",
  "membership.created",
  "membership.updated",
  "membership.deleted",
  "agent.created",
  "agent.updated",
  "agent.deleted",
  "token.created",
  "token.revoked",
  "project.created",
  "project.updated",
  "project.deleted",
  "project.imported",
  "tag.created",
  "tag.updated",
  "tag.deleted",
  "tag.copied",
  "task.created",
  "task.updated",
  "task.moved",
  "task.deleted",
  "dependency.added",
  "dependency.removed",
  "dependency.fixed",
  "claim.created",
  "claim.renewed",
  "claim.completed",
  "claim.failed",
  "claim.released",
  "claim.expired",
  "comment.created",
  "comment.updated",
  "comment.deleted",
  "link.added",
  "link.removed",
  "receiver.created",
  "receiver.updated",
  "receiver.rotated",
  "receiver.deleted",
  "webhook.created",
  "webhook.updated",
  "webhook.rotated",
  "webhook.disabled",
  "webhook.deleted",
] as const;
export type EventType = (typeof eventTypes)[number];

const common = {
  type: Type.Enum([...eventTypes], { type: "string" }),
  task: Type.Union([Uuid, Type.Null()]),
  actor: Actor,
  requestId: Type.String(),
  data: { ...JsonObject, description: "What changed: `changes` holds [before, after] a field." },
  createdAt: Timestamp,
};

export const Event = Type.Object(
  {
    sequence: Type.Integer({
      minimum: 1,
      description: "The event's place in the project's log, without gaps.",
    }),
    ...common,
  },
  { ...strict, title: "Event" },
);
export type Event = Static<typeof Event>;

export const EventQuery = Type.Object(
  {
    after: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        default: 0,
        description: "The last sequence you have.",
      }),
    ),
    limit: PageQuery.limit,
  },
  strict,
);
export type EventQuery = Static<typeof EventQuery>;

export const EventList = Type.Object(
  {
    items: Type.Array(Event),
    last: Type.Integer({ minimum: 0, description: "The sequence to ask after next." }),
    more: Type.Boolean(),
  },
  strict,
);
export type EventList = Static<typeof EventList>;

export const AuditEntry = Type.Object(
  { id: Type.String(), project: Type.Union([Uuid, Type.Null()]), ...common },
  { ...strict, title: "AuditEntry" },
);
export type AuditEntry = Static<typeof AuditEntry>;

export const AuditQuery = Type.Object(
  {
    ...PageQuery,
    type: Type.Optional(common.type),
    actor: Type.Optional(Uuid),
    task: Type.Optional(Uuid),
  },
  strict,
);
export type AuditQuery = Static<typeof AuditQuery>;

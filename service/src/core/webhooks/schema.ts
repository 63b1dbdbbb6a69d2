import { type Static, Type } from "typebox";
import { eventTypes } from "../events/schema.ts";
import { PageQuery } from "../page.ts";
import { Actor, JsonObject, ProjectKey, strict, Timestamp, Uuid, Version } from "../schema.ts";

const nouns = [...new Set(eventTypes.map((type) => type.slice(0, type.indexOf("."))))];
/** What a webhook can ask for: everything, all of a noun, or one type. */
export const eventPatterns = ["*", ...nouns.map((noun) => `${noun}.*`), ...eventTypes];

const url = Type.String({
  minLength: 1,
  maxLength: 2000,
  pattern: "^https?://",
  description:
    "Where messages are sent to, by POST. Only public addresses, unless the operator allows others.",
  examples: ["https://example.com/hooks/tasks"],
});
const description = Type.String({ maxLength: 2000 });
const events = Type.Array(Type.Enum(eventPatterns, { type: "string" }), {
  minItems: 1,
  maxItems: 100,
  uniqueItems: true,
  description: "The types of events to send, each in full or as a pattern such as task.*; * is all of them.",
  examples: [["task.*", "claim.expired"]],
});

export const disabledReasons = ["requested", "gone", "failing"] as const;
export type DisabledReason = (typeof disabledReasons)[number];

const members = {
  id: Uuid,
  url: Type.String(),
  description: Type.String(),
  project: Type.Union([ProjectKey, Type.Null()], { description: "Null is the whole organization." }),
  events: Type.Array(Type.String()),
  disabled: Type.Boolean({ description: "Nothing is sent, and nothing is kept to be sent later." }),
  disabledReason: Type.Union([Type.Enum([...disabledReasons], { type: "string" }), Type.Null()], {
    description:
      "requested: somebody asked for it. gone: the receiver answered 410. failing: it took nothing for days.",
  }),
  previousSecretExpiresAt: Type.Union([Timestamp, Type.Null()], {
    description: "Until when messages are signed with the secret before the last rotation as well.",
  }),
  version: Version,
  createdAt: Timestamp,
  updatedAt: Timestamp,
};

export const Webhook = Type.Object(members, { ...strict, title: "Webhook" });
export type Webhook = Static<typeof Webhook>;

export const IssuedWebhook = Type.Object(
  {
    ...members,
    secret: Type.String({
      description: "What signatures are checked with (Standard Webhooks: whsec_ and base64). Shown only now.",
    }),
  },
  { ...strict, title: "IssuedWebhook" },
);
export type IssuedWebhook = Static<typeof IssuedWebhook>;

export const NewWebhook = Type.Object(
  {
    url,
    description: Type.Optional(description),
    project: Type.Optional(ProjectKey),
    events: Type.Optional(events),
  },
  strict,
);
export type NewWebhook = Static<typeof NewWebhook>;

export const WebhookPatch = Type.Object(
  {
    url: Type.Optional(url),
    description: Type.Optional(description),
    events: Type.Optional(events),
    disabled: Type.Optional(Type.Boolean()),
  },
  strict,
);
export type WebhookPatch = Static<typeof WebhookPatch>;

export const deliveryStates = ["pending", "delivered", "dead"] as const;
export type DeliveryState = (typeof deliveryStates)[number];
const state = Type.Enum([...deliveryStates], {
  type: "string",
  description:
    "pending: it will be sent, or sent again. delivered: it was answered with 2xx. dead: given up.",
});

const nullable = <T extends ReturnType<typeof Type.Integer | typeof Type.String>>(schema: T) =>
  Type.Union([schema, Type.Null()]);

export const Delivery = Type.Object(
  {
    id: { ...Uuid, description: "What the receiver sees as webhook-id, the same at every attempt." },
    webhook: Uuid,
    event: nullable(Type.String({ description: "The event's id in the audit." })),
    type: Type.String(),
    state,
    attempts: Type.Integer({ minimum: 0, description: "Since it was made or replayed." }),
    responseStatus: nullable(Type.Integer({ description: "What the receiver answered last." })),
    durationMs: nullable(Type.Integer({ minimum: 0, description: "How long the last attempt took." })),
    error: nullable(Type.String({ description: "Why the last attempt failed." })),
    nextAttemptAt: nullable(Timestamp),
    lastAttemptAt: nullable(Timestamp),
    createdAt: Timestamp,
  },
  { ...strict, title: "Delivery" },
);
export type Delivery = Static<typeof Delivery>;

export const DeliveryQuery = Type.Object({ ...PageQuery, state: Type.Optional(state) }, strict);
export type DeliveryQuery = Static<typeof DeliveryQuery>;

export const Replayed = Type.Object(
  {
    replayed: Type.Integer({
      minimum: 0,
      description:
        "How many dead letters are to be sent again; 10000 at most, so ask again where there are more.",
    }),
  },
  { ...strict, title: "Replayed" },
);
export type Replayed = Static<typeof Replayed>;

/** The body of a request to a receiver. */
export const WebhookMessage = Type.Object(
  {
    type: Type.String({ description: "The event's type, or webhook.test." }),
    timestamp: { ...Timestamp, description: "When it happened." },
    data: Type.Object(
      {
        id: nullable(Type.String({ description: "The event's id in the audit; of one task they grow." })),
        organization: Uuid,
        project: nullable(Type.String({ description: "The project's key." })),
        task: Type.Union([
          Type.Object({
            id: Uuid,
            tag: Type.Optional(Type.String()),
            localId: Type.Optional(Type.String()),
            title: Type.Optional(Type.String()),
            status: Type.Optional(Type.String()),
            priority: Type.Optional(nullable(Type.String())),
            version: Type.Optional(Type.Integer()),
          }),
          Type.Null(),
        ]),
        actor: Actor,
        requestId: Type.String(),
        data: {
          ...JsonObject,
          description:
            "What changed, as in the event; above 16 KB only { truncated: true } and the changed fields' names.",
        },
      },
      strict,
    ),
  },
  { ...strict, title: "WebhookMessage" },
);
export type WebhookMessage = Static<typeof WebhookMessage>;

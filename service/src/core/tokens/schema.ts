import { type Static, Type } from "typebox";
import { Actor, Name, ScopeSchema, strict, Timestamp, Uuid } from "../schema.ts";

const Scopes = Type.Array(ScopeSchema, { minItems: 1, uniqueItems: true });
const nullableTime = Type.Union([Timestamp, Type.Null()]);

export const AccessToken = Type.Object(
  {
    id: Uuid,
    name: Type.String(),
    owner: Actor,
    hint: Type.String({ description: "The token's first characters, to recognize it by." }),
    scopes: Scopes,
    expiresAt: nullableTime,
    revokedAt: nullableTime,
    createdAt: Timestamp,
  },
  { ...strict, title: "AccessToken" },
);
export type AccessToken = Static<typeof AccessToken>;

/** The one answer that holds the token itself. */
export const IssuedToken = Type.Object(
  { ...AccessToken.properties, token: Type.String({ description: "Shown once and kept only as a hash." }) },
  { ...strict, title: "IssuedToken" },
);
export type IssuedToken = Static<typeof IssuedToken>;

export const NewAccessToken = Type.Object(
  {
    name: Name,
    agent: Type.Optional({
      ...Uuid,
      description: "The agent that the token is for; otherwise it is for you.",
    }),
    scopes: Type.Optional({ ...Scopes, description: "Defaults to all that the caller's own token has." }),
    expiresInDays: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 3650, default: 90, description: "The token's life in days." }),
    ),
  },
  strict,
);
export type NewAccessToken = Static<typeof NewAccessToken>;

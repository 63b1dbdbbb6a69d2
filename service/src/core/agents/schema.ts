import { type Static, Type } from "typebox";
import { Name, strict, Timestamp, Uuid, Version } from "../schema.ts";

const Capabilities = Type.Array(Type.String({ minLength: 1, maxLength: 100 }), {
  maxItems: 50,
  uniqueItems: true,
  description: "What the agent can do, in words of the team's own choice.",
  examples: [["typescript", "review"]],
});

export const Agent = Type.Object(
  {
    id: Uuid,
    name: Type.String(),
    description: Type.String(),
    capabilities: Capabilities,
    disabled: Type.Boolean({ description: "A disabled agent's tokens are refused." }),
    version: Version,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { ...strict, title: "Agent" },
);
export type Agent = Static<typeof Agent>;

const description = Type.String({ maxLength: 2000 });
export const NewAgent = Type.Object(
  { name: Name, description: Type.Optional(description), capabilities: Type.Optional(Capabilities) },
  strict,
);
export type NewAgent = Static<typeof NewAgent>;

export const AgentPatch = Type.Object(
  {
    name: Type.Optional(Name),
    description: Type.Optional(description),
    capabilities: Type.Optional(Capabilities),
    disabled: Type.Optional(Type.Boolean()),
  },
  strict,
);
export type AgentPatch = Static<typeof AgentPatch>;

import { type Static, Type } from "typebox";
import { PageQuery } from "../page.ts";
import { LocalId, strict, Timestamp, Uuid } from "../schema.ts";

export const linkProviders = ["github", "gitlab", "jira", "linear"] as const;
export type LinkProvider = (typeof linkProviders)[number];
export const linkKinds = ["issue", "pull-request"] as const;
export type LinkKind = (typeof linkKinds)[number];

export const Link = Type.Object(
  {
    id: Uuid,
    task: Uuid,
    project: Type.String(),
    tag: Type.String(),
    localId: LocalId,
    url: Type.String({ description: "In its canonical form, by which links to the same thing are found." }),
    provider: Type.Enum([...linkProviders], {
      type: "string",
      description: "By the address's form; github also for servers with GitHub's addresses.",
    }),
    kind: Type.Enum([...linkKinds], {
      type: "string",
      description: "A merge request is a pull-request as well.",
    }),
    key: Type.String({
      description: "As people write it.",
      examples: ["acme/web#12"],
    }),
    title: Type.Union([Type.String(), Type.Null()]),
    createdAt: Timestamp,
  },
  { ...strict, title: "Link" },
);
export type Link = Static<typeof Link>;

export const LinkUrl = Type.String({
  minLength: 1,
  maxLength: 2000,
  description: "The address of an issue or a pull or merge request on GitHub, GitLab, Jira or Linear.",
  examples: ["https://github.com/acme/web/issues/12"],
});

export const NewLink = Type.Object(
  {
    url: LinkUrl,
    title: Type.Optional(
      Type.String({ minLength: 1, maxLength: 500, pattern: "\\S", description: "What it says there." }),
    ),
  },
  strict,
);
export type NewLink = Static<typeof NewLink>;

export const LinkQuery = Type.Object({ ...PageQuery, url: LinkUrl }, strict);
export type LinkQuery = Static<typeof LinkQuery>;

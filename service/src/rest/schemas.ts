import { type TObject, type TProperties, type TSchema, Type } from "typebox";
import { PageQuery, strict, TaskReference, Uuid } from "../core/index.ts";
import type { ProblemCode } from "./problem.ts";

/** A schema under a name of its own in the API's description, with something to try. */
export function named<T extends TSchema>(schema: T, title: string, example?: object): T {
  return { ...schema, title, ...(example === undefined ? {} : { examples: [example] }) };
}

const tag = Type.String({
  minLength: 1,
  maxLength: 200,
  description: "The tag's name.",
  examples: ["master"],
});
const project = Type.String({
  minLength: 1,
  maxLength: 32,
  description: "The project's key.",
  examples: ["DEMO"],
});

export const IdParams = Type.Object({ id: Uuid }, strict);
export const SlugParams = Type.Object(
  { slug: Type.String({ minLength: 1, maxLength: 63, examples: ["acme"] }) },
  strict,
);
export const ProjectParams = Type.Object({ key: project }, strict);
export const TagParams = Type.Object({ key: project, tag }, strict);
export const TaskParams = Type.Object({ id: TaskReference }, strict);
export const DependencyParams = Type.Object({ id: TaskReference, other: TaskReference }, strict);

const fields = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 1000,
    description: "Only these members of each item, separated by commas.",
  }),
);

export const NoQuery = Type.Object({}, strict);
export const FieldsQuery = Type.Object({ fields }, strict);
export const PageAndFieldsQuery = Type.Object({ ...PageQuery, fields }, strict);
/** A list's own query with `fields`. */
export function withFields<T extends TProperties>(query: TObject<T>) {
  return Type.Object({ ...query.properties, fields }, strict);
}

const idempotencyKey = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 255,
    pattern: "^[\\x21-\\x7e]+$",
    description:
      "A new UUID, or other text, for each change: it happens once under this key, and a repeat gets the same answer.",
  }),
);
const ifMatch = Type.Optional(
  Type.String({ maxLength: 100, description: "The ETag that you have seen; required.", examples: ['"1"'] }),
);
const claimFence = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: 2_147_483_647,
    description: "The fence of your claim, to change a claimed task's status or place.",
  }),
);
export const PostHeaders = Type.Object({ "Idempotency-Key": idempotencyKey });
export const ChangeHeaders = Type.Object({ "If-Match": ifMatch });
export const TaskChangeHeaders = Type.Object({ "If-Match": ifMatch, "Claim-Fence": claimFence });
export const TaskPostHeaders = Type.Object({
  "Idempotency-Key": idempotencyKey,
  "If-Match": ifMatch,
  "Claim-Fence": claimFence,
});

/** RFC 7396; plain JSON is taken as the same. */
export const patchTypes = ["application/merge-patch+json", "application/json"];

export const NoContent = Type.Null({ description: "Done; there is nothing to say." });

/** A list without pages in the same form as one with them. */
export const wholeList = <T>(items: T[]) => ({ items, nextCursor: null });

export interface Operation {
  operationId: string;
  tags: [string];
  summary: string;
}

export function operation(operationId: string, tag: string, summary: string): Operation {
  return { operationId, tags: [tag], summary };
}

/** The problems of a change to something that exists. */
export const changeProblems: ProblemCode[] = ["not_found", "version_mismatch", "version_required"];

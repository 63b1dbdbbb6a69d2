import { type Static, Type } from "typebox";
import { roles, scopes } from "./context.ts";

export const statuses = [
  "pending",
  "in-progress",
  "review",
  "done",
  "deferred",
  "cancelled",
  "blocked",
] as const;
/** From the most urgent; the order is the order of work. */
export const priorities = ["critical", "high", "medium", "low"] as const;

export const Status = Type.Enum([...statuses], { type: "string", description: "The task's status." });
export type Status = (typeof statuses)[number];
export const Priority = Type.Enum([...priorities], { type: "string", description: "The task's priority." });
export type Priority = (typeof priorities)[number];
export const RoleSchema = Type.Enum([...roles], { type: "string" });
export const ScopeSchema = Type.Enum([...scopes], { type: "string" });

export const Uuid = Type.String({
  pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
  description: "A UUID in lower case.",
  examples: ["01980d7e-8f00-7000-8000-000000000001"],
});
export const Timestamp = Type.String({
  format: "date-time",
  description: "An instant in RFC 3339 form, in UTC with milliseconds.",
});
export const Version = Type.Integer({ minimum: 1, description: "Grows by one with each change; the ETag." });
export const Name = Type.String({ minLength: 1, maxLength: 200, pattern: "\\S" });
export const ProjectKey = Type.String({
  pattern: "^[A-Z][A-Z0-9_-]{0,31}$",
  description: "The project's short name in upper case, unique in the organization.",
  examples: ["DEMO"],
});
export const TagName = Type.String({
  minLength: 1,
  maxLength: 200,
  pattern: "^[^\\u0000-\\u001f\\u007f/]+$",
  description: "The tag's name, unique in the project.",
  examples: ["master"],
});
export const LocalId = Type.String({
  description: "The task's id within its tag: 2, or 2.1 for a subtask.",
  examples: ["2.1"],
});
export const TaskReference = Type.String({
  minLength: 1,
  maxLength: 500,
  description: "A task's UUID, or KEY:tag:localId.",
  examples: ["DEMO:master:2.1"],
});
/** A JSON object whose members are the client's own. */
export const JsonObject = Type.Record(Type.String(), Type.Unknown());
export type JsonObject = Static<typeof JsonObject>;

/** Strict: a member that the schema does not name is refused, never dropped. */
export const strict = { additionalProperties: false } as const;

export const Actor = Type.Object(
  {
    kind: Type.Enum(["user", "agent", "system"], { type: "string" }),
    id: Uuid,
    name: Type.String(),
  },
  strict,
);

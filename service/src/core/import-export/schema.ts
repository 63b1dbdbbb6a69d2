import { type Static, Type } from "typebox";
import { strict, Timestamp, Uuid } from "../schema.ts";

export const ImportMode = Type.Enum(["strict", "quarantine"], {
  type: "string",
  default: "strict",
  description:
    "strict refuses a file with any problem; quarantine imports it, keeps what cannot hold inactive, and still exports it.",
});
export type ImportMode = "strict" | "quarantine";

export const importProblemCodes = [
  "malformed_json",
  "duplicate_member",
  "wrong_type",
  "not_storable",
  "unknown_status",
  "missing_status",
  "unknown_priority",
  "missing_title",
  "missing_id",
  "unusable_id",
  "duplicate_id",
  "too_deep",
  "empty_file",
  "too_many_tasks",
  "tag_in_use",
  "invalid_tag_name",
  "dependency_self",
  "dependency_missing",
  "dependency_duplicate",
  "dependency_cross_tag",
  "dependency_cycle",
  "dependency_ambiguous",
  "dependency_unreadable",
] as const;
export type ImportProblemCode = (typeof importProblemCodes)[number];

/** Something in the file that cannot be taken as it stands. */
export const ImportProblem = Type.Object(
  {
    pointer: Type.String({ description: "RFC 6901 pointer into the file." }),
    code: Type.Enum([...importProblemCodes], { type: "string" }),
    detail: Type.String({ description: "What is wrong, and what quarantine makes of it." }),
  },
  { ...strict, title: "ImportProblem" },
);
export type ImportProblem = Static<typeof ImportProblem>;

/** A value that is taken under another name, with the original kept: `completed` is read as done. */
export const ImportNotice = Type.Object({ pointer: Type.String(), detail: Type.String() }, strict);
export type ImportNotice = Static<typeof ImportNotice>;

export const ImportedTag = Type.Object(
  {
    name: Type.String(),
    tasks: Type.Integer(),
    subtasks: Type.Integer(),
    dependencies: Type.Integer({ description: "Active edges." }),
    quarantined: Type.Integer({ description: "Edges kept but inactive." }),
  },
  strict,
);

export const ImportReport = Type.Object(
  {
    id: Type.Union([Uuid, Type.Null()], { description: "The import run; null for a dry run." }),
    project: Type.String(),
    dryRun: Type.Boolean(),
    mode: ImportMode,
    accepted: Type.Boolean({ description: "Whether the file is taken in this mode." }),
    tags: Type.Array(ImportedTag),
    problems: Type.Array(ImportProblem),
    notices: Type.Array(ImportNotice),
  },
  { ...strict, title: "ImportReport" },
);
export type ImportReport = Static<typeof ImportReport>;

export const ImportQuery = Type.Object(
  {
    dryRun: Type.Optional(Type.Boolean({ default: false, description: "Report only; change nothing." })),
    mode: Type.Optional(ImportMode),
    tag: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        default: "master",
        description: "The tag for a file that has no tags of its own.",
      }),
    ),
  },
  strict,
);
export type ImportQuery = Static<typeof ImportQuery>;

export const ImportRun = Type.Object(
  {
    id: Uuid,
    mode: ImportMode,
    sha256: Type.String({ description: "Of the file, in hex." }),
    report: ImportReport,
    createdAt: Timestamp,
  },
  { ...strict, title: "ImportRun" },
);
export type ImportRun = Static<typeof ImportRun>;

export const ExportQuery = Type.Object(
  {
    form: Type.Optional(
      Type.Enum(["preserve", "canonical"], {
        type: "string",
        default: "preserve",
        description:
          "preserve gives an imported file back as it was, with what changed since; canonical is the tagged form that the task-master-ai tool reads, with a number for every id that is none.",
      }),
    ),
    tag: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, description: "Only this tag; all of them by default." }),
    ),
  },
  strict,
);
export type ExportQuery = Static<typeof ExportQuery>;

import type { DependencyProblem } from "../dependencies/schema.ts";
import type { JsonObject } from "../schema.ts";
import type { TaskValues } from "../storage.ts";
import type { MemberSource, ProjectSource, TagSource } from "./source.ts";

export interface ExportInput {
  /** Null for a project that was never imported, or to write only the given tags of one that was. */
  project: ProjectSource | null;
  /** In the order to write them where no source has an order. */
  tags: ExportTag[];
}

export interface ExportTag {
  name: string;
  description: string;
  metadata: JsonObject;
  source: TagSource | null;
  /** RFC 3339 in UTC, as is `updatedAt`. */
  createdAt: string;
  updatedAt: string;
  /** Tasks and subtasks; those of one parent in the order to write. */
  tasks: ExportTask[];
}

export interface ExportTask extends TaskValues {
  id: string;
  localId: string;
  segment: string;
  number: number | null;
  parentId: string | null;
  source: MemberSource[] | null;
  updatedAt: string;
  /** By position. */
  dependencies: ExportDependency[];
}

export interface ExportDependency {
  /** What the target is called now; null for a quarantined edge. */
  localId: string | null;
  /** The JSON text of the reference as imported, if that was not what an export writes anyway. */
  raw: string | null;
  problem: DependencyProblem | null;
}

import { notFound } from "../../core/errors.ts";
import type { ImportRun } from "../../core/import-export/schema.ts";
import type { ImportRunStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { timestamp } from "./model.ts";
import { pageById, plain } from "./rows.ts";

export function createImportRunStore(db: Db, organizationId: string): ImportRunStore {
  return {
    list: async (projectId, keyset) =>
      await db.read((rows) => {
        const runs = rows.importRuns
          .where("project", projectId)
          .filter((run) => run.organizationId === organizationId);
        return pageById(runs, keyset).map(({ id, mode, sha256, report, createdAt }): ImportRun => {
          return { id, mode, sha256, report: report as ImportRun["report"], createdAt };
        });
      }),

    insert: async ({ id, projectId, actorId, mode, sha256, report }) =>
      await db.write(({ rows }) => {
        if (rows.projects.get(projectId)?.organizationId !== organizationId) {
          throw notFound("project", projectId);
        }
        const run = { id, organizationId, projectId, actorId, mode, sha256, report: plain(report) };
        rows.importRuns.put({ ...run, createdAt: timestamp() });
      }),
  };
}

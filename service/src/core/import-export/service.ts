import { generateNKeysBetween } from "fractional-indexing";
import { change, record, type Services } from "../change.ts";
import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { newId } from "../ids.ts";
import { getProject, getTag } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import { sha256 } from "../secrets.ts";
import type { ProjectRecord, Repositories, TagRecord, TaskInsert, Transaction } from "../storage.ts";
import { escapePointer } from "../text.ts";
import { renderExport } from "./export.ts";
import type { ExportTag } from "./export-input.ts";
import { type ImportPlan, type PlannedTag, planImport } from "./plan.ts";
import type { ExportQuery, ImportProblem, ImportQuery, ImportReport, ImportRun } from "./schema.ts";
import type { ProjectSource } from "./source.ts";

export interface ImportExport {
  /**
   * Takes the text of a tasks.json file into a project whose tags of those names are new or were never used. A refusal
   * is import_refused with the whole report in `details.report`; a dry run always reports and never refuses.
   */
  import(ctx: Context, project: string, text: string, query: ImportQuery): Promise<ImportReport>;
  /** The text of a tasks.json file. */
  export(ctx: Context, project: string, query: ExportQuery): Promise<string>;
  listRuns(ctx: Context, project: string, page: PageRequest): Promise<Page<ImportRun>>;
}

export function createImportExport(services: Services): ImportExport {
  return {
    async import(ctx, key, text, query) {
      authorize(ctx, "import");
      const { dryRun = false, mode = "strict", tag: defaultTag = "master" } = query;
      const plan = planImport(text, { defaultTag });
      const report = (inUse: ImportProblem[]): ImportReport => {
        const problems = [...plan.problems, ...inUse.map((problem) => ({ ...problem, fatal: true }))];
        return {
          id: null,
          project: key,
          dryRun,
          mode,
          accepted: mode === "strict" ? problems.length === 0 : !problems.some((problem) => problem.fatal),
          tags: plan.tags.map(countTag),
          problems: problems.map(({ pointer, code, detail }) => ({ pointer, code, detail })),
          notices: plan.notices,
        };
      };
      if (dryRun) {
        const tx = services.storage.reader(ctx.organizationId);
        const project = await getProject(tx, key);
        return report(findTagsInUse(await tx.tags.list(project.id), plan));
      }
      // The digest stands for the file: an idempotency fingerprint need not hold it, and NULs in it are a file's problem.
      const digest = sha256(text);
      const input = { key, digest, mode, defaultTag };
      return change(services, ctx, { operation: "project.import", input }, async (tx) => {
        const found = await getProject(tx, key);
        await tx.projects.lock(found.id);
        const project = await getProject(tx, key);
        // Behind their locks: a task made between the look and the import would be mixed in, and its number given again.
        const named = new Set(plan.tags.map((tag) => tag.name));
        const present = (await tx.tags.list(project.id)).filter((tag) => named.has(tag.name));
        const tags = await tx.tags.lockGraphs(present.map((tag) => tag.id));
        const checked = report(findTagsInUse(tags, plan));
        if (!checked.accepted) throw refused(checked);
        const result = { ...checked, id: newId() };
        await save(tx, project, plan, tags);
        await tx.importRuns.insert({
          id: result.id,
          projectId: project.id,
          actorId: ctx.actor.id,
          mode,
          sha256: digest,
          report: result,
        });
        await record(
          tx,
          ctx,
          "project.imported",
          { projectId: project.id },
          {
            import: result.id,
            mode,
            sha256: digest,
            tags: result.tags,
            problems: result.problems.length,
          },
        );
        return result;
      });
    },

    async export(ctx, key, { form = "preserve", tag: only }) {
      authorize(ctx, "project:read");
      return services.storage.snapshot(ctx.organizationId, async (tx) => {
        const project = await getProject(tx, key);
        const tags = only === undefined ? await tx.tags.list(project.id) : [await getTag(tx, key, only)];
        const loaded: ExportTag[] = [];
        for (const tag of tags) loaded.push(await loadTag(tx, tag));
        return renderExport({ project: only === undefined ? project.source : null, tags: loaded }, form);
      });
    },

    async listRuns(ctx, key, page) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const project = await getProject(tx, key);
      const keyset = openPage(`imports ${project.id}`, page, ["uuid"]);
      const rows = await tx.importRuns.list(project.id, keyset);
      return closePage(`imports ${project.id}`, keyset, rows, (row) => [row.id]);
    },
  };
}

function refused(report: ImportReport): AppError {
  const wayOut =
    report.mode === "strict"
      ? "Mend the file, or import it with mode=quarantine, which keeps inactive what cannot hold and exports it again."
      : "Mend these in the file: nothing could be kept of them.";
  return new AppError("import_refused", `The file has ${report.problems.length} problem(s). ${wayOut}`, {
    errors: report.problems.map(({ pointer, code, detail }) => ({ pointer, detail: `${code}: ${detail}` })),
    details: { report },
  });
}

/** An import fills tags that are new or were never used; it never mixes with what is there. */
function findTagsInUse(tags: TagRecord[], plan: ImportPlan): ImportProblem[] {
  const used = new Set(tags.filter((tag) => tag.nextLocalNumber > 1).map((tag) => tag.name));
  return plan.tags
    .filter((tag) => used.has(tag.name))
    .map((tag) => ({
      pointer: plan.source.form === "tagged" ? `/${escapePointer(tag.name)}` : "",
      code: "tag_in_use" as const,
      detail: `The project's tag ${tag.name} has or had tasks; delete or rename it, or import into another project.`,
    }));
}

/** A tag of a plan, as a report shows it. */
export function countTag(tag: PlannedTag): ImportReport["tags"][number] {
  return {
    name: tag.name,
    tasks: tag.tasks.filter((task) => task.parent === null).length,
    subtasks: tag.tasks.filter((task) => task.parent !== null).length,
    dependencies: tag.edges.filter((edge) => edge.to !== null).length,
    quarantined: tag.edges.filter((edge) => edge.to === null).length,
  };
}

async function save(
  tx: Transaction,
  project: ProjectRecord,
  plan: ImportPlan,
  locked: TagRecord[],
): Promise<void> {
  const source = project.source === null ? plan.source : joinSources(project.source, plan);
  await tx.projects.update(project.id, { source }, project.version);
  for (const planned of plan.tags) {
    const existing = locked.find((tag) => tag.name === planned.name);
    await saveTag(tx, project, planned, existing);
  }
}

/** A second file into the same project: its members stand behind those of the first, which gives the file its form. */
function joinSources(first: ProjectSource, second: ImportPlan): ProjectSource {
  const members =
    second.source.form === "tagged" ? second.source.members : second.tags.map((tag) => ({ tag: tag.name }));
  return { ...first, form: "tagged", members: [...first.members, ...members] };
}

async function saveTag(
  tx: Transaction,
  project: ProjectRecord,
  planned: PlannedTag,
  existing: TagRecord | undefined,
): Promise<void> {
  const { name, description, metadata, source, nextLocalNumber } = planned;
  const tag =
    existing === undefined
      ? await tx.tags.insert({
          id: newId(),
          projectId: project.id,
          name,
          description,
          metadata,
          source,
          nextLocalNumber,
        })
      : await tx.tags.update(
          existing.id,
          { description, metadata, source, nextLocalNumber },
          existing.version,
        );
  if (tag === undefined)
    throw new AppError("conflict", `The tag ${name} was changed meanwhile; import again.`);

  const ids = planned.tasks.map(() => newId());
  const id = (index: number): string => ids[index] ?? "";
  const ranks = rankInOrder(planned);
  await tx.tasks.insert(
    planned.tasks.map(
      ({ parent, ...task }, index): TaskInsert => ({
        ...task,
        id: id(index),
        projectId: project.id,
        tagId: tag.id,
        parentId: parent === null ? null : id(parent),
        rank: ranks[index] ?? "",
      }),
    ),
  );
  await tx.dependencies.insert(
    planned.edges.map(({ from, to, position, raw, problem }) => ({
      id: newId(),
      tagId: tag.id,
      taskId: id(from),
      dependsOnId: to === null ? null : id(to),
      position,
      raw,
      problem,
    })),
  );
}

/** A rank for each task, rising among siblings in the order of the file. */
function rankInOrder(planned: PlannedTag): string[] {
  const siblings = Map.groupBy(planned.tasks.keys(), (index) => planned.tasks[index]?.parent ?? null);
  const ranks: string[] = [];
  for (const indexes of siblings.values()) {
    const keys = generateNKeysBetween(null, null, indexes.length);
    for (const [place, index] of indexes.entries()) ranks[index] = keys[place] ?? "";
  }
  return ranks;
}

async function loadTag(tx: Repositories, tag: TagRecord): Promise<ExportTag> {
  const tasks = await tx.tasks.listAll(tag.id);
  const localIds = new Map(tasks.map((task) => [task.id, task.localId]));
  const edges = Map.groupBy(await tx.dependencies.listAll(tag.id), (edge) => edge.taskId);
  return {
    name: tag.name,
    description: tag.description,
    metadata: tag.metadata,
    source: tag.source,
    createdAt: tag.createdAt,
    updatedAt: tag.updatedAt,
    tasks: tasks.map((task) => ({
      ...task,
      parentId: task.parent,
      dependencies: (edges.get(task.id) ?? []).map(({ dependsOnId, raw, problem }) => ({
        localId: dependsOnId === null ? null : (localIds.get(dependsOnId) ?? null),
        raw,
        problem,
      })),
    })),
  };
}

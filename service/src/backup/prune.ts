import { readCatalog } from "./catalog.ts";
import { planRetention, type RetentionPlan, type RetentionRule } from "./retention.ts";
import type { BackupRun } from "./run.ts";

export interface PruneReport extends RetentionPlan {
  /** Runs that were cut off long ago and left files without a manifest. */
  incomplete: string[];
  /** Backups whose manifest cannot be read: left alone, for somebody to look at. */
  damaged: { id: string; problem: string }[];
}

/** A run that began this long ago is over, whatever became of it. */
const incompleteHours = 24;

/** Removes what the rule does not keep; with `dryRun` only says what it would remove. */
export async function pruneBackups(
  run: BackupRun,
  rule: RetentionRule,
  { dryRun }: { dryRun: boolean },
): Promise<PruneReport> {
  const { entries, damaged } = await readCatalog(run.store);
  const instant = (text: string | null) => (text === null ? null : new Date(text));
  const plan = planRetention(
    entries.map(({ id, manifest, marks }) => ({
      id,
      createdAt: new Date(manifest.createdAt),
      checkedAt: instant(marks.checkedAt),
      restoredAt: instant(marks.restoredAt),
    })),
    rule,
  );
  const oldest = Date.now() - incompleteHours * 3_600_000;
  const incomplete = (await run.store.listIncomplete())
    .filter(({ startedAt }) => startedAt.getTime() < oldest)
    .map(({ id }) => id);
  const all = [...plan.remove, ...incomplete];
  for (const [index, id] of (dryRun ? [] : all).entries()) {
    run.signal.throwIfAborted();
    await run.store.remove(id);
    run.progress.step("remove", index + 1, all.length);
  }
  return { ...plan, incomplete, damaged };
}

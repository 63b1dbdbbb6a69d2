/** How many days, ISO weeks and months are kept, of those that have a backup. Whole numbers from 0. */
export interface RetentionRule {
  daily: number;
  weekly: number;
  monthly: number;
}

export interface RetentionBackup {
  id: string;
  createdAt: Date;
  /** When its files were last found whole; null for never. */
  checkedAt: Date | null;
  /** When it was last restored, with every count and hash compared; null for never. */
  restoredAt: Date | null;
}

export interface RetentionPlan {
  /** Newest first; each with why, such as "newest" and "weekly 2026-W48". */
  keep: { id: string; reasons: string[] }[];
  /** Oldest first. */
  remove: string[];
}

/**
 * Which backups to keep: the newest of each of the last days, weeks (ISO 8601) and months that have one, in UTC, each rule
 * counted on its own, as restic does. Days without a backup do not count, so that a program that stood still for a month
 * loses nothing. Whatever the rule, the newest is kept, and the newest that was checked, and the newest that was proven by
 * a restore: what is newer may turn out to be unusable.
 */
export function planRetention(backups: readonly RetentionBackup[], rule: RetentionRule): RetentionPlan {
  const newestFirst = [...backups].sort(
    (a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1),
  );
  const reasons = new Map<string, string[]>();
  const keep = (backup: RetentionBackup | undefined, reason: string) => {
    if (backup !== undefined) reasons.set(backup.id, [...(reasons.get(backup.id) ?? []), reason]);
  };

  keep(newestFirst[0], "newest");
  keep(
    newestFirst.find((backup) => backup.checkedAt !== null),
    "newest checked",
  );
  keep(
    newestFirst.find((backup) => backup.restoredAt !== null),
    "newest proven by a restore",
  );
  const periods = [
    { word: "daily", count: rule.daily, of: dayOf },
    { word: "weekly", count: rule.weekly, of: weekOf },
    { word: "monthly", count: rule.monthly, of: monthOf },
  ];
  for (const { word, count, of } of periods) {
    const seen = new Set<string>();
    for (const backup of newestFirst) {
      if (seen.size >= count) break;
      const period = of(backup.createdAt);
      if (!seen.has(period)) keep(backup, `${word} ${period}`);
      seen.add(period);
    }
  }

  return {
    keep: newestFirst.flatMap(({ id }) => {
      const why = reasons.get(id);
      return why === undefined ? [] : [{ id, reasons: why }];
    }),
    remove: newestFirst
      .filter(({ id }) => !reasons.has(id))
      .map(({ id }) => id)
      .reverse(),
  };
}

function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

function monthOf(date: Date): string {
  return date.toISOString().slice(0, 7);
}

/** ISO 8601: a week belongs to the year of its Thursday. */
function weekOf(date: Date): string {
  const thursday = new Date(date);
  thursday.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7) + 3);
  const year = thursday.getUTCFullYear();
  const day =
    (Date.UTC(year, thursday.getUTCMonth(), thursday.getUTCDate()) - Date.UTC(year, 0, 1)) / 86_400_000;
  return `${year}-W${String(Math.floor(day / 7) + 1).padStart(2, "0")}`;
}

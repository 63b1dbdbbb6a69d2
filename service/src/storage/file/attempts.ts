import type { Attempt } from "../../core/attempts/schema.ts";
import { notFound } from "../../core/errors.ts";
import type { AttemptStore } from "../../core/storage.ts";
import type { Db } from "./engine.ts";
import { type AttemptRow, type Reading, timestamp } from "./model.ts";

function attemptOf({ organizationId: _, taskId, claimId, ...attempt }: AttemptRow): Attempt {
  return { ...attempt, task: taskId, claim: claimId };
}

export function createAttemptStore(db: Db, organizationId: string): AttemptStore {
  const of = (rows: Reading, taskId: string): AttemptRow[] =>
    rows.attempts
      .where("task", taskId)
      .filter((attempt) => attempt.organizationId === organizationId)
      .sort((a, b) => a.number - b.number);

  return {
    list: async (taskId, { limit, after }) =>
      await db.read((rows) =>
        of(rows, taskId)
          .filter(({ number }) => number > Number(after?.[0] ?? 0))
          .slice(0, limit + 1)
          .map(attemptOf),
      ),

    insert: async ({ id, claim: { id: claimId }, outcome, note }) =>
      await db.write(async ({ rows, lock }) => {
        const claim = rows.claims.get(claimId);
        if (claim?.organizationId !== organizationId) throw notFound("claim", claimId);
        const { taskId, holder, createdAt, endedAt } = claim;
        await lock("tasks", taskId);
        const attempt: AttemptRow = {
          ...{ id, organizationId, taskId, claimId, holder, outcome, note },
          number: (of(rows, taskId).at(-1)?.number ?? 0) + 1,
          startedAt: createdAt,
          endedAt: endedAt ?? timestamp(),
        };
        rows.attempts.put(attempt);
        return attemptOf(attempt);
      }),
  };
}

-- Of the tasks that were there before, in batches, each by itself: writers wait for a batch at the longest.
DO $$
DECLARE
    batch uuid[];
    last uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    LOOP
        SELECT array_agg("task_id") INTO batch FROM (
            SELECT DISTINCT "task_id" FROM "dependencies" WHERE "task_id" > last ORDER BY "task_id" LIMIT 200
        ) found;
        EXIT WHEN batch IS NULL;
        PERFORM "count_dependencies"(batch);
        last := batch[array_upper(batch, 1)];
        COMMIT;
    END LOOP;
END
$$;

-- The order of `next` among tasks that may be ready. It repeats the rule of core, and an answer does not depend on it: a
-- query of another order is as right, and slower.
CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_next_idx" ON "tasks"("tag_id",
    array_position(ARRAY['critical', 'high', 'medium', 'low'], COALESCE("priority", 'medium')),
    "dependency_count", "number", "rank", "id")
    WHERE "parent_id" IS NULL AND "status" IN ('pending', 'in-progress') AND NOT "waiting";

-- The tasks in progress, whose subtasks come before all other tasks.
CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_in_progress_idx" ON "tasks"("tag_id")
    WHERE "parent_id" IS NULL AND "status" = 'in-progress';

-- Nothing here reads or writes a row: a column without a value, one with a constant that the catalog keeps, and a check
-- that holds for new rows only.
ALTER TABLE "tasks" ADD COLUMN "due_at" TIMESTAMPTZ(3);
ALTER TABLE "tasks" ADD COLUMN "reminder_hours" INTEGER NOT NULL DEFAULT 24;
-- It lets null pass, so that the release before this one can still write rows that have no date yet.
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_due_at_check" CHECK ("due_at" > "created_at") NOT VALID;

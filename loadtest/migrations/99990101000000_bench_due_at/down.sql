ALTER TABLE "tasks" DROP CONSTRAINT "tasks_due_at_check", DROP COLUMN "reminder_hours", DROP COLUMN "due_at";

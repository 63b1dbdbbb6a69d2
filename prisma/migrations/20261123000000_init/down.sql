DROP TABLE "import_runs", "idempotency_records", "events", "comments", "attempts", "claims", "dependencies", "tasks",
    "tags", "projects", "access_tokens", "memberships", "agents", "users", "organizations";
DROP FUNCTION "enforce_task_depth"();

DROP TRIGGER "dependencies_counted_on_status" ON "tasks";
DROP TRIGGER "dependencies_counted_on_delete" ON "dependencies";
DROP TRIGGER "dependencies_counted_on_insert" ON "dependencies";
DROP FUNCTION "count_dependencies_of_dependents"();
DROP FUNCTION "count_dependencies_of_removed"();
DROP FUNCTION "count_dependencies_of_added"();
DROP FUNCTION "count_dependencies"(uuid[]);
ALTER TABLE "tasks" DROP COLUMN "waiting", DROP COLUMN "dependency_count";

DROP TRIGGER "tasks_out_of_order_on_update" ON "tasks";
DROP FUNCTION "take_out_of_order"();
DROP FUNCTION "order_dependency"(uuid, uuid, uuid);
DROP FUNCTION "is_in_order"(uuid);
ALTER TABLE "dependencies" DROP COLUMN "ordered";
DROP TABLE "task_places";

-- An order of a tag's tasks in which each comes behind all that it waits for, and behind its subtasks: an edge to a task
-- that comes before closes no cycle, and nobody has to search for one. A place is a number between any two others. A task
-- that has no edge need not have a place; a subtask that has one, has a task that has one.
CREATE TABLE "task_places" (
    "task_id" UUID NOT NULL,
    "place" DECIMAL NOT NULL,

    CONSTRAINT "task_places_pkey" PRIMARY KEY ("task_id")
);

ALTER TABLE "task_places" ADD CONSTRAINT "task_places_task_id_fkey" FOREIGN KEY ("task_id") REFERENCES "tasks"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Whether the order holds for the edge. What the release before adds is not in it, and counts as such.
ALTER TABLE "dependencies" ADD COLUMN "ordered" BOOLEAN NOT NULL DEFAULT false;

-- Asked of the index, however many such edges there were when statistics were last taken.
CREATE FUNCTION "is_in_order"("of_tag" uuid) RETURNS boolean LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM "dependencies" WHERE "tag_id" = "of_tag" AND NOT "ordered" AND "depends_on_id" IS NOT NULL
    );
END
$$;

-- Puts a task behind another that it is to wait for, and says whether that was possible: not while edges of the tag are out
-- of the order, and not when it closes a cycle. The caller holds the lock on the tag's graph. Where the other does not come
-- before already, it and what it waits for move together, to directly before the task: all that is between is looked at.
CREATE FUNCTION "order_dependency"("of_tag" uuid, "from_task" uuid, "to_task" uuid) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    parent uuid := (SELECT "parent_id" FROM "tasks" WHERE "id" = "from_task");
    other_parent uuid := (SELECT "parent_id" FROM "tasks" WHERE "id" = "to_task");
    below numeric := (SELECT "place" FROM "task_places" WHERE "task_id" = parent);
    other_below numeric := (SELECT "place" FROM "task_places" WHERE "task_id" = other_parent);
    at numeric := (SELECT "place" FROM "task_places" WHERE "task_id" = "from_task");
    other numeric := (SELECT "place" FROM "task_places" WHERE "task_id" = "to_task");
    low numeric;
    moved uuid[];
BEGIN
    IF NOT "is_in_order"("of_tag") THEN
        RETURN false;
    END IF;
    IF at IS NULL THEN
        at := CASE WHEN other IS NULL THEN COALESCE(below - 1, 0) WHEN below IS NULL THEN other + 1
            WHEN other < below THEN other + (below - other) / 2 ELSE below - 1 END;
    END IF;
    other := COALESCE(other, LEAST(at, other_below) - 1);
    -- A parent that has no place yet has no edge either, nor has any of its subtasks.
    INSERT INTO "task_places" ("task_id", "place")
    SELECT * FROM (VALUES ("from_task", at), ("to_task", other), (parent, GREATEST(at, other) + 1),
        (other_parent, GREATEST(at, other) + 1)) AS placed("task_id", "place") WHERE "task_id" IS NOT NULL
    ON CONFLICT ("task_id") DO NOTHING;
    IF other < at THEN
        RETURN true;
    END IF;

    moved := ARRAY(
        WITH RECURSIVE reached("id") AS (
            SELECT "to_task"
            UNION
            SELECT step."target" FROM reached CROSS JOIN LATERAL (
                SELECT d."depends_on_id" AS "target" FROM "dependencies" d
                WHERE d."task_id" = reached."id" AND d."depends_on_id" IS NOT NULL
                UNION ALL
                SELECT s."id" FROM "tasks" s WHERE s."parent_id" = reached."id"
            ) step JOIN "task_places" p ON p."task_id" = step."target" AND p."place" >= at
        )
        SELECT "id" FROM reached
    );
    IF "from_task" = ANY(moved) THEN
        RETURN false;
    END IF;
    low := COALESCE((
        SELECT max(p."place") FROM unnest(moved) AS m("id") CROSS JOIN LATERAL (
            SELECT d."depends_on_id" AS "target" FROM "dependencies" d
            WHERE d."task_id" = m."id" AND d."depends_on_id" IS NOT NULL
            UNION ALL
            SELECT s."id" FROM "tasks" s WHERE s."parent_id" = m."id"
        ) step JOIN "task_places" p ON p."task_id" = step."target" WHERE p."place" < at
    ), at - 1);
    UPDATE "task_places" SET "place" = low + (at - low) * numbered."number" / (cardinality(moved) + 1)
    FROM (
        SELECT "task_id", row_number() OVER (ORDER BY "place") AS "number" FROM "task_places" WHERE "task_id" = ANY(moved)
    ) numbered
    WHERE "task_places"."task_id" = numbered."task_id";
    RETURN true;
END
$$;

-- Under another task it may be out of the order.
CREATE FUNCTION "take_out_of_order"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM "task_places" WHERE "task_id" = NEW."id";
    UPDATE "dependencies" SET "ordered" = false WHERE "ordered" AND "task_id" = NEW."id";
    UPDATE "dependencies" SET "ordered" = false WHERE "ordered" AND "depends_on_id" = NEW."id";
    RETURN NULL;
END
$$;

CREATE TRIGGER "tasks_out_of_order_on_update" AFTER UPDATE OF "parent_id" ON "tasks"
    FOR EACH ROW WHEN (NEW."parent_id" IS NOT NULL AND NEW."parent_id" IS DISTINCT FROM OLD."parent_id")
    EXECUTE FUNCTION "take_out_of_order"();

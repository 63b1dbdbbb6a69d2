-- What `next` asks of every task it looks at, kept on the task, so that an index can hold it: by how many dependencies a
-- task is ordered, those of an import that hold nothing included, and whether one of them leads to a task that is not
-- done. Such a task waits for sure; the others still have to be asked the whole rule.
ALTER TABLE "tasks"
    ADD COLUMN "dependency_count" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "waiting" BOOLEAN NOT NULL DEFAULT false;

-- Kept by the database itself, since the release before runs on this schema as well. Locks first and looks then, by a
-- statement of its own: of two transactions that each complete one of a task's last two dependencies, the second to come
-- sees what the first did.
CREATE FUNCTION "count_dependencies"("ids" uuid[]) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM "tasks" WHERE "id" = ANY("ids") ORDER BY "id" FOR NO KEY UPDATE;
    -- Asked of each by itself: a join would be planned by what the tables hold in general, and read them whole.
    UPDATE "tasks" SET "dependency_count" = counted."dependency_count", "waiting" = counted."waiting"
    FROM (
        SELECT given."id",
            (SELECT count(*) FROM "dependencies" d WHERE d."task_id" = given."id") AS "dependency_count",
            EXISTS (
                SELECT FROM "dependencies" d JOIN "tasks" o ON o."id" = d."depends_on_id"
                WHERE d."task_id" = given."id" AND o."status" <> 'done' OFFSET 0
            ) AS "waiting"
        FROM unnest("ids") AS given("id")
    ) counted
    WHERE "tasks"."id" = counted."id" AND ("tasks"."dependency_count" <> counted."dependency_count"
        OR "tasks"."waiting" <> counted."waiting");
END
$$;

-- What is not done is locked against becoming so meanwhile: whoever completes it could not see the new edge.
CREATE FUNCTION "count_dependencies_of_added"() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM "tasks" WHERE "id" = ANY(ARRAY(SELECT DISTINCT "depends_on_id" FROM "added")) AND "status" <> 'done'
    ORDER BY "id" FOR SHARE;
    PERFORM "count_dependencies"(array_agg(DISTINCT "task_id")) FROM "added" HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION "count_dependencies_of_removed"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM "count_dependencies"(array_agg(DISTINCT "task_id")) FROM "removed" HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION "count_dependencies_of_dependents"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM "count_dependencies"(array_agg(DISTINCT "task_id")) FROM "dependencies"
    WHERE "depends_on_id" = NEW."id" HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER "dependencies_counted_on_insert" AFTER INSERT ON "dependencies"
    REFERENCING NEW TABLE AS "added" FOR EACH STATEMENT EXECUTE FUNCTION "count_dependencies_of_added"();
CREATE TRIGGER "dependencies_counted_on_delete" AFTER DELETE ON "dependencies"
    REFERENCING OLD TABLE AS "removed" FOR EACH STATEMENT EXECUTE FUNCTION "count_dependencies_of_removed"();
CREATE TRIGGER "dependencies_counted_on_status" AFTER UPDATE OF "status" ON "tasks"
    FOR EACH ROW WHEN ((OLD."status" = 'done') <> (NEW."status" = 'done')) EXECUTE FUNCTION "count_dependencies_of_dependents"();

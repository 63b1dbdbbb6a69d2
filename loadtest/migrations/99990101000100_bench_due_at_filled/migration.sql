-- A writer whose row is in a batch waits until the batch is committed, so it is the batch's time that is bounded, not its
-- rows; and the pause behind it is as long as it took, so that where the disk is slow it leaves the writers their half.
-- What a writer holds is left out and found by the next pass: to wait for it would hold up all the rows of the batch, too.
DO $$
DECLARE
    last uuid;
    batch uuid[];
    size integer := 100;
    filled bigint;
    began timestamptz;
    written timestamptz;
BEGIN
    LOOP
        last := '00000000-0000-0000-0000-000000000000';
        LOOP
            batch := ARRAY(SELECT "id" FROM "tasks" WHERE "id" > last ORDER BY "id" LIMIT size);
            EXIT WHEN cardinality(batch) = 0;
            began := clock_timestamp();
            WITH free AS (
                SELECT "id" FROM "tasks" WHERE "id" = ANY(batch) AND "due_at" IS NULL
                ORDER BY "id" FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE "tasks" SET "due_at" = "created_at" + interval '14 days' FROM free WHERE "tasks"."id" = free."id";
            GET DIAGNOSTICS filled = ROW_COUNT;
            last := batch[cardinality(batch)];
            written := clock_timestamp();
            COMMIT;
            -- Run again after it was cut off, it passes quickly over what is done.
            CONTINUE WHEN filled = 0;
            IF written - began > interval '15 milliseconds' THEN
                size := greatest(size * 3 / 4, 50);
            ELSIF written - began < interval '10 milliseconds' THEN
                size := least(size * 5 / 4, 5000);
            END IF;
            PERFORM pg_sleep(greatest(extract(epoch FROM clock_timestamp() - began), 0.005));
        END LOOP;
        EXIT WHEN NOT EXISTS (SELECT FROM "tasks" WHERE "due_at" IS NULL);
    END LOOP;
END
$$;

ALTER TABLE "tasks" VALIDATE CONSTRAINT "tasks_due_at_check";

CREATE INDEX CONCURRENTLY IF NOT EXISTS "tasks_tag_id_due_at_idx" ON "tasks"("tag_id", "due_at");

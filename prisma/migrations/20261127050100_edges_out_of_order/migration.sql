-- The edges that the order of a tag's tasks does not hold for yet: none, but for those of an import, until the next is added.
CREATE INDEX CONCURRENTLY IF NOT EXISTS "dependencies_unordered_idx" ON "dependencies"("tag_id")
    WHERE NOT "ordered" AND "depends_on_id" IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS "dependencies_unordered_idx";

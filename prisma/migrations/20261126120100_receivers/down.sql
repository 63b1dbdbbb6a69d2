ALTER TABLE "links" DROP COLUMN "told_at", DROP COLUMN "told_delivery", DROP COLUMN "told_digest";

DROP TABLE "receivers";

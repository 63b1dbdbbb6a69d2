ALTER TABLE "links" ADD COLUMN "told_at" TIMESTAMPTZ(3), ADD COLUMN "told_delivery" TEXT, ADD COLUMN "told_digest" TEXT;

CREATE TABLE "receivers" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "provider" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "statuses" JSONB NOT NULL,
    "secret" TEXT NOT NULL,
    "previous_secret" TEXT,
    "previous_secret_expires_at" TIMESTAMPTZ(3),
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "receivers_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "receivers_version_check" CHECK ("version" >= 1),
    CONSTRAINT "receivers_previous_secret_check" CHECK (("previous_secret" IS NULL) = ("previous_secret_expires_at" IS NULL))
);

CREATE UNIQUE INDEX "receivers_organization_id_name_key" ON "receivers"("organization_id", "name");

ALTER TABLE "receivers" ADD CONSTRAINT "receivers_organization_id_fkey" FOREIGN KEY ("organization_id") REFERENCES "organizations"("id") ON DELETE CASCADE ON UPDATE CASCADE;

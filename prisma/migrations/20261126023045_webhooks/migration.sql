CREATE TABLE "webhooks" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "project_id" UUID,
    "url" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "events" TEXT[],
    "secret" TEXT NOT NULL,
    "previous_secret" TEXT,
    "previous_secret_expires_at" TIMESTAMPTZ(3),
    "disabled_at" TIMESTAMPTZ(3),
    "disabled_reason" TEXT,
    "failing_since" TIMESTAMPTZ(3),
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "webhooks_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "deliveries" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "webhook_id" UUID NOT NULL,
    "event_id" BIGINT,
    "type" TEXT NOT NULL,
    "data" JSONB NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'pending',
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "fence" INTEGER NOT NULL DEFAULT 0,
    "next_attempt_at" TIMESTAMPTZ(3) DEFAULT CURRENT_TIMESTAMP,
    "last_attempt_at" TIMESTAMPTZ(3),
    "response_status" INTEGER,
    "duration_ms" INTEGER,
    "error" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "deliveries_pkey" PRIMARY KEY ("id")
);

CREATE INDEX "webhooks_organization_id_id_idx" ON "webhooks"("organization_id", "id");

CREATE INDEX "webhooks_project_id_idx" ON "webhooks"("project_id");

CREATE INDEX "deliveries_webhook_id_id_idx" ON "deliveries"("webhook_id", "id");

ALTER TABLE "webhooks" ADD CONSTRAINT "webhooks_organization_id_fkey" FOREIGN KEY ("organization_id") REFERENCES "organizations"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "webhooks" ADD CONSTRAINT "webhooks_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_webhook_id_fkey" FOREIGN KEY ("webhook_id") REFERENCES "webhooks"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- What Prisma's language cannot say, written by hand.

ALTER TABLE "webhooks"
    ADD CONSTRAINT "webhooks_disabled_check" CHECK (("disabled_at" IS NULL) = ("disabled_reason" IS NULL) AND "disabled_reason" IN ('requested', 'gone', 'failing')),
    ADD CONSTRAINT "webhooks_previous_secret_check" CHECK (("previous_secret" IS NULL) = ("previous_secret_expires_at" IS NULL)),
    ADD CONSTRAINT "webhooks_version_check" CHECK ("version" >= 1);

ALTER TABLE "deliveries"
    ADD CONSTRAINT "deliveries_state_check" CHECK ("state" IN ('pending', 'delivered', 'dead')),
    ADD CONSTRAINT "deliveries_pending_check" CHECK (("state" = 'pending') = ("next_attempt_at" IS NOT NULL) AND ("state" = 'pending') = ("ended_at" IS NULL)),
    ADD CONSTRAINT "deliveries_attempts_check" CHECK ("attempts" >= 0);

-- The webhooks that a new event is looked for at: none, for most organizations.
CREATE INDEX "webhooks_enabled_idx" ON "webhooks"("organization_id") WHERE "disabled_at" IS NULL;

-- The queue: which webhooks have something waiting, and what is due at each. As small as the backlog, however long the log.
CREATE INDEX "deliveries_pending_idx" ON "deliveries"("webhook_id", "next_attempt_at", "id") WHERE "state" = 'pending';

-- The dead letters of a webhook, and what the retention deletes.
CREATE INDEX "deliveries_dead_idx" ON "deliveries"("webhook_id", "id") WHERE "state" = 'dead';
CREATE INDEX "deliveries_delivered_idx" ON "deliveries"("ended_at") WHERE "state" = 'delivered';

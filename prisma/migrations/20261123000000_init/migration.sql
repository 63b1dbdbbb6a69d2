-- CreateTable
CREATE TABLE "organizations" (
    "id" UUID NOT NULL,
    "slug" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "organizations_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "users" (
    "id" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "issuer" TEXT,
    "subject" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "users_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "agents" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "capabilities" TEXT[],
    "disabled_at" TIMESTAMPTZ(3),
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "agents_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "memberships" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "user_id" UUID,
    "agent_id" UUID,
    "role" TEXT NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "memberships_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "access_tokens" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "membership_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "hint" TEXT NOT NULL,
    "scopes" TEXT[],
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "access_tokens_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "projects" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "key" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "version" INTEGER NOT NULL DEFAULT 1,
    "event_sequence" BIGINT NOT NULL DEFAULT 0,
    "source" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "projects_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "tags" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "project_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "position" INTEGER NOT NULL,
    "next_local_number" INTEGER NOT NULL DEFAULT 1,
    "source" JSONB,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "tags_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "tasks" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "project_id" UUID NOT NULL,
    "tag_id" UUID NOT NULL,
    "parent_id" UUID,
    "segment" TEXT COLLATE "C" NOT NULL,
    "number" INTEGER,
    "title" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "details" TEXT NOT NULL DEFAULT '',
    "test_strategy" TEXT NOT NULL DEFAULT '',
    "status" TEXT NOT NULL,
    "priority" TEXT,
    "rank" TEXT COLLATE "C" NOT NULL,
    "assignee" TEXT,
    "effort" DOUBLE PRECISION,
    "actual_effort" DOUBLE PRECISION,
    "labels" TEXT[],
    "complexity" JSONB,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "extra" JSONB NOT NULL DEFAULT '{}',
    "source" JSONB,
    "version" INTEGER NOT NULL DEFAULT 1,
    "fence" BIGINT NOT NULL DEFAULT 0,
    "next_local_number" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- Each text is cut, because a tsvector of more than a megabyte would refuse the whole row.
    "search" tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', left("title", 40000)), 'A')
        || setweight(to_tsvector('simple', left("description", 40000)), 'B')
        || setweight(to_tsvector('simple', left("details", 40000)), 'C')
        || setweight(to_tsvector('simple', left("test_strategy", 40000)), 'D')
    ) STORED,

    CONSTRAINT "tasks_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "dependencies" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "tag_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "depends_on_id" UUID,
    "position" INTEGER NOT NULL,
    "raw" TEXT,
    "problem" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "dependencies_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "claims" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "project_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "live_task_id" UUID,
    "holder_id" UUID NOT NULL,
    "holder_kind" TEXT NOT NULL,
    "holder_name" TEXT NOT NULL,
    "fence" BIGINT NOT NULL,
    "ttl_seconds" INTEGER NOT NULL,
    "previous_status" TEXT NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "outcome" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "claims_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "attempts" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "claim_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "holder_id" UUID NOT NULL,
    "holder_kind" TEXT NOT NULL,
    "holder_name" TEXT NOT NULL,
    "outcome" TEXT NOT NULL,
    "note" TEXT NOT NULL DEFAULT '',
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "ended_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "attempts_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "comments" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "author_id" UUID NOT NULL,
    "author_kind" TEXT NOT NULL,
    "author_name" TEXT NOT NULL,
    "body" TEXT NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "comments_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "events" (
    "id" BIGSERIAL NOT NULL,
    "organization_id" UUID NOT NULL,
    "project_id" UUID,
    "sequence" BIGINT,
    "type" TEXT NOT NULL,
    "task_id" UUID,
    "actor_id" UUID,
    "actor_kind" TEXT NOT NULL,
    "actor_name" TEXT NOT NULL,
    "request_id" TEXT NOT NULL,
    "data" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "events_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "idempotency_records" (
    "id" BIGSERIAL NOT NULL,
    "organization_id" UUID NOT NULL,
    "actor_id" UUID NOT NULL,
    "key_hash" TEXT NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "result" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "idempotency_records_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "import_runs" (
    "id" UUID NOT NULL,
    "organization_id" UUID NOT NULL,
    "project_id" UUID NOT NULL,
    "actor_id" UUID NOT NULL,
    "mode" TEXT NOT NULL,
    "sha256" TEXT NOT NULL,
    "report" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "import_runs_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "organizations_slug_key" ON "organizations"("slug");

-- CreateIndex
CREATE UNIQUE INDEX "users_email_key" ON "users"("email");

-- CreateIndex
CREATE UNIQUE INDEX "users_issuer_subject_key" ON "users"("issuer", "subject");

-- CreateIndex
CREATE UNIQUE INDEX "agents_organization_id_name_key" ON "agents"("organization_id", "name");

-- CreateIndex
CREATE UNIQUE INDEX "memberships_agent_id_key" ON "memberships"("agent_id");

-- CreateIndex
CREATE INDEX "memberships_user_id_idx" ON "memberships"("user_id");

-- CreateIndex
CREATE UNIQUE INDEX "memberships_organization_id_user_id_key" ON "memberships"("organization_id", "user_id");

-- CreateIndex
CREATE UNIQUE INDEX "access_tokens_hash_key" ON "access_tokens"("hash");

-- CreateIndex
CREATE INDEX "access_tokens_organization_id_id_idx" ON "access_tokens"("organization_id", "id");

-- CreateIndex
CREATE INDEX "access_tokens_membership_id_idx" ON "access_tokens"("membership_id");

-- CreateIndex
CREATE UNIQUE INDEX "projects_organization_id_key_key" ON "projects"("organization_id", "key");

-- CreateIndex
CREATE INDEX "tags_organization_id_idx" ON "tags"("organization_id");

-- CreateIndex
CREATE UNIQUE INDEX "tags_project_id_name_key" ON "tags"("project_id", "name");

-- CreateIndex
CREATE INDEX "tasks_tag_id_rank_id_idx" ON "tasks"("tag_id", "rank", "id");

-- CreateIndex
CREATE INDEX "tasks_parent_id_idx" ON "tasks"("parent_id");

-- CreateIndex
CREATE INDEX "tasks_organization_id_id_idx" ON "tasks"("organization_id", "id");

-- CreateIndex
CREATE INDEX "tasks_search_idx" ON "tasks" USING GIN ("search");

-- CreateIndex
CREATE UNIQUE INDEX "tasks_id_tag_id_key" ON "tasks"("id", "tag_id");

-- CreateIndex
CREATE UNIQUE INDEX "tasks_tag_id_parent_id_segment_key" ON "tasks"("tag_id", "parent_id", "segment") NULLS NOT DISTINCT;

-- CreateIndex
CREATE INDEX "dependencies_depends_on_id_idx" ON "dependencies"("depends_on_id");

-- CreateIndex
CREATE INDEX "dependencies_tag_id_idx" ON "dependencies"("tag_id");

-- CreateIndex
CREATE UNIQUE INDEX "dependencies_task_id_depends_on_id_key" ON "dependencies"("task_id", "depends_on_id");

-- CreateIndex
CREATE UNIQUE INDEX "claims_live_task_id_key" ON "claims"("live_task_id");

-- CreateIndex
CREATE INDEX "claims_task_id_idx" ON "claims"("task_id");

-- CreateIndex
CREATE INDEX "claims_organization_id_id_idx" ON "claims"("organization_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "attempts_claim_id_key" ON "attempts"("claim_id");

-- CreateIndex
CREATE INDEX "attempts_organization_id_idx" ON "attempts"("organization_id");

-- CreateIndex
CREATE UNIQUE INDEX "attempts_task_id_number_key" ON "attempts"("task_id", "number");

-- CreateIndex
CREATE INDEX "comments_task_id_id_idx" ON "comments"("task_id", "id");

-- CreateIndex
CREATE INDEX "comments_organization_id_idx" ON "comments"("organization_id");

-- CreateIndex
CREATE INDEX "events_organization_id_id_idx" ON "events"("organization_id", "id");

-- CreateIndex
CREATE INDEX "events_task_id_id_idx" ON "events"("task_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "events_project_id_sequence_key" ON "events"("project_id", "sequence");

-- CreateIndex
CREATE INDEX "idempotency_records_created_at_idx" ON "idempotency_records"("created_at");

-- CreateIndex
CREATE UNIQUE INDEX "idempotency_records_organization_id_actor_id_key_hash_key" ON "idempotency_records"("organization_id", "actor_id", "key_hash");

-- CreateIndex
CREATE INDEX "import_runs_project_id_id_idx" ON "import_runs"("project_id", "id");

-- AddForeignKey
ALTER TABLE "agents" ADD CONSTRAINT "agents_organization_id_fkey" FOREIGN KEY ("organization_id") REFERENCES "organizations"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "memberships" ADD CONSTRAINT "memberships_organization_id_fkey" FOREIGN KEY ("organization_id") REFERENCES "organizations"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "memberships" ADD CONSTRAINT "memberships_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "memberships" ADD CONSTRAINT "memberships_agent_id_fkey" FOREIGN KEY ("agent_id") REFERENCES "agents"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "access_tokens" ADD CONSTRAINT "access_tokens_membership_id_fkey" FOREIGN KEY ("membership_id") REFERENCES "memberships"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "projects" ADD CONSTRAINT "projects_organization_id_fkey" FOREIGN KEY ("organization_id") REFERENCES "organizations"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "tags" ADD CONSTRAINT "tags_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_tag_id_fkey" FOREIGN KEY ("tag_id") REFERENCES "tags"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
-- Deferred, as the one from dependencies below: a task that moves to another tag takes its subtasks and the edges among
-- them along, row by row, and only the end result has to hold.
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_parent_id_tag_id_fkey" FOREIGN KEY ("parent_id", "tag_id") REFERENCES "tasks"("id", "tag_id") ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED;

-- AddForeignKey
ALTER TABLE "dependencies" ADD CONSTRAINT "dependencies_task_id_tag_id_fkey" FOREIGN KEY ("task_id", "tag_id") REFERENCES "tasks"("id", "tag_id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "dependencies" ADD CONSTRAINT "dependencies_depends_on_id_tag_id_fkey" FOREIGN KEY ("depends_on_id", "tag_id") REFERENCES "tasks"("id", "tag_id") ON DELETE CASCADE ON UPDATE NO ACTION DEFERRABLE INITIALLY DEFERRED;

-- AddForeignKey
ALTER TABLE "claims" ADD CONSTRAINT "claims_task_id_fkey" FOREIGN KEY ("task_id") REFERENCES "tasks"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_task_id_fkey" FOREIGN KEY ("task_id") REFERENCES "tasks"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "comments" ADD CONSTRAINT "comments_task_id_fkey" FOREIGN KEY ("task_id") REFERENCES "tasks"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "import_runs" ADD CONSTRAINT "import_runs_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- What Prisma's language cannot say, written by hand.

-- One live claim a task is the uniqueness of live_task_id; the checks keep that column honest.
ALTER TABLE "claims"
    ADD CONSTRAINT "claims_live_check" CHECK (("live_task_id" IS NULL) = ("ended_at" IS NOT NULL) AND ("live_task_id" IS NULL OR "live_task_id" = "task_id")),
    ADD CONSTRAINT "claims_outcome_check" CHECK (("outcome" IS NULL) = ("ended_at" IS NULL) AND "outcome" IN ('completed', 'failed', 'released', 'expired')),
    ADD CONSTRAINT "claims_fence_check" CHECK ("fence" >= 1),
    ADD CONSTRAINT "claims_ttl_seconds_check" CHECK ("ttl_seconds" >= 1);

ALTER TABLE "tasks"
    ADD CONSTRAINT "tasks_status_check" CHECK ("status" IN ('pending', 'in-progress', 'review', 'done', 'deferred', 'cancelled', 'blocked')),
    ADD CONSTRAINT "tasks_priority_check" CHECK ("priority" IN ('critical', 'high', 'medium', 'low')),
    ADD CONSTRAINT "tasks_parent_check" CHECK ("parent_id" <> "id"),
    ADD CONSTRAINT "tasks_version_check" CHECK ("version" >= 1),
    ADD CONSTRAINT "tasks_fence_check" CHECK ("fence" >= 0),
    ADD CONSTRAINT "tasks_next_local_number_check" CHECK ("next_local_number" >= 1);

ALTER TABLE "dependencies"
    ADD CONSTRAINT "dependencies_self_check" CHECK ("task_id" <> "depends_on_id"),
    ADD CONSTRAINT "dependencies_problem_check" CHECK (("depends_on_id" IS NULL) = ("problem" IS NOT NULL));

ALTER TABLE "memberships"
    ADD CONSTRAINT "memberships_role_check" CHECK ("role" IN ('owner', 'admin', 'member', 'viewer', 'agent')),
    ADD CONSTRAINT "memberships_member_check" CHECK (num_nonnulls("user_id", "agent_id") = 1 AND ("role" = 'agent') = ("agent_id" IS NOT NULL)),
    ADD CONSTRAINT "memberships_version_check" CHECK ("version" >= 1);

ALTER TABLE "organizations" ADD CONSTRAINT "organizations_version_check" CHECK ("version" >= 1);
ALTER TABLE "agents" ADD CONSTRAINT "agents_version_check" CHECK ("version" >= 1);
ALTER TABLE "projects" ADD CONSTRAINT "projects_version_check" CHECK ("version" >= 1);
ALTER TABLE "comments" ADD CONSTRAINT "comments_version_check" CHECK ("version" >= 1);
ALTER TABLE "tags"
    ADD CONSTRAINT "tags_version_check" CHECK ("version" >= 1),
    ADD CONSTRAINT "tags_next_local_number_check" CHECK ("next_local_number" >= 1);

-- The tail of the log that has no sequence yet: empty but for moments, so finding it costs next to nothing.
CREATE INDEX "events_unsequenced_idx" ON "events"("project_id", "id") WHERE "sequence" IS NULL;

-- The live claims by their expiry: what the sweep for expired ones reads.
CREATE INDEX "claims_live_expiry_idx" ON "claims"("expires_at") WHERE "live_task_id" IS NOT NULL;

-- Depth is at most 1. Each direction looks behind a row lock, so that of two transactions of which one gives a task a
-- subtask and the other makes it one, the second to come sees the first: FOR SHARE waits for an UPDATE of the parent,
-- and whoever updates parent_id holds its row already when it looks for subtasks.
CREATE FUNCTION "enforce_task_depth"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    parent record;
BEGIN
    SELECT "parent_id" INTO parent FROM "tasks" WHERE "id" = NEW."parent_id" FOR SHARE;
    IF parent."parent_id" IS NOT NULL THEN
        RAISE EXCEPTION 'a subtask cannot have subtasks'
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'tasks_depth_check';
    END IF;
    IF EXISTS (SELECT FROM "tasks" WHERE "parent_id" = NEW."id") THEN
        RAISE EXCEPTION 'a task with subtasks cannot become a subtask'
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'tasks_depth_check';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER "tasks_depth_on_insert" AFTER INSERT ON "tasks"
    FOR EACH ROW WHEN (NEW."parent_id" IS NOT NULL) EXECUTE FUNCTION "enforce_task_depth"();
CREATE TRIGGER "tasks_depth_on_update" AFTER UPDATE OF "parent_id" ON "tasks"
    FOR EACH ROW WHEN (NEW."parent_id" IS NOT NULL AND NEW."parent_id" IS DISTINCT FROM OLD."parent_id") EXECUTE FUNCTION "enforce_task_depth"();

# Every command works on a fresh machine with npm (any Node >= 20) and make; the project itself runs on the Node 24
# that the dev dependency `node` brings.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run dev token test lint format build peer schemathesis redis conformance check-migrations backup-suite \
  bench bench-full bench-compare bench-ratios bench-claims bench-growth bench-graph bench-start bench-migrate bench-backup \
  bench-lost-updates bench-overload bench-streams bench-file bench-observability image image-suite chart alerts security workflows \
  chart-docs chart-settings configuration terraform terraform-docs e2e clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: dist/.built ## Start the server on port 3000 with all it needs; DATABASE_URL uses your own PostgreSQL, or file:PATH
	@case "$$DATABASE_URL" in postgres*) node dist/bin/cli.js migrate up ;; esac
	@node dist/bin/cli.js serve --welcome

dev: ## Develop on kind with Tilt: the chart, live updates, buttons (kind create cluster --config k8s/kind.yaml)
	@tilt up

test: node_modules/.installed ## Check types and run every unit and integration test, with coverage
	@npm run -s types
	@npm run -s test

lint: node_modules/.installed ## Formatter, linter, import law, unused code
	@npm run -s lint

format: node_modules/.installed ## Format and mend what the linter can mend
	@npm run -s format

build: dist/.built ## Bundle the program into dist/

token: dist/.built ## Make a new owner token, when the first is lost
	@node dist/bin/cli.js token

peer: dist/.built ## Check exports with the task-master-ai command line (installs it aside, from npm)
	@service/test/peer/check.sh

conformance: node_modules/.installed ## Run the MCP project's conformance suite against the server's own transport
	@vitest run --project conformance

schemathesis: dist/.built ## Run Schemathesis against the OpenAPI document (installs it aside, from PyPI)
	@service/test/schemathesis/run.sh

check-migrations: node_modules/.installed ## Try every migration both ways, lint it, and compare the Prisma schema
	@node service/src/bin/cli.ts migrate check

backup-suite: node_modules/.installed ## Test backups on PostgreSQL 17 and MinIO in containers (needs a Docker engine)
	@service/test/backup.sh

bench: dist/.built ## Constant rates of each kind of request: how long they take, as a table, JSON and a page (needs k6)
	@node loadtest/scenarios.ts

bench-full: dist/.built ## All benches that need no more than this machine, the soak included: about an hour (needs k6, pgbench)
	@failed=0; for bench in "scenarios.ts --full" ratios.ts claims.ts growth.ts graph.ts start.ts observability.ts; do \
	  echo "== $$bench"; node loadtest/$$bench || failed=1; done; \
	  $(MAKE) -s bench-streams || failed=1; node loadtest/page.ts; exit $$failed

bench-ratios: dist/.built ## Requests a second against pgbench with the same statements, and the same by hand (needs pgbench)
	@node loadtest/ratios.ts

bench-claims: dist/.built ## Sixteen claimers of one tag against one
	@node loadtest/claims.ts

bench-growth: dist/.built ## Get, list and update from 1,000 to 1,000,000 tasks
	@node loadtest/growth.ts

bench-graph: dist/.built ## What is next, and one edge more, in a graph of 100,000 edges
	@node loadtest/graph.ts

bench-overload: dist/.built ## Ten times what a server can do: what is refused, what is done, what is left of it after
	@node loadtest/overload.ts

bench-start: dist/.built ## How soon a server is ready, and its memory
	@node loadtest/start.ts

bench-compare: node_modules/.installed ## Is HEAD slower than BASE? Two git refs, or folders that are built: BASE=… HEAD=…
	@node loadtest/compare.ts $(BASE) $(HEAD)

bench-backup: dist/.built ## Back up, drill and restore a million tasks: time and memory
	@node loadtest/backup.ts

bench-migrate: node_modules/.installed ## Migrations of a million tasks under 500 writes a second: what the writers notice
	@node loadtest/migrate-under-load.ts

bench-lost-updates: dist/.built ## MCP servers on one tasks.json at once, ours and the task-master-ai tool's: what is lost
	@node loadtest/lost-updates.ts $(if $(PEER_DIR),--peer $(PEER_DIR))

bench-streams: dist/.built ## Two thousand open event streams of one server: how soon they have an event, and its memory
	@NODE_OPTIONS="--max-semi-space-size=2 --max-old-space-size=144" node loadtest/streams.ts

bench-file: node_modules/.installed ## Single changes of a tasks.json as large as the largest known one
	@node loadtest/file-change.ts

bench-observability: dist/.built ## What metrics, traces and logs cost together: throughput with all against none
	@node loadtest/observability.ts

image: ## Build the container image task-master-pro:VERSION; IMAGE names it otherwise (needs a Docker engine)
	@DOCKER_BUILDKIT=1 docker build -t "$${IMAGE:-task-master-pro:$$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)}" \
	  --build-arg VERSION="$$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)" \
	  --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" .

image-suite: ## Build the image and try it: size, user, signals, health (needs a Docker engine)
	@service/test/image.sh

chart: node_modules/.installed ## Lint the chart, check what it renders (needs helm, kubectl, kubeconform, kube-score, helm-docs)
	@service/test/chart/static.sh

alerts: node_modules/.installed ## Test the chart's rules and alerts by promtool (needs helm)
	@service/test/alerts/run.sh

security: node_modules/.installed ## Secrets, lockfile, SBOM and licences, rules on the sources, chart, Terraform, Dockerfile (needs Go, helm, kube-score)
	@service/test/security.sh

terraform: ## Check the Terraform module: format, validity, tests, and that the chart takes it (needs tofu or terraform, and helm)
	@service/test/terraform.sh

terraform-docs: ## Write the Terraform module's README from its variables
	@terraform-docs terraform

workflows: node_modules/.installed ## Lint .github/workflows: syntax, pinned actions, rights, limits (needs actionlint)
	@actionlint
	@node service/test/workflows/check.ts

chart-docs: ## Write the chart's README from its values
	@helm-docs --chart-search-root charts --log-level warning

chart-settings: node_modules/.installed ## Write the program's settings into the schema of the chart's values
	@node service/test/chart/settings.ts

configuration: node_modules/.installed ## Write docs/configuration.md from the settings that the program knows
	@node service/test/docs/configuration.ts

e2e: node_modules/.installed ## Install, upgrade, roll back, restore on a cluster, under load (needs kubectl, helm, k6, Docker)
	@service/test/e2e/run.sh

clean: ## Remove what was built; your data in ./data stays
	rm -rf dist coverage node_modules

node_modules/.installed: package.json package-lock.json
	@echo "Installing the packages that package-lock.json names (about a minute)…"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

dist/.built: node_modules/.installed prisma/schema.prisma $(shell find service/src -name '*.ts' 2>/dev/null) tsconfig.json rolldown.config.ts
	@echo "Building…"
	@npm run -s build >/dev/null
	@touch $@

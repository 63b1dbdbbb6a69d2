#!/usr/bin/env bash
# Installs, upgrades and rolls back the chart on a real cluster, as its users see it through the ingress. Needs kubectl and helm
# for a cluster that takes local images by LOAD_IMAGE (a command; `kind load docker-image` on kind), k6, jq, and a Docker engine.
set -euo pipefail
cd "$(dirname "$0")/../../.."
export PATH="$PWD/node_modules/.bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export E2E_IMAGE=${E2E_IMAGE:-task-master-pro:e2e} E2E_NEXT_IMAGE=${E2E_NEXT_IMAGE:-task-master-pro:e2e-next}
IMAGE=$E2E_IMAGE make -s image >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
# The release after this one: it has a migration more, and cannot run without it.
migration=20990101000000_e2e
mkdir -p "$work/next/$migration"
# What the program says that it needs, and knows; the bundler may have written the text in the place of the name.
window=$(sed -n 's/^export const schema.* = "\(.*\)";$/\1/p' service/src/storage/postgres/window.ts | sort -u | paste -sd '|')
echo 'ALTER TABLE "tasks" ADD COLUMN "e2e" TEXT;' >"$work/next/$migration/migration.sql"
echo 'ALTER TABLE "tasks" DROP COLUMN "e2e";' >"$work/next/$migration/down.sql"
echo '{ "kind": "expand", "reversible": true, "transaction": true, "loses": { "up": [], "down": ["tasks.e2e"] } }' >"$work/next/$migration/migration.json"
cat >"$work/next/Dockerfile" <<DOCKERFILE
FROM $E2E_IMAGE
USER root
COPY $migration /app/prisma/migrations/$migration
RUN sed -i -E 's/"($window)"/"$migration"/' dist/*.js && grep -q '"$migration"' dist/*.js
USER 10001:10001
DOCKERFILE
build() { DOCKER_BUILDKIT=1 docker build -q -t "$1" "$2" >/dev/null; }
build "$E2E_NEXT_IMAGE" "$work/next"
# One that migrates, and then does not start; and one whose migration fails.
export E2E_BROKEN_IMAGE=${E2E_IMAGE%:*}:e2e-broken E2E_FAILING_IMAGE=${E2E_IMAGE%:*}:e2e-failing
mkdir -p "$work/broken" "$work/failing"
cat >"$work/broken/Dockerfile" <<DOCKERFILE
FROM $E2E_NEXT_IMAGE
USER root
RUN echo 'throw new Error("this release does not start");' >dist/serve.js
USER 10001:10001
DOCKERFILE
build "$E2E_BROKEN_IMAGE" "$work/broken"
cat >"$work/failing/Dockerfile" <<DOCKERFILE
FROM $E2E_NEXT_IMAGE
USER root
RUN cp -r prisma/migrations/$migration prisma/migrations/20990102000000_fails \
  && echo 'SELECT 1/0;' >prisma/migrations/20990102000000_fails/migration.sql
USER 10001:10001
DOCKERFILE
build "$E2E_FAILING_IMAGE" "$work/failing"
# One that starts, is ready, and does not do its work: the next task of every tag is not found.
export E2E_WRONG_IMAGE=${E2E_IMAGE%:*}:e2e-wrong
mkdir -p "$work/wrong"
cat >"$work/wrong/Dockerfile" <<DOCKERFILE
FROM $E2E_NEXT_IMAGE
USER root
RUN sed -i 's/graphs.next(contextOf(request), key, tag,/graphs.next(contextOf(request), key, "other",/' dist/*.js \
  && grep -q 'key, "other",' dist/*.js
USER 10001:10001
DOCKERFILE
build "$E2E_WRONG_IMAGE" "$work/wrong"
${LOAD_IMAGE:-kind load docker-image} "$E2E_IMAGE" "$E2E_NEXT_IMAGE" "$E2E_BROKEN_IMAGE" "$E2E_FAILING_IMAGE" "$E2E_WRONG_IMAGE"
vitest run --project e2e "$@"

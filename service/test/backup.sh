#!/usr/bin/env bash
# Backups on a real PostgreSQL 17 with its own pg_dump, and on a real S3 server (MinIO), in containers: everything runs in
# the image of PostgreSQL, which has both programs, with the checkout mounted into it. Needs a Docker engine.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"
postgres=postgres:17-trixie
minio=minio/minio:latest
id=task-master-pro-test-$$
free_port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'; }
cleanup() { docker rm -f "$id-postgres" "$id-minio" "$id-suite" >/dev/null 2>&1 || true; }
trap cleanup EXIT

database_port=$(free_port)
s3_port=$(free_port)
export AWS_ACCESS_KEY_ID=minio-test AWS_SECRET_ACCESS_KEY=minio-test-secret AWS_REGION=us-east-1
docker run -d --name "$id-postgres" --network host -e POSTGRES_PASSWORD=test "$postgres" \
  postgres -c listen_addresses=127.0.0.1 -c "port=$database_port" -c fsync=off -c max_connections=200 \
  -c unix_socket_directories=/tmp >/dev/null
docker run -d --name "$id-minio" --network host \
  -e MINIO_ROOT_USER="$AWS_ACCESS_KEY_ID" -e MINIO_ROOT_PASSWORD="$AWS_SECRET_ACCESS_KEY" \
  "$minio" server /data --address "127.0.0.1:$s3_port" >/dev/null

url=postgres://postgres:test@127.0.0.1:$database_port/postgres
for attempt in $(seq 1 120); do
  if docker exec "$id-postgres" pg_isready -q -h 127.0.0.1 -p "$database_port" &&
    curl -fsS "http://127.0.0.1:$s3_port/minio/health/live" >/dev/null 2>&1; then break; fi
  if [ "$attempt" -eq 120 ]; then
    echo "PostgreSQL or MinIO did not start:" >&2
    docker logs "$id-postgres" 2>&1 | tail -n 20 >&2
    docker logs "$id-minio" 2>&1 | tail -n 20 >&2
    exit 1
  fi
  sleep 0.5
done

# A folder at the top of its data is a bucket.
docker exec "$id-minio" mkdir /data/backups

docker run --rm --name "$id-suite" --network host --user 0 --entrypoint /bin/sh \
  -v "$PWD:$PWD" -w "$PWD" --tmpfs /small:size=1m \
  -e TEST_DATABASE_URL="$url" -e TEST_S3_ENDPOINT="http://127.0.0.1:$s3_port" -e TEST_S3_BUCKET=backups \
  -e AWS_ACCESS_KEY_ID -e AWS_SECRET_ACCESS_KEY -e AWS_REGION -e TEST_SMALL_DIRECTORY=/small -e CI -e TEST_KILL_EVERY \
  "$postgres" -c "PATH=$PWD/node_modules/.bin:\$PATH exec vitest run --project backup $*"

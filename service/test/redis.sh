#!/usr/bin/env bash
# The rate limit shared by processes, on a real Redis: installs one where there is none, and starts it on a free port.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"
if ! command -v redis-server >/dev/null; then
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends redis-server >/dev/null
fi
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
redis-server --bind 127.0.0.1 --port "$port" --save '' --appendonly no >/dev/null &
redis=$!
trap 'kill "$redis" 2>/dev/null; wait "$redis" 2>/dev/null || true' EXIT
TEST_REDIS_URL=redis://127.0.0.1:$port vitest run --project redis

# Sourced by the suites that talk to a real server: starts one on a free port with a database of its own, and sets
# URL and TOKEN. It is stopped, by its own process id, when the suite ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"
work=$(mktemp -d)
# The embedded database may run as another user, who must be able to pass.
chmod 711 "$work"

start_server() {
  export PORT TASKMASTER_DATA_DIRECTORY="$work/data"
  PORT=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
  URL=http://127.0.0.1:$PORT
  node dist/bin/cli.js serve --welcome >>"$work/server.log" 2>&1 &
  server=$!
  for _ in $(seq 1 300); do
    if curl -fsS "$URL/readyz" >/dev/null 2>&1; then
      TOKEN=$(grep -o 'tmp_[0-9a-f]\{64\}' "$work/server.log" | head -n 1)
      return
    fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.2
  done
  echo "the server did not become ready:" >&2
  cat "$work/server.log" >&2
  return 1
}

stop_server() {
  [ -n "${server:-}" ] || return 0
  kill -INT "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=
}

trap 'stop_server; rm -rf "$work"' EXIT

api() { # METHOD PATH [curl arguments]
  local method=$1 path=$2
  shift 2
  curl -sS -X "$method" "$URL/api/v1$path" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" "$@"
}

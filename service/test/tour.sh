#!/usr/bin/env bash
# A newcomer's way: `make run`, then exactly the command that it prints, on the example and on real files; then a
# restart, which must keep everything and print no token.
source "$(dirname "$0")/with-server.sh"
export PORT TASKMASTER_DATA_DIRECTORY="$work/data" LOG_LEVEL=warn
PORT=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
URL=http://127.0.0.1:$PORT
unset DATABASE_URL

wait_ready() {
  for _ in $(seq 1 600); do
    curl -fsS "$URL/readyz" >/dev/null 2>&1 && return
    sleep 0.2
  done
  cat "$1"
  exit 1
}
# Ctrl+C at a terminal reaches make and the server; here the server alone, by its own id, and make ends with it.
stop() {
  kill -INT "$(pgrep -P "$1")"
  wait "$1"
}
expect() { # WHAT PATTERN TEXT
  if grep -q "$2" <<<"$3"; then echo "ok: $1"; else
    echo "not ok: $1"
    echo "$3"
    exit 1
  fi
}

make -s run >"$work/first.log" 2>&1 &
first=$!
wait_ready "$work/first.log"
sed -n '/^  export TOKEN=/,/^$/p' "$work/first.log" >"$work/paste.sh"
expect "the welcome has a command to paste" "curl" "$(cat "$work/paste.sh")"
answer=$(bash -e "$work/paste.sh")
expect "the pasted command names the next task" '"localId":"2.2"' "$answer"
TOKEN=$(grep -o 'tmp_[0-9a-f]\{64\}' "$work/first.log" | head -n 1)

number=0
for file in "${SAMPLES_DIR:-../shared/samples}"/*.json; do
  [ -f "$file" ] || { echo "left out: real files (${SAMPLES_DIR:-../shared/samples} is not there)"; break; }
  number=$((number + 1))
  api POST /projects -d "{\"key\":\"R$number\",\"name\":\"$number\"}" --fail -o /dev/null
  report=$(api POST "/projects/R$number/import?dryRun=true&mode=quarantine" --data-binary "@$file" --fail)
  expect "dry run of $(basename "$file")" '"accepted":true' "$report"
  api POST "/projects/R$number/import?mode=quarantine" --data-binary "@$file" --fail -o /dev/null
  api GET "/projects/R$number/export" --fail -o "$work/export.json"
  cmp "$work/export.json" "$file" && echo "ok: $(basename "$file") comes back byte for byte"
done
stop "$first"

make -s run >"$work/second.log" 2>&1 &
second=$!
wait_ready "$work/second.log"
expect "a restart keeps everything" '"localId":"2.2"' "$(api GET /projects/DEMO/tags/master/next)"
if grep -q 'tmp_[0-9a-f]\{64\}' "$work/second.log"; then
  echo "not ok: a token was made at the second start as well"
  exit 1
fi
echo "ok: no second token"
stop "$second"

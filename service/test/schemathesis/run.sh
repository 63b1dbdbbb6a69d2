#!/usr/bin/env bash
# Schemathesis, all phases and checks, on the OpenAPI document of a real server. What is set otherwise than by default,
# and why, is in schemathesis.toml; EXAMPLES, ROUNDS and SEED make it another run.
# The tool is installed aside, from PyPI.
source "$(dirname "$0")/../with-server.sh"
version=4.32.5
tool=${SCHEMATHESIS:-}
if [ -z "$tool" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
  tool=$work/venv/bin/schemathesis
fi
# The limits are tested elsewhere; here they would refuse the thousands of requests to come.
export TASKMASTER_RATE_LIMIT_MAX=1000000000 TASKMASTER_STREAMS_PER_TOKEN_MAX=1000 TASKMASTER_TRUST_PROXY=127.0.0.1
export LOG_LEVEL=warn
# The webhooks that it makes up may lead to somebody.
export TASKMASTER_WEBHOOK_CONCURRENCY=0
start_server
api POST /projects -d '{"key":"DEMO","name":"Demo"}' --fail -o /dev/null
api POST /projects/DEMO/import --data-binary @service/examples/tasks.json --fail -o /dev/null
me=$(api GET /me --fail)
export OWN_TOKEN OWN_MEMBERSHIP
OWN_TOKEN=$(node -p 'JSON.parse(process.argv[1]).tokenId' "$me")
OWN_MEMBERSHIP=$(node -p 'JSON.parse(process.argv[1]).membershipId' "$me")
cp service/test/schemathesis/{schemathesis.toml,hooks.py} "$work"
cd "$work"
check() { # NUMBER [arguments of the tool]
  # Each run tries wrong credentials on every operation, which the server would take for a flood from one address.
  "$tool" --config-file schemathesis.toml run "$URL/openapi.json" --seed "$((seed + $1))" \
    -H "Authorization: Bearer $TOKEN" -H "X-Forwarded-For: 192.0.2.$1" "${@:2}"
}
seed=${SEED:-20260101}
check 0 --phases examples,coverage,fuzzing ${EXAMPLES:+--max-examples "$EXAMPLES"}
# The tool ends its sequences of requests as soon as one begins like an earlier one and is answered otherwise, as it
# must be once the data have changed. So several runs, each with sequences of its own.
for round in $(seq 1 "${ROUNDS:-8}"); do
  check "$round" --phases stateful
done
# A crash is a finding even where the tool took the answer for a good one.
if grep -q '"level":"\(error\|fatal\)"' server.log; then
  echo "the server logged an error:"
  grep '"level":"\(error\|fatal\)"' server.log | head -n 5
  exit 1
fi

#!/usr/bin/env bash
# Schemathesis, all phases and checks, on the OpenAPI document of a real server. What is set otherwise than by default,
# and why, is in schemathesis.toml. The tool is installed aside, from PyPI.
source "$(dirname "$0")/../with-server.sh"
version=4.32.5
tool=${SCHEMATHESIS:-}
if [ -z "$tool" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
  tool=$work/venv/bin/schemathesis
fi
# The limits are tested elsewhere; here they would refuse the thousands of requests to come.
export TASKMASTER_RATE_LIMIT_MAX=1000000000 LOG_LEVEL=warn
start_server
api POST /projects -d '{"key":"DEMO","name":"Demo"}' --fail -o /dev/null
api POST /projects/DEMO/import --data-binary @service/examples/tasks.json --fail -o /dev/null
cp service/test/schemathesis/schemathesis.toml "$work"
cd "$work"
"$tool" --config-file schemathesis.toml run "$URL/openapi.json" \
  -H "Authorization: Bearer $TOKEN" --continue-on-failure --max-examples "${EXAMPLES:-25}"
# A crash is a finding even where the tool took the answer for a good one.
if grep -q '"level":"\(error\|fatal\)"' server.log; then
  echo "the server logged an error:"
  grep '"level":"\(error\|fatal\)"' server.log | head -n 5
  exit 1
fi

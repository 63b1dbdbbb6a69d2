#!/usr/bin/env bash
# Imports real files into a real server, exports them in canonical form, and lets the task-master-ai command line read
# the result. Reads the files of SAMPLES_DIR (by default ../shared/samples), or the example where there are none.
source "$(dirname "$0")/../with-server.sh"
samples=${SAMPLES_DIR:-../shared/samples}
if [ -d "$samples" ]; then
  files=("$samples"/*.json)
else
  echo "left out: the real files ($samples is not there); only the example is checked"
  files=(service/examples/tasks.json)
fi
start_server
exports=()
number=0
for file in "${files[@]}"; do
  number=$((number + 1))
  api POST /projects -d "{\"key\":\"P$number\",\"name\":\"$number\"}" >/dev/null
  api POST "/projects/P$number/import?mode=quarantine" --data-binary "@$file" --fail -o /dev/null
  mkdir -p "$work/$number"
  export_file="$work/$number/$(basename "$file")"
  api GET "/projects/P$number/export?form=canonical" --fail -o "$export_file"
  exports+=("$export_file")
done
stop_server
node service/test/peer/accepts.ts "${exports[@]}"

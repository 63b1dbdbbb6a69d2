#!/usr/bin/env bash
# Imports real files into a real server, exports them in canonical form, and lets the task-master-ai command line read
# the result: it must see every task, find no fault, and name the next task that compat mode names. Reads the files of SAMPLES_DIR (by default ../shared/samples), or the example where there are none.
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
answers='{}'
number=0
for file in "${files[@]}"; do
  number=$((number + 1))
  api POST /projects -d "{\"key\":\"P$number\",\"name\":\"$number\"}" --fail -o /dev/null
  api POST "/projects/P$number/import?mode=quarantine" --data-binary "@$file" --fail -o /dev/null
  mkdir -p "$work/$number"
  export_file="$work/$number/$(basename "$file")"
  api GET "/projects/P$number/export?form=canonical" --fail -o "$export_file"
  exports+=("$export_file")
  # The canonical form once more, for what compat mode names in it; strict, since it must have no problem left.
  api POST /projects -d "{\"key\":\"C$number\",\"name\":\"$number\"}" --fail -o /dev/null
  api POST "/projects/C$number/import" --data-binary "@$export_file" --fail -o /dev/null
  while IFS= read -r tag; do
    encoded=$(node -p 'encodeURIComponent(process.argv[1])' "$tag")
    api GET "/projects/C$number/tags/$encoded/next?mode=compat" --fail -o "$work/next.json"
    answers=$(node -e '
      const [answers, file, tag, next] = process.argv.slice(1);
      const all = JSON.parse(answers);
      const task = JSON.parse(require("fs").readFileSync(next, "utf8")).task;
      (all[file] ??= {})[tag] = task === null ? null : task.localId;
      console.log(JSON.stringify(all));' "$answers" "$export_file" "$tag" "$work/next.json")
  done < <(node -p 'Object.keys(JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"))).join("\n")' "$export_file")
done
stop_server
echo "$answers" >"$work/answers.json"
node service/test/peer/accepts.ts ${PEER_DIR:+--peer "$PEER_DIR"} --next "$work/answers.json" "${exports[@]}"

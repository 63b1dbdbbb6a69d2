#!/usr/bin/env bash
# Puts an image into a release, and takes it back by itself when it does not do its work.
usage() {
  cat <<'HELP'
Usage: scripts/deploy.sh --release NAME --namespace NAME --image IMAGE [options] [-- ARGUMENTS OF HELM UPGRADE]

  1. helm upgrade --install: migrations, then one pod after another, each ready before an old one goes. If that does not end well within
     --timeout, Helm goes back by itself.
  2. scripts/smoke-gate.sh: is it of use, too? If not, helm rollback to the revision before, and the gate once more, on that one.

Every step says how long it took. The schema is never taken back: the release before can work on it (docs/migrations.md).

Options:
  --release NAME      the release; it is installed when it is not there
  --namespace NAME    where it is
  --image IMAGE       REPOSITORY@sha256:… or REPOSITORY:TAG; the chart's values image.* follow from it
  --chart CHART       a folder, or oci://…; charts/task-master-pro beside this script by default
  --url URL           where users reach it: the gate goes that way as well, with TASKMASTER_TOKEN
  --context NAME      the context of kubectl's configuration; the current one by default
  --timeout TIME      the longest that one step of Helm may take; 5m by default
  -- …                goes to helm upgrade as it is: -f values.yaml, --set a=b. Values are not carried over from the release
                      before, so give all of them each time.

Exit codes:
  0  the image serves
  1  it does not, and what was there before serves (or, at a first install, nothing does)
  2  wrong command line, or another deployment is at it: nothing was touched
  3  it does not, and going back failed as well: a person is needed, now

Examples:
  scripts/deploy.sh --release tasks --namespace staging --image ghcr.io/task-master-pro/task-master-pro@sha256:… \
    --url https://tasks.staging.example.com -- -f charts/task-master-pro/values-staging.yaml
HELP
}
. "$(dirname "$0")/lib.sh"
image="" url="" timeout=5m chart=$(dirname "$0")/../charts/task-master-pro
while [ "$#" -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --release | --namespace | --image | --chart | --url | --context | --timeout) take "$@"; shift 2 ;;
    --) shift; break ;;
    *) refuse "$1 is no option of this script; what is for helm comes after --." ;;
  esac
done
check_release
[ -n "$image" ] || refuse "--image is missing."
if [[ $image =~ ^(.+)@(sha256:[0-9a-f]{64})$ ]]; then
  of_image="image.repository=${BASH_REMATCH[1]},image.digest=${BASH_REMATCH[2]}"
elif [[ $image =~ ^(.+):([A-Za-z0-9_][A-Za-z0-9_.-]*)$ ]]; then
  of_image="image.repository=${BASH_REMATCH[1]},image.digest=,image.tag=${BASH_REMATCH[2]}"
else
  refuse "--image $image is neither REPOSITORY@sha256:… nor REPOSITORY:TAG."
fi
check_url
need helm kubectl jq

before=$(history_of) || exit 2
state=$(jq -r 'last.status // ""' <<<"$before")
if [[ $state == pending-* ]]; then
  complain "the release $release is in the state $state: another deployment is at it, or was cut off. If none is: scripts/rollback.sh."
  exit 2
fi
good=$(jq -r 'map(select(.status == "deployed")) | last.revision // ""' <<<"$before")

gate() {
  "$(dirname "$0")/smoke-gate.sh" --release "$release" --namespace "$namespace" ${context:+--context "$context"} ${url:+--url "$url"}
}

say "deploying $image as $release in $namespace (now: ${good:+revision }${good:-nothing})"
started=$(now)
if ! helm_here upgrade --install "$release" "$chart" --rollback-on-failure --wait --timeout "$timeout" "$@" \
  --set-string "$of_image" >/dev/null; then
  took=$(since "$started")
  after=$(history_of) || exit 3
  # Helm ends before it has done anything when a value is wrong or the cluster is away.
  if [ "$(jq -r 'last.revision // ""' <<<"$after")" = "$(jq -r 'last.revision // ""' <<<"$before")" ]; then
    complain "helm refused, and changed nothing, after $took s; why is above."
    exit 1
  fi
  case $(jq -r 'last | "\(.status) \(.description)"' <<<"$after") in
    deployed\ Rollback\ to\ *)
      complain "$image did not become ready; Helm went back to revision $good by itself. All of it took $took s; why is above."
      gate || { complain "what was there before is back, and not well: a person is needed."; exit 3; }
      say "back on revision $good, which is well"
      exit 1
      ;;
  esac
  if [ -z "$good" ] && [ "$(jq length <<<"$after")" = 0 ]; then
    complain "$image did not become ready; Helm took the first install away again, after $took s; why is above."
    exit 1
  fi
  complain "$image did not become ready, and Helm could not go back: a person is needed. See: helm -n $namespace history $release"
  exit 3
fi
say "deployed: every pod is ready, in $(since "$started") s"

gate && { say "$image serves, after $(since "$started") s in all"; exit 0; }

if [ -z "$good" ]; then
  complain "this was the first install: there is nothing to go back to, and it is left as it is, to be looked at."
  exit 3
fi
back=$(now)
complain "going back to revision $good"
if ! helm_here rollback "$release" "$good" --wait --timeout "$timeout" >/dev/null; then
  complain "helm rollback failed: a person is needed. See: helm -n $namespace history $release"
  exit 3
fi
say "back on revision $good: every pod is ready, in $(since "$back") s, $(since "$started") s after the deployment began"
gate || { complain "what was there before is back, and not well: a person is needed."; exit 3; }
exit 1

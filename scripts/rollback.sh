#!/usr/bin/env bash
# Takes a release back to an earlier revision.
usage() {
  cat <<'HELP'
Usage: scripts/rollback.sh --release NAME --namespace NAME [--to REVISION] [options]

Takes a release back to an earlier revision, waits until every pod of it is ready, and asks the smoke gate.

Without --to it is the newest revision before this one that has served. After a rollback that would be the one that was just left,
so then --to is asked for. The schema stays as it is, since the release before can work on it; docs/upgrading.md says how to take it back.

Options:
  --release NAME      the release, as in `helm list`
  --namespace NAME    where it is
  --to REVISION       the revision, as in `helm history`
  --dry-run           only say where it would go
  --url URL           where users reach it: the gate goes that way as well, with TASKMASTER_TOKEN
  --context NAME      the context of kubectl's configuration; the current one by default
  --timeout TIME      the longest that Helm may take; 5m by default

Exit codes: 0 the revision serves, 2 wrong command line or nothing to go back to: nothing was touched, 3 it did not come up, or is
not well: a person is needed.

Examples:
  scripts/rollback.sh --release tasks --namespace production --dry-run
  scripts/rollback.sh --release tasks --namespace production --to 41
HELP
}
. "$(dirname "$0")/lib.sh"
to="" dry="" url="" timeout=5m
while [ "$#" -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --release | --namespace | --to | --url | --context | --timeout) take "$@"; shift 2 ;;
    --dry-run) dry=yes; shift ;;
    *) refuse "$1 is no option of this script." ;;
  esac
done
check_release
[[ $to =~ ^[0-9]*$ ]] || refuse "--to $to is no number of a revision."
check_url
need helm kubectl jq

past=$(history_of) || exit 2
[ "$(jq length <<<"$past")" -gt 0 ] || refuse "the namespace $namespace has no release $release."
current=$(jq -r 'last.revision' <<<"$past")
show() { jq -r '.[] | "  \(.revision)  \(.status)  \(.updated)  \(.description)"' <<<"$past" >&2; }
if [ -n "$to" ]; then
  [ "$(jq -r --argjson to "$to" 'any(.revision == $to)' <<<"$past")" = true ] || {
    show
    refuse "$release has no revision $to any more; the list above has all of them."
  }
else
  if [[ $(jq -r 'last.description' <<<"$past") == Rollback\ to* ]]; then
    show
    refuse "revision $current is a rollback already. Say by --to which one is meant; the list above has all of them."
  fi
  to=$(jq -r '.[:-1] | map(select(.status == "superseded" or .status == "deployed")) | last.revision // ""' <<<"$past")
  [ -n "$to" ] || { show; refuse "no earlier revision of $release has served, so there is nothing to go back to."; }
fi
say "going back: $release in $namespace, from revision $current to $to"
[ -z "$dry" ] || exit 0

started=$(now)
helm_here rollback "$release" "$to" --wait --timeout "$timeout" >/dev/null || {
  complain "helm rollback failed, after $(since "$started") s: a person is needed. See: helm -n $namespace history $release"
  exit 3
}
say "back on revision $to: every pod is ready, in $(since "$started") s"
"$(dirname "$0")/smoke-gate.sh" --release "$release" --namespace "$namespace" ${context:+--context "$context"} ${url:+--url "$url"} || {
  complain "revision $to is back, and not well: a person is needed."
  exit 3
}

#!/usr/bin/env bash
# Deploys to one place what another one runs.
usage() {
  cat <<'HELP'
Usage: scripts/promote.sh --from-namespace NAME --namespace NAME --release NAME [options] [-- ARGUMENTS OF HELM UPGRADE]

Deploys what staging runs: not what a tag names by now, but the image that its pods were started with, by digest where the nodes know
one. It is refused unless staging's newest revision is whole (every pod is of it and ready), was not a rollback, and has passed
`helm test` (which scripts/deploy.sh runs). Staging is only read. The rest is scripts/deploy.sh, its ways back included.

Options:
  --from-namespace NAME  where staging is
  --from-release NAME    its release; the same as --release by default
  --from-context NAME    its context of kubectl's configuration; the current one by default
  --release, --namespace, --context, --chart, --url, --timeout, and what comes after --: as in scripts/deploy.sh
  --dry-run              only say which image that is

Exit codes: as of scripts/deploy.sh; 2 also when staging is in no state to be promoted.

Examples:
  scripts/promote.sh --from-namespace staging --release tasks --namespace production --url https://tasks.example.com \
    -- -f charts/task-master-pro/values-production.yaml
HELP
}
. "$(dirname "$0")/lib.sh"
from_namespace="" from_release="" from_context="" dry="" to=() target_release="" target_namespace=""
while [ "$#" -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --from-namespace) value "$1" "$@"; from_namespace=$2; shift 2 ;;
    --from-release) value "$1" "$@"; from_release=$2; shift 2 ;;
    --from-context) value "$1" "$@"; from_context=$2; shift 2 ;;
    --release) value "$1" "$@"; target_release=$2; to+=("$1" "$2"); shift 2 ;;
    --namespace) value "$1" "$@"; target_namespace=$2; to+=("$1" "$2"); shift 2 ;;
    --context | --chart | --url | --timeout) value "$1" "$@"; to+=("$1" "$2"); shift 2 ;;
    --dry-run) dry=yes; shift ;;
    --) break ;;
    *) refuse "$1 is no option of this script; what is for helm comes after --." ;;
  esac
done
[ -n "$from_namespace" ] || refuse "--from-namespace is missing."
[ -n "$target_release" ] || refuse "--release is missing."
[ -n "$target_namespace" ] || refuse "--namespace is missing."
need helm kubectl jq
# lib.sh's functions ask here from now on: about staging.
release=${from_release:-$target_release} namespace=$from_namespace context=$from_context

stop() { complain "$release in $namespace is not promoted: $*"; exit 2; }
past=$(history_of) || exit 2
[ "$(jq length <<<"$past")" -gt 0 ] || stop "there is no such release."
[ "$(jq -r 'last.status' <<<"$past")" = deployed ] || stop "its newest revision is $(jq -r 'last.status' <<<"$past")."
[[ $(jq -r 'last.description' <<<"$past") != Rollback\ to* ]] || stop "its newest revision is a rollback: the last deployment there was bad."
# Helm keeps what came of the test with the revision. A test that never ran has no phase.
tested=$(helm_here status "$release" --output json | jq -r '[.hooks[]? | select(.events | index("test")).last_run.phase] | join(" ")')
[ "$tested" = Succeeded ] || stop "helm test of its newest revision has not succeeded (${tested:-it did not run})."
deployment=$(deployment_of) || exit 2
jq -e '.status.observedGeneration == .metadata.generation and .spec.replicas > 0 and .status.replicas == .spec.replicas
  and .status.updatedReplicas == .spec.replicas and .status.readyReplicas == .spec.replicas' <<<"$deployment" >/dev/null ||
  stop "not every one of its pods is new and ready."
image=$(image_of "$deployment")
if [[ $image != *@sha256:* ]]; then
  # As the registry knew it when it was pulled; a node that had the image from elsewhere knows no such digest.
  digests=$(kubectl_here get pods --output json --selector "app.kubernetes.io/instance=$release,app.kubernetes.io/component=server" |
    jq -r '[.items[] | select(.metadata.deletionTimestamp == null) | .status.containerStatuses[] | select(.name == "server").imageID] | unique | .[]')
  [ "$(wc -l <<<"$digests")" = 1 ] || stop "its pods run more than one image under the name $image: $(tr '\n' ' ' <<<"$digests")"
  if [[ ${digests#docker-pullable://} == "${image%:*}"@sha256:* ]]; then
    image=${digests#docker-pullable://}
  else
    say "the nodes of $namespace know no digest of $image, so it is promoted by its tag"
  fi
fi
say "promoting $image, which $release in $namespace runs"
[ -z "$dry" ] || exit 0
exec "$(dirname "$0")/deploy.sh" "${to[@]}" --image "$image" "$@"

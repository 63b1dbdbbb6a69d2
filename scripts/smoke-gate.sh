#!/usr/bin/env bash
# Says by its exit code whether a release that is installed does its work.
usage() {
  cat <<'HELP'
Usage: scripts/smoke-gate.sh --release NAME --namespace NAME [--url URL] [--context NAME] [--timeout 2m]

Asks a release that is installed whether it does its work:

  1. helm test: from inside the cluster, through the Service. It looks at health and version, and that strangers are refused; with the
     chart's value tests.existingSecret (a Secret with the token of an admin) it also goes a user's way, in a project of its own
     that it deletes.
  2. with --url, `task-master-pro smoke URL`: the same way from here, through the load balancer and TLS, as users come. It needs
     TASKMASTER_TOKEN, the token of an admin. The program is the one in PATH, else the release's own image, run by Docker.

Options:
  --release NAME      the release, as in `helm list`
  --namespace NAME    where it is
  --url URL           where users reach it, such as https://tasks.example.com
  --context NAME      the context of kubectl's configuration; the current one by default
  --timeout TIME      the longest that helm test may take, such as 90s; 2m by default

Exit codes: 0 it does its work, 1 it does not, 2 wrong command line.

Examples:
  scripts/smoke-gate.sh --release tasks --namespace staging
  TASKMASTER_TOKEN=tmp_… scripts/smoke-gate.sh --release tasks --namespace staging --url https://tasks.staging.example.com
HELP
}
. "$(dirname "$0")/lib.sh"
url="" timeout=2m
while [ "$#" -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --release | --namespace | --url | --context | --timeout) take "$@"; shift 2 ;;
    *) refuse "$1 is no option of this script." ;;
  esac
done
check_release
check_url
need helm kubectl jq curl
url=${url%/}

started=$(now)
said=$(helm_here test "$release" --timeout "$timeout" --logs 2>&1) || {
  echo "$said" >&2
  complain "helm test failed, after $(since "$started") s; what it said is above."
  exit 1
}
grep -E '^(not )?ok' <<<"$said" || true

if [ -n "$url" ]; then
  # An ingress controller learns of pods a moment after Kubernetes does. That is waited for; a wrong answer later is not forgiven.
  curl --silent --show-error --fail --output /dev/null --max-time 5 --retry 12 --retry-delay 2 --retry-max-time 45 --retry-all-errors \
    "$url/readyz" || {
    complain "$url/readyz was not well within 45 s, while the pods are: look at the ingress, DNS and TLS."
    exit 1
  }
  smoke=(task-master-pro)
  if ! command -v task-master-pro >/dev/null; then
    need docker
    deployment=$(deployment_of) || exit 1
    smoke=(docker run --rm --network host --env TASKMASTER_TOKEN "$(image_of "$deployment")")
  fi
  "${smoke[@]}" smoke "$url" --no-color || {
    complain "the smoke test of $url failed, after $(since "$started") s; what it said is above."
    exit 1
  }
fi
say "smoke gate: passed, in $(since "$started") s"

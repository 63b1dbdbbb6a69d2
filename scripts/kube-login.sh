#!/usr/bin/env bash
# Lets a job of GitHub Actions into a cluster by the job's own identity, so that no key of the cluster lies in GitHub.
usage() {
  cat <<'HELP'
Usage: scripts/kube-login.sh --context NAME --server URL --audience NAME --ca-base64 TEXT
       scripts/kube-login.sh --token --audience NAME

Adds a context to kubectl's configuration (KUBECONFIG) whose credentials are the job's identity token (OIDC). Such a token is good for
minutes, so kubectl and helm ask this script for a new one by --token whenever they need it.

The cluster's API server must trust GitHub's issuer for that audience, and let the job's subject in: k8s/github-actions has both. The
job needs `permissions: id-token: write`.

Options:
  --context NAME     what the context is called
  --server URL       the API server, https://…
  --audience NAME    the audience that the API server asks for
  --ca-base64 TEXT   the certificate of the API server's authority, PEM in base64, as in a kubeconfig
  --token            print an ExecCredential, as kubectl asks for it

Exit codes: 0 done, 1 no token could be had, 2 wrong command line.
HELP
}
. "$(dirname "$0")/lib.sh"
context="" server="" audience="" ca="" token=""
while [ "$#" -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --context) value "$1" "$@"; context=$2; shift 2 ;;
    --server) value "$1" "$@"; server=$2; shift 2 ;;
    --audience) value "$1" "$@"; audience=$2; shift 2 ;;
    --ca-base64) value "$1" "$@"; ca=$2; shift 2 ;;
    --token) token=yes; shift ;;
    *) refuse "$1 is no option of this script." ;;
  esac
done
[ -n "$audience" ] || refuse "--audience is missing."

if [ -n "$token" ]; then
  need curl jq
  [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ] ||
    { complain "there is no identity to ask for: this is no job of GitHub Actions, or it lacks the permission id-token: write."; exit 1; }
  answer=$(curl --silent --show-error --fail --max-time 20 --retry 3 --get --data-urlencode "audience=$audience" \
    --header "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL") ||
    { complain "GitHub gave no identity token; why is above."; exit 1; }
  # The end of its time is in the token, base64url without padding.
  jq -e '.value as $token | ($token | split(".")[1] | gsub("-"; "+") | gsub("_"; "/") | . + "==="[: (4 - length % 4) % 4]
    | @base64d | fromjson.exp | todate) as $until
    | { apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token: $token, expirationTimestamp: $until } }' \
    <<<"$answer" || { complain "what GitHub answered is no token."; exit 1; }
  exit 0
fi

[ -n "$context" ] || refuse "--context is missing."
[[ $server == https://* ]] || refuse "--server is missing, or is no URL that starts with https://."
[ -n "$ca" ] || refuse "--ca-base64 is missing."
need kubectl
authority=$(mktemp)
trap 'rm -f "$authority"' EXIT
base64 --decode <<<"$ca" >"$authority" 2>/dev/null && grep -q 'BEGIN CERTIFICATE' "$authority" ||
  refuse "--ca-base64 is no certificate in base64."
kubectl config set-cluster "$context" --server "$server" --certificate-authority "$authority" --embed-certs >/dev/null
kubectl config set-credentials "$context" --exec-api-version client.authentication.k8s.io/v1 --exec-interactive-mode Never \
  --exec-command "$(cd "$(dirname "$0")" && pwd)/kube-login.sh" --exec-arg=--token --exec-arg=--audience --exec-arg="$audience" >/dev/null
kubectl config set-context "$context" --cluster "$context" --user "$context" >/dev/null
say "the context $context is the job's own identity at $server"

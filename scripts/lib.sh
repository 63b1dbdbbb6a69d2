# What the scripts beside this file share. Sourced, with the script's own usage() defined before.
set -euo pipefail

say() { echo "$*"; }
# What is wrong and what to do about it, for people, on standard error.
complain() { echo "$(basename "$0"): $*" >&2; }
# A wrong command line: nothing was touched.
refuse() {
  complain "$*"
  echo "See: $0 --help" >&2
  exit 2
}

# Asked for at once: the gate would refuse it only after the image is in.
check_url() {
  [ -n "$url" ] || return 0
  [[ $url =~ ^https?:// ]] || refuse "--url $url is no URL that starts with http:// or https://."
  [ -n "${TASKMASTER_TOKEN:-}" ] || refuse "--url needs TASKMASTER_TOKEN in the environment, the token of an admin."
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || refuse "$tool is not in PATH; it is needed here."
  done
}

# value OPTION "$@": the option's value, which must be there.
value() {
  [ "$#" -ge 3 ] && [ -n "$3" ] || refuse "$1 wants a value."
}

# take "$@": the value of an option whose variable has its name.
take() { value "$1" "$@"; printf -v "${1#--}" %s "$2"; }

# Which release, and where: nothing goes without.
check_release() {
  [ -n "$release" ] || refuse "--release is missing."
  [ -n "$namespace" ] || refuse "--namespace is missing."
}

now() { date +%s%N; }
# since NANOSECONDS: seconds with a tenth, for a line that says how long something took.
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", (b - a) / 1e9 }'; }

# Of the release that the options name: every call of helm and kubectl goes to the same place.
release="" namespace="" context=""
helm_here() { helm --namespace "$namespace" ${context:+--kube-context "$context"} "$@"; }
kubectl_here() { kubectl --namespace "$namespace" ${context:+--context "$context"} "$@"; }

# Newest last; an empty list when there is no such release. A cluster that does not answer is an error and no empty list.
history_of() {
  local answer
  if answer=$(helm_here history "$release" --max 256 --output json 2>&1); then
    echo "$answer"
  elif grep -q 'not found' <<<"$answer"; then
    echo "[]"
  else
    complain "the release's history cannot be read: $answer"
    return 1
  fi
}

# The Deployment of the servers, as JSON.
deployment_of() {
  local found
  found=$(kubectl_here get deployment --output json \
    --selector "app.kubernetes.io/instance=$release,app.kubernetes.io/component=server")
  jq -e '.items[0]' <<<"$found" || {
    complain "the namespace $namespace has no servers of a release $release."
    return 1
  }
}

image_of() { jq -r '.spec.template.spec.containers[] | select(.name == "server").image' <<<"$1"; }

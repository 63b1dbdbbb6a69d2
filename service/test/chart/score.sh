# kube-score's advice, for the scripts that source this file.
# The image is named by a version or digest, which never changes, so that it need not be pulled each time. CPU has no limit: a
# server that is throttled answers late while the node is idle.
score() { kube-score score --kubernetes-version v1.30 --ignore-container-cpu-limit --ignore-test container-image-pull-policy --output-format ci "$@"; }

# score_all REPORT FILE…: one at a time, as they are installations apart, under one name. Fails, and tells, when something is critical.
score_all() {
  local report=$1 file
  shift
  for file in "$@"; do score "$file"; done >"$report" || true
  if grep '^\[CRITICAL\]' "$report" | sort -u; then return 1; fi
}

#!/usr/bin/env bash
# What can be known of the security of code, dependencies and deployment without the network's databases of known holes. Each gate
# is tried first on something that it must find. Needs git, Go, Python, npm, helm and kube-score; the tools are installed aside, by
# version, into SECURITY_TOOLS (a temporary folder by default). What is accepted, and why, is in security/.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools=${SECURITY_TOOLS:-$work/tools}
out=coverage/security
mkdir -p "$tools" "$out"
started=$SECONDS
say() { echo "ok: $* ($((SECONDS - started)) s)"; started=$SECONDS; }
fail() { echo "not ok: $*" >&2; exit 1; }
# must_fail WHAT COMMAND…: a gate that finds nothing in what is wrong on purpose, finds nothing anywhere.
must_fail() {
  local what=$1
  shift
  if "$@" >"$work/log" 2>&1; then cat "$work/log"; fail "$what was not found"; fi
}
for tool in git go python3 npm helm kube-score; do command -v "$tool" >/dev/null || fail "$tool is not in PATH"; done

[ -x "$tools/gitleaks" ] || GOBIN=$tools go install github.com/zricethezav/gitleaks/v8@v8.30.1 2>"$work/log" || { cat "$work/log"; exit 1; }
[ -x "$tools/venv/bin/checkov" ] || {
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check semgrep==1.185.0 checkov==3.3.30
}
[ -x "$tools/node_modules/.bin/cyclonedx-npm" ] ||
  npm install --silent --no-audit --no-fund --prefix "$tools" lockfile-lint@5.0.1 @cyclonedx/cyclonedx-npm@6.0.1
export PATH="$tools:$tools/venv/bin:$tools/node_modules/.bin:$PATH"
say "tools"

leaks() { gitleaks git --no-banner --log-level error --redact --verbose --config security/gitleaks.toml "$@"; }
git init -q "$work/leaky"
printf 'token: "tmp_%s"\n' "$(openssl rand -hex 32)" >"$work/leaky/a.yaml"
git -C "$work/leaky" add . && git -C "$work/leaky" -c user.name=t -c user.email=t@t.example commit -qm leak
must_fail "a token in a commit" leaks "$work/leaky"
leaks . || fail "a secret is in the history: take it back first, then see docs/security.md"
say "no secret in $(git rev-list --count HEAD) commits"

lockfile-lint --path package-lock.json --type npm --validate-https --validate-integrity --validate-package-names --allowed-hosts npm >"$work/log" ||
  { cat "$work/log"; fail "lockfile-lint"; }
node service/test/security/lockfile.ts
say "lockfile"

cyclonedx-npm --package-lock-only --omit dev --output-reproducible --spec-version 1.6 --output-file "$out/sbom.json" 2>"$work/log" ||
  { cat "$work/log"; fail "cyclonedx-npm"; }
jq '.components[0].licenses = [{ license: { id: "AGPL-3.0-only" } }]' "$out/sbom.json" >"$work/sbom.json"
must_fail "a licence that is not allowed" node service/test/security/licences.ts "$work/sbom.json"
node service/test/security/licences.ts "$out/sbom.json"
say "SBOM ($out/sbom.json) and licences"

export SEMGREP_SEND_METRICS=off SEMGREP_ENABLE_VERSION_CHECK=0
semgrep scan --test --config security/rules.yaml security/rules.ts >"$work/log" 2>&1 || { cat "$work/log"; fail "a rule of security/ does not find what it must"; }
semgrep scan --error --quiet --config security/rules.yaml service/src || fail "semgrep"
say "$(grep -c '^  - id:' security/rules.yaml) rules on the sources"

chart=charts/task-master-pro
helm template release $chart --set database.mode=bundled,backup.enabled=true,backup.volume.enabled=true >"$work/bundled.yaml"
for values in staging production; do helm template release $chart -f $chart/values-$values.yaml >"$work/$values.yaml"; done
sed 's/allowPrivilegeEscalation: false/allowPrivilegeEscalation: true/' "$work/staging.yaml" >"$work/loose"
mv "$work/loose" "$work/loose.yaml"
must_fail "a container that may gain rights" checkov --config-file security/checkov.yaml --file "$work/loose.yaml"
checkov --config-file security/checkov.yaml --file "$work"/{bundled,staging,production}.yaml Dockerfile || fail "checkov"
say "checkov on the chart and the Dockerfile"
cp -r terraform "$work/terraform"
sed -i 's/publicly_accessible    = false/publicly_accessible    = true/' "$work/terraform/examples/aws/database.tf"
must_fail "a database that anybody reaches" checkov --config-file security/checkov-terraform.yaml --directory "$work/terraform"
checkov --config-file security/checkov-terraform.yaml --directory terraform || fail "checkov on terraform/"
say "checkov on the Terraform module and its examples"

. service/test/chart/score.sh
sed 's/readOnlyRootFilesystem: true/readOnlyRootFilesystem: false/' "$work/staging.yaml" >"$work/loose.yaml"
must_fail "a file system that may be written" score_all "$work/score" "$work/loose.yaml"
score_all "$work/score" "$work"/{bundled,staging,production}.yaml || fail "kube-score"
say "kube-score: nothing critical"

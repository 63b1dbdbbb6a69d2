#!/usr/bin/env bash
# The module of terraform/ and its examples: format, validity, what it makes of its variables, and that the chart takes that. Needs
# tofu or terraform, and helm. What cannot be checked here, for want of a program or of a provider that the registry does not give, is
# said; with TERRAFORM_REQUIRED=1 it is a fault.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "ok: $*"; }
fail() { echo "not ok: $*" >&2; exit 1; }
left_out() {
  [ "${TERRAFORM_REQUIRED:-0}" = 0 ] || fail "$*"
  echo "NOT CHECKED: $*" >&2
}
tool=${TERRAFORM:-$(command -v tofu || command -v terraform || true)}
[ -n "$tool" ] || { left_out "terraform/, as neither tofu nor terraform is in PATH"; exit 0; }
say "$("$tool" version | head -n 1)"

"$tool" fmt -check -diff -recursive terraform || fail "run: $(basename "$tool") fmt -recursive terraform"
say "format"
if command -v terraform-docs >/dev/null; then
  terraform-docs terraform --output-check >"$work/docs" 2>&1 || { cat "$work/docs"; fail "terraform/README.md is behind; run: make terraform-docs"; }
  say "README of the module"
else
  left_out "the README of the module, as terraform-docs is not in PATH"
fi

# Aside, so that neither providers nor their hashes end in the sources; the chart lies where the module looks for it.
mkdir "$work/charts"
cp -r terraform "$work/"
cp -r charts/task-master-pro "$work/charts/"
export TF_IN_AUTOMATION=1
prepare() { (cd "$work/$1" && "$tool" init -backend=false -input=false -no-color >"$work/init" 2>&1); }
for configuration in terraform terraform/examples/*/; do
  if ! prepare "$configuration"; then
    left_out "$configuration, whose providers cannot be had: $(grep -m 1 -A 6 -E 'Error|Could not' "$work/init" | tr -s '\n│╷ ' ' ' | cut -c1-200)"
    continue
  fi
  (cd "$work/$configuration" && "$tool" validate -no-color) >"$work/log" 2>&1 || { cat "$work/log"; fail "$configuration is not valid"; }
  say "$configuration is valid"
  [ "$configuration" = terraform ] || continue
  (cd "$work/terraform" && "$tool" test -no-color) >"$work/log" 2>&1 || { cat "$work/log"; fail "terraform/tests"; }
  say "terraform/tests: $(grep -Eo '[0-9]+ passed' "$work/log")"
  (cd "$work/terraform" && echo 'jsonencode(local.given)' | "$tool" console -var-file=tests/everything.tfvars) >"$work/values" 2>"$work/log" ||
    { cat "$work/log"; fail "the values of everything.tfvars"; }
  node -e 'process.stdout.write(JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")))' "$work/values" >"$work/values.yaml"
  helm template tasks charts/task-master-pro -f "$work/values.yaml" >"$work/rendered.yaml" || fail "the chart does not take the module's values"
  say "the chart takes all that the module can say: $(grep -c '^kind:' "$work/rendered.yaml") objects"
done

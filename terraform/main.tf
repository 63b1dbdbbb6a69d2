resource "kubernetes_namespace_v1" "this" {
  count = var.create_namespace ? 1 : 0

  metadata {
    name = var.namespace
    labels = {
      "pod-security.kubernetes.io/enforce"         = "restricted"
      "pod-security.kubernetes.io/enforce-version" = "latest"
      "pod-security.kubernetes.io/warn"            = "restricted"
      "pod-security.kubernetes.io/warn-version"    = "latest"
    }
  }
}

resource "helm_release" "this" {
  name      = var.name
  namespace = var.namespace

  chart      = coalesce(var.chart.name, "${path.module}/../charts/task-master-pro")
  repository = var.chart.repository
  version    = var.chart.version

  values = concat([yamlencode(local.given)], var.extra_values)

  # One that is not ready in time is taken back. The schema stays; the release before runs on it.
  atomic      = true
  timeout     = var.timeout_seconds
  max_history = 10

  depends_on = [kubernetes_namespace_v1.this]
}

# What the ingress controller says of itself, for whoever writes the DNS record.
data "kubernetes_ingress_v1" "this" {
  count = var.host == null ? 0 : 1

  metadata {
    name      = local.fullname
    namespace = var.namespace
  }

  depends_on = [helm_release.this]
}

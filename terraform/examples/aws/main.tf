# Task Master Pro on an EKS cluster that is there: RDS for its database, S3 for its backups by the pods' own role, a certificate
# of ACM, the record in Route 53 by ExternalDNS, and its secrets from Secrets Manager by the External Secrets Operator.
data "aws_eks_cluster" "this" {
  name = var.cluster_name
}

data "aws_iam_openid_connect_provider" "cluster" {
  url = data.aws_eks_cluster.this.identity[0].oidc[0].issuer
}

data "aws_route53_zone" "this" {
  name = var.zone
}

locals {
  issuer          = trimprefix(data.aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://")
  service_account = "${var.name}-task-master-pro"
}

resource "aws_acm_certificate" "this" {
  domain_name       = var.host
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  for_each = {
    for option in aws_acm_certificate.this.domain_validation_options : option.domain_name => option
  }

  zone_id = data.aws_route53_zone.this.zone_id
  name    = each.value.resource_record_name
  type    = each.value.resource_record_type
  records = [each.value.resource_record_value]
  ttl     = 300
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [for record in aws_route53_record.validation : record.fqdn]
}

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = var.namespace
    labels = {
      "pod-security.kubernetes.io/enforce"         = "restricted"
      "pod-security.kubernetes.io/enforce-version" = "latest"
    }
  }
}

# The database's URL, from Secrets Manager into the namespace, before anything asks for it.
resource "kubernetes_manifest" "database" {
  manifest = {
    apiVersion = "external-secrets.io/v1"
    kind       = "ExternalSecret"
    metadata   = { name = "${var.name}-database", namespace = kubernetes_namespace_v1.this.metadata[0].name }
    spec = {
      refreshInterval = "1h"
      secretStoreRef  = { kind = "ClusterSecretStore", name = var.secret_store }
      target          = { name = "${var.name}-database" }
      data = [{
        secretKey = "url"
        remoteRef = { key = aws_secretsmanager_secret.database.name, property = "url" }
      }]
    }
  }

  wait {
    condition {
      type   = "Ready"
      status = "True"
    }
  }

  depends_on = [aws_secretsmanager_secret_version.database]
}

module "tasks" {
  source = "../.."

  name      = var.name
  namespace = kubernetes_namespace_v1.this.metadata[0].name
  host      = var.host
  replicas  = { min = 2, max = 8 }

  database = {
    managed = { url_secret = kubernetes_manifest.database.manifest.spec.target.name }
  }
  backups = {
    bucket = aws_s3_bucket.backups.bucket
    region = var.region
  }
  service_account_annotations = {
    "eks.amazonaws.com/role-arn" = aws_iam_role.pods.arn
  }

  ingress = {
    class_name = "alb"
    annotations = {
      "alb.ingress.kubernetes.io/scheme"           = "internet-facing"
      "alb.ingress.kubernetes.io/target-type"      = "ip"
      "alb.ingress.kubernetes.io/listen-ports"     = jsonencode([{ HTTP = 80 }, { HTTPS = 443 }])
      "alb.ingress.kubernetes.io/ssl-redirect"     = "443"
      "alb.ingress.kubernetes.io/certificate-arn"  = aws_acm_certificate_validation.this.certificate_arn
      "alb.ingress.kubernetes.io/healthcheck-path" = "/readyz"
      # Event streams are silent for up to 15 seconds, and a request may take 60.
      "alb.ingress.kubernetes.io/load-balancer-attributes" = "idle_timeout.timeout_seconds=120"
    }
  }
  dns = { external_dns = true }

  # The load balancer is who says where a request comes from.
  settings = { TASKMASTER_TRUST_PROXY = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16" }

  depends_on = [aws_iam_role_policy.backups]
}

output "url" {
  description = "Where clients reach the server."
  value       = module.tasks.url
}

output "bucket" {
  description = "Where the backups are."
  value       = aws_s3_bucket.backups.bucket
}

locals {
  # As the chart makes it, where no value says otherwise.
  fullname = strcontains(var.name, "task-master-pro") ? var.name : "${var.name}-task-master-pro"
  balancer = try(data.kubernetes_ingress_v1.this[0].status[0].load_balancer[0].ingress[0], null)
}

output "url" {
  description = "Where clients reach the server; null without a host."
  value       = var.host == null ? null : "https://${var.host}"
}

output "load_balancer" {
  description = "What the host's DNS record must point to, as the ingress controller tells: a host name (CNAME) or an address (A). Null while it tells nothing."
  value = local.balancer == null ? null : {
    hostname = try(local.balancer.hostname, "")
    ip       = try(local.balancer.ip, "")
  }
}

output "namespace" {
  description = "The namespace that everything is in."
  value       = helm_release.this.namespace
}

output "deployment" {
  description = "The name of the servers' Deployment and Service."
  value       = local.fullname
}

output "service_account" {
  description = "The name of the pods' ServiceAccount, for the cloud's roles."
  value       = local.fullname
}

output "app_version" {
  description = "The version of the program that the chart is of."
  value       = helm_release.this.metadata.app_version
}

output "revision" {
  description = "The release's revision in Helm's history."
  value       = helm_release.this.metadata.revision
}

output "values" {
  description = "The chart's values that this module made. They hold names of Secrets and no secret."
  value       = local.given
}

# On any cluster that kubectl reaches: the database by the CloudNativePG operator, which must be there. The namespace is made
# here; where a Secret is needed first (an S3 bucket's keys, the session's), make namespace and Secrets before and leave
# create_namespace out.
terraform {
  required_version = ">= 1.9.0"

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = ">= 3.0.0, < 4.0.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 3.0.0, < 4.0.0"
    }
  }
}

variable "kubeconfig" {
  description = "The kubeconfig file that says which cluster."
  type        = string
}

variable "namespace" {
  description = "The namespace, which is made."
  type        = string
  default     = "task-master-pro"
}

variable "name" {
  description = "The Helm release's name."
  type        = string
  default     = "tasks"
}

variable "host" {
  description = "The host name that clients use."
  type        = string
}

variable "image" {
  description = "Another image than the chart's own."
  type        = object({ repository = optional(string), tag = optional(string) })
  default     = {}
}

variable "extra_values" {
  description = "More values of the chart, each a YAML document."
  type        = list(string)
  default     = []
}

provider "kubernetes" {
  config_path = var.kubeconfig
}

provider "helm" {
  kubernetes = {
    config_path = var.kubeconfig
  }
}

module "tasks" {
  source = "../.."

  name             = var.name
  namespace        = var.namespace
  create_namespace = true
  host             = var.host
  image            = var.image
  extra_values     = var.extra_values

  database = {
    cloudnative_pg = { instances = 2, storage_size = "1Gi" }
  }
}

output "url" {
  description = "Where clients reach the server."
  value       = module.tasks.url
}

output "deployment" {
  description = "The name of the servers' Deployment."
  value       = module.tasks.deployment
}

output "load_balancer" {
  description = "What the host's DNS record must point to."
  value       = module.tasks.load_balancer
}

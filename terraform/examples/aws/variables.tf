variable "region" {
  description = "The AWS region of the cluster."
  type        = string
}

variable "cluster_name" {
  description = "An EKS cluster that is there, with an IAM OIDC provider, the AWS Load Balancer Controller, ExternalDNS for the zone, and the External Secrets Operator."
  type        = string
}

variable "secret_store" {
  description = "The ClusterSecretStore of the External Secrets Operator that reads AWS Secrets Manager."
  type        = string
  default     = "aws-secrets-manager"
}

variable "zone" {
  description = "The public Route 53 zone, such as example.com."
  type        = string
}

variable "host" {
  description = "The host name that clients use, within the zone."
  type        = string

  validation {
    condition     = endswith(var.host, ".${var.zone}")
    error_message = "host must be within zone."
  }
}

variable "name" {
  description = "What all of it is called."
  type        = string
  default     = "tasks"
}

variable "namespace" {
  description = "The namespace, which is made."
  type        = string
  default     = "task-master-pro"
}

variable "instance_class" {
  description = "The database's size."
  type        = string
  default     = "db.t4g.medium"
}

variable "password_version" {
  description = "One more than before makes a new password for the database, and restarts nothing: do it with a rollout of the servers."
  type        = number
  default     = 1
}
